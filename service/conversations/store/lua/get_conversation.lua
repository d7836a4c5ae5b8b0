-- Reads one conversation.
--
-- ARGV: conversation id
-- Returns: Conversation as protobuf bytes, or nil, or {"damaged", ...}.
reading_function("get_conversation", function(keys, argv)
  local id, channel, rest = conversation_parts(keys[1], argv[1], {}, true)
  if id then return id .. channel .. rest end
  if redis.call("EXISTS", conversation_key(keys[1], argv[1])) == 1 then damaged("conversation", argv[1]) end
end)
