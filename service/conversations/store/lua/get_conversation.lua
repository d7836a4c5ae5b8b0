-- Reads one conversation.
--
-- ARGV: conversation id
-- Returns: Conversation as protobuf bytes, or nil.
redis.register_function{
  function_name = "get_conversation",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local id, channel, rest = conversation_parts(keys[1], argv[1], {})
    return id and id .. channel .. rest
  end,
}
