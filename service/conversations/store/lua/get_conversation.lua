-- Reads one conversation.
--
-- ARGV: conversation id
-- Returns: Conversation as protobuf bytes, or nil.
redis.register_function{
  function_name = "get_conversation",
  flags = { "no-writes" },
  callback = function(keys, argv) return conversation_bytes(keys[1], argv[1], {}) end,
}
