-- Reads a conversation's metadata, to be changed and committed by commit_document.
--
-- ARGV: conversation id
-- Returns: {version, JSON of the metadata save tags and state, or "", "1" where the conversation exists or "0"}.
redis.register_function{
  function_name = "read_document",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p, id = keys[1], argv[1]
    local c = redis.call("HMGET", conversation_key(p, id), "ver", "doc", "lm")
    if not c[3] then c = redis.call("HMGET", early_key(p, id), "ver", "doc", "lm") end
    return { c[1] or "0", c[2] or "", c[3] and "1" or "0" }
  end,
}
