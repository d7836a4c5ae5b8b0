-- Reads a conversation's metadata, to be changed and committed by commit_document.
--
-- ARGV: conversation id
-- Returns: {version, JSON of the metadata save tags and state, or "", "1" where the conversation exists or "0"}.
redis.register_function{
  function_name = "read_document",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local c = redis.call("HMGET", conversation_key(keys[1], argv[1]), "version", "document", "last")
    return { c[1] or "0", c[2] or "", c[3] and "1" or "0" }
  end,
}
