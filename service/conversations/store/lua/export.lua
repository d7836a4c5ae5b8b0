-- What an export reads.

-- Counts the partition's conversations, those that wait for a message included. Returns: an integer.
redis.register_function{
  function_name = "count_conversations",
  flags = { "no-writes" },
  callback = function(keys)
    return redis.call("ZCARD", recent_key(keys[1])) + redis.call("SCARD", waiting_key(keys[1]))
  end,
}

-- Scans ids: every one that is there from beginning to end comes at least once.
--
-- ARGV: "conversations", "waiting" (conversations without a message), "messages" (those that only have changes of
--       metadata) or "channels", cursor ("0" at first), about how many ids
-- Returns: {next cursor, "0" at the end, ids}.
redis.register_function{
  function_name = "scan_ids",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p = keys[1]
    if argv[1] == "conversations" then
      local page = redis.call("ZSCAN", recent_key(p), argv[2], "COUNT", argv[3])
      local ids = {}
      for i = 1, #page[2], 2 do ids[#ids + 1] = page[2][i] end
      return { page[1], ids }
    end
    local sets = { waiting = waiting_key(p), messages = waiting_messages_key(p), channels = channels_key(p) }
    return redis.call("SSCAN", sets[argv[1]], argv[2], "COUNT", argv[3])
  end,
}

-- Reads what is kept of a conversation beside its messages.
--
-- ARGV: conversation id
-- Returns: {JSON of the metadata save tags and state, state, tags with commas between, time of reading in ms}, "" for
--          what is absent.
redis.register_function{
  function_name = "read_conversation",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local c = open_conversation(keys[1], argv[1])
    return { c.doc or "", c.st or "", c.tg or "", c.read or "" }
  end,
}

-- Reads a conversation's messages in order.
--
-- ARGV: conversation id, sent_at in ms and place with id of the message to start behind ("" for the oldest), the most
--       messages
-- Returns: sent_at, place with id, channel id, Message bytes and JSON of the changes of metadata ("" for none) of each.
redis.register_function{
  function_name = "read_messages",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p, order = keys[1], order_key(keys[1], argv[1])
    local first = argv[2] == "" and 0 or rank_of(order, argv[2], argv[3])
    if argv[2] ~= "" and redis.call("ZRANGE", order, first, first)[1] == argv[3] then first = first + 1 end
    local places = redis.call("ZRANGE", order, first, first + tonumber(argv[4]) - 1, "WITHSCORES")
    local answer = {}
    for i = 1, #places, 2 do
      local id = string.sub(places[i], 11)
      local facts, message = read_message(p, argv[1], id)
      answer[#answer + 1] = integer(tonumber(places[i + 1]))
      answer[#answer + 1] = places[i]
      answer[#answer + 1] = string.match(facts, "^%S+ %S+ %S+ (%S+)")
      answer[#answer + 1] = message
      answer[#answer + 1] = redis.call("HGET", message_key(p, id), "changes") or ""
    end
    return answer
  end,
}
