-- Puts a tag on a conversation, or takes it off.
--
-- ARGV: conversation id, tag id, "add" or "remove"
-- Returns: {"ok"}, {"missing"} for the conversation, {"deleted"} for the tag, or {"damaged", ...}.
writing_function("change_tags", function(keys, argv)
  local p, id, tag = keys[1], argv[1], argv[2]
  local c, stored, last = open_conversation(p, id)
  if not last then return { "missing" } end
  if shared("SISMEMBER", deleted_tags_key(p), tag) == 1 then return { "deleted" } end
  local message = latest_message(p, id, last)
  if argv[3] == "add" then change_tags(p, c, { tag }, {}) else change_tags(p, c, {}, { tag }) end
  if c.tg ~= stored.tg then save(p, id, c, stored, message) end
  return { "ok" }
end)
