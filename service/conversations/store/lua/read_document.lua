-- Reads a conversation's metadata, to be changed and committed by commit_document.
--
-- ARGV: conversation id
-- Returns: {version, JSON of the metadata save tags and state, or "", "1" where the conversation exists or "0"}, or
--          {"damaged", ...}.
reading_function("read_document", function(keys, argv)
  local c, _, last = open_conversation(keys[1], argv[1], true)
  return { c.ver or "0", c.doc or "", last and "1" or "0" }
end)
