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
-- Returns: {version, JSON of the changes or "", then conversation id and Message bytes of each}, or {"damaged", ...}.
reading_function("read_message_changes", function(keys, argv)
  local p, id = keys[1], argv[1]
  local flat = try("HGETALL", message_key(p, id))
  if not flat then damaged("message", id) end
  local found = { "0", "" }
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if name == "version" then
      found[1] = value
    elseif name == "changes" then
      found[2] = value
    else
      local message = select(6, parse_message(value))
      if not message or not is_id(name) then damaged("message", id) end
      found[#found + 1] = name
      found[#found + 1] = message
    end
  end
  if not is_count(found[1]) or (found[1] == "0") ~= (found[2] == "") then damaged("message", id) end
  return found
end)

-- Commits changes of a message's metadata, if nobody else changed it since it was read.
--
-- ARGV: message id, version that was read, JSON of all changes, then conversation id, old and new Message bytes of each
-- Returns: {"ok"}, {"conflict"}, or {"damaged", ...} for the message or a conversation.
writing_function("commit_message_changes", function(keys, argv)
  local p, id = keys[1], argv[1]
  local key = message_key(p, id)
  local stored, conversations = read_hash(key), 0
  if (stored.version or "0") ~= argv[2] then return { "conflict" } end
  for name in pairs(stored) do
    if #name == 36 then conversations = conversations + 1 end
  end
  if conversations ~= (#argv - 3) / 3 then return { "conflict" } end
  local changes, shown_in = { "version", integer(tonumber(argv[2]) + 1), "changes", argv[3] }, {}
  for i = 4, #argv, 3 do
    local line = stored[argv[i]]
    if select(6, parse_message(line)) ~= argv[i + 1] then return { "conflict" } end
    local c, before, last = open_conversation(p, argv[i])
    if last and message_of(last.place) == id then shown_in[#shown_in + 1] = { argv[i], c, before, argv[i + 2] } end
    changes[#changes + 1] = argv[i]
    changes[#changes + 1] = string.sub(line, 1, string.find(line, "\n", 1, true)) .. argv[i + 2]
  end
  redis.call("HSET", key, unpack(changes))
  if conversations == 0 then shared("SADD", waiting_messages_key(p), id) end
  for _, one in ipairs(shown_in) do save(p, unpack(one)) end
  return { "ok" }
end)

-- Reads messages of a conversation from a place on.
--
-- ARGV: conversation id, "older" or "newer", sent_at in ms and place with id of the message to start behind ("" for
--       the newest), the most messages, messages to pass over
-- Returns: {} where there is no such conversation; else {messages in all, messages on the other side of the first
--          one returned, 1 where there are more beyond the last one, otherwise 0, then sent_at, place with id and the
--          Message as field 1 of a message of each, the nearest to the start first}, "" for one that is damaged; or
--          {"damaged", ...}.
reading_function("list_messages", function(keys, argv)
  local p, id = keys[1], argv[1]
  local order = order_key(p, id)
  local total = try("ZCARD", order)
  if not total or total == 0 and redis.call("EXISTS", conversation_key(p, id)) == 1 then damaged("conversation", id) end
  if total == 0 then return {} end
  local limit, skip = tonumber(argv[5]), tonumber(argv[6])
  local places, times, behind, more
  if argv[2] == "older" then
    local rank = argv[3] == "" and total or rank_of(order, argv[3], argv[4])
    behind = total - math.max(rank - skip, 0)
    places, times, more = entries(order, "ZREVRANGE", behind, limit, 46)
  else
    behind = rank_of(order, argv[3], argv[4])
    if redis.call("ZRANGE", order, behind, behind)[1] == argv[4] then behind = behind + 1 end
    places, times, more = entries(order, "ZRANGE", behind, limit, 46)
  end
  local answer = { total, behind, more and 1 or 0 }
  for i, place in ipairs(places) do
    local message = select(6, read_message(p, id, message_of(place)))
    answer[#answer + 1] = times[i]
    answer[#answer + 1] = place
    answer[#answer + 1] = message and #message <= MAX_RECORD and field(1, message) or ""
  end
  return answer
end)
