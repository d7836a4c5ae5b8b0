-- A message is a hash. For each conversation that has it there is a field with that id, a line of facts and the
-- protobuf bytes:
--
--   <sent_at in ms> <place> <1 from the contact, or 0> <channel id> <source>\n<Message>
--
-- Place: ten digits, counting arrivals; the order set's members are place and id. What metadata events changed stands
-- beside: `version`, and `changes` as JSON. It may come before the message.

-- Reads what metadata events changed on a message, and the messages that have the id.
--
-- ARGV: message id
-- Returns: {version, JSON of the changes or "", then conversation id and Message bytes of each}.
redis.register_function{
  function_name = "read_message_changes",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p, id = keys[1], argv[1]
    local message = read_hash(message_key(p, id))
    local found = { message.version or "0", message.changes or "" }
    for conversation, line in pairs(message) do
      if #conversation == 36 then
        found[#found + 1] = conversation
        found[#found + 1] = string.sub(line, string.find(line, "\n", 1, true) + 1)
      end
    end
    return found
  end,
}

-- Commits changes of a message's metadata, if nobody else changed it since it was read.
--
-- ARGV: message id, version that was read, JSON of all changes, then conversation id, old and new Message bytes of each
-- Returns: {"ok"} or {"conflict"}.
redis.register_function("commit_message_changes", function(keys, argv)
  local p, id = keys[1], argv[1]
  local key = message_key(p, id)
  local stored, conversations = read_hash(key), 0
  if (stored.version or "0") ~= argv[2] then return { "conflict" } end
  for name in pairs(stored) do
    if #name == 36 then conversations = conversations + 1 end
  end
  if conversations ~= (#argv - 3) / 3 then return { "conflict" } end
  local changes = { "version", integer(tonumber(argv[2]) + 1), "changes", argv[3] }
  for i = 4, #argv, 3 do
    local facts, message = read_message(p, argv[i], id)
    if message ~= argv[i + 1] then return { "conflict" } end
    changes[#changes + 1] = argv[i]
    changes[#changes + 1] = facts .. argv[i + 2]
  end
  redis.call("HSET", key, unpack(changes))
  if conversations == 0 then redis.call("SADD", waiting_messages_key(p), id) end
  for i = 4, #argv, 3 do
    if latest_message(p, argv[i]) == id then
      local c, before = open_conversation(p, argv[i])
      save(p, argv[i], c, before)
    end
  end
  return { "ok" }
end)

-- Reads messages of a conversation from a place on.
--
-- ARGV: conversation id, "older" or "newer", sent_at in ms and place with id of the message to start behind ("" for
--       the newest), the most messages, messages to pass over
-- Returns: {} where there is no such conversation; else {messages in all, messages on the other side of the first
--          one returned, then sent_at, place with id and the Message as field 1 of a message of each, the nearest to
--          the start first}.
redis.register_function{
  function_name = "list_messages",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p, id = keys[1], argv[1]
    local order = order_key(p, id)
    local total = redis.call("ZCARD", order)
    if total == 0 then return {} end
    local limit, skip = tonumber(argv[5]), tonumber(argv[6])
    local rank = argv[3] == "" and total or rank_of(order, argv[3], argv[4])
    local found, behind
    if argv[2] == "older" then
      rank = math.max(rank - skip, 0)
      behind = total - rank
      found = rank > 0 and redis.call("ZRANGE", order, math.max(rank - limit, 0), rank - 1, "WITHSCORES") or {}
    else
      local at = redis.call("ZRANGE", order, rank, rank)[1]
      if at == argv[4] then rank = rank + 1 end
      behind = rank
      found = redis.call("ZRANGE", order, rank, rank + limit - 1, "WITHSCORES")
    end
    local answer = { total, behind }
    local first, last, step = 1, #found, 2
    if argv[2] == "older" then first, last, step = #found - 1, 1, -2 end
    for i = first, last, step do
      local _, message = read_message(p, id, string.sub(found[i], 11))
      answer[#answer + 1] = integer(tonumber(found[i + 1]))
      answer[#answer + 1] = found[i]
      answer[#answer + 1] = field(1, message)
    end
    return answer
  end,
}
