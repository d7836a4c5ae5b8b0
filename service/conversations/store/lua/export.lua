-- What an export reads.

-- Counts the partition's conversations, those that wait for a message included. Returns: an integer.
reading_function("count_conversations", function(keys)
  return (shared("ZCARD", recent_key(keys[1])) or 0) + (shared("SCARD", waiting_key(keys[1])) or 0)
end)

-- Scans ids: every one that is there from beginning to end comes at least once.
--
-- ARGV: "conversations", "waiting" (conversations without a message), "messages" (those that only have changes of
--       metadata) or "channels", cursor ("0" at first), about how many ids
-- Returns: {next cursor, "0" at the end, ids}, or {"damaged", ...} for the set of them.
reading_function("scan_ids", function(keys, argv)
  local p, kind = keys[1], argv[1]
  local page
  if kind == "conversations" then
    page = try("ZSCAN", recent_key(p), argv[2], "COUNT", argv[3])
    local ids = {}
    for i = 1, page and #page[2] or 0, 2 do ids[#ids + 1] = page[2][i] end
    if page then page[2] = ids end
  else
    local sets = { waiting = waiting_key(p), messages = waiting_messages_key(p), channels = channels_key(p) }
    page = try("SSCAN", sets[kind], argv[2], "COUNT", argv[3])
  end
  if not page then damaged("set of " .. kind, p) end
  return page
end)

-- Reads what is kept of a conversation beside its messages.
--
-- ARGV: conversation id
-- Returns: {JSON of the metadata save tags and state, state, tags with commas between, time of reading in ms}, "" for
--          what is absent, or {"damaged", ...}.
reading_function("read_conversation", function(keys, argv)
  local c = open_conversation(keys[1], argv[1], true)
  return { c.doc or "", c.st or "", c.tg or "", c.read or "" }
end)

-- Reads a conversation's messages in order.
--
-- ARGV: conversation id, score and place with id of the message to start behind ("" for the oldest), the most
--       messages
-- Returns: score, place with id, channel id, Message bytes and JSON of the changes of metadata ("" for none) of each,
--          "" for channel id and bytes of what is damaged; or {"damaged", ...}.
reading_function("read_messages", function(keys, argv)
  local p, order = keys[1], order_key(keys[1], argv[1])
  if not try("ZCARD", order) then damaged("conversation", argv[1]) end
  local first = argv[2] == "" and 0 or rank_of(order, argv[2], argv[3])
  if argv[2] ~= "" and redis.call("ZRANGE", order, first, first)[1] == argv[3] then first = first + 1 end
  local places = redis.call("ZRANGE", order, first, first + tonumber(argv[4]) - 1, "WITHSCORES")
  local answer = {}
  for i = 1, #places, 2 do
    local id = message_of(places[i])
    local _, _, _, channel, _, message = read_message(p, argv[1], id)
    answer[#answer + 1] = places[i + 1]
    answer[#answer + 1] = places[i]
    answer[#answer + 1] = channel or ""
    answer[#answer + 1] = message or ""
    answer[#answer + 1] = message and redis.call("HGET", message_key(p, id), "changes") or ""
  end
  return answer
end)
