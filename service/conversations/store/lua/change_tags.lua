local function save_tags(p, id, tag, added, removed)
  local c, stored, last = open_conversation(p, id)
  if not last then return { "missing" } end
  if shared("SISMEMBER", deleted_tags_key(p), tag) == 1 then return { "deleted" } end
  local message = latest_message(p, id, last)
  if not change_tags(p, c, added, removed) then return { "too many tags" } end
  if c.tg ~= stored.tg then save(p, id, c, stored, message) end
  return { "ok" }
end

-- Puts a tag on a conversation.
--
-- ARGV: conversation id, tag id
-- Returns: {"ok"}, {"missing"} for the conversation, {"deleted"} for the tag, {"too many tags"}, or
--          {"damaged", ...}.
writing_function("tag_conversation", function(keys, argv)
  return save_tags(keys[1], argv[1], argv[2], { argv[2] }, {})
end)

-- Takes a tag off a conversation. ARGV and Returns: as for tag_conversation.
freeing_function("untag_conversation", function(keys, argv)
  return save_tags(keys[1], argv[1], argv[2], {}, { argv[2] })
end)
