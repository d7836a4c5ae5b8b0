-- Commits a change of a conversation's metadata, if nobody else changed the document since it was read.
--
-- Keeps: all parts of one change become visible together. A conversation without a message keeps them until then.
-- Tags that were deleted are left out.
--
-- ARGV: conversation id, version that was read, JSON of the document, Contact.display_name, Contact.avatar_url and
--       ConversationMetadata.user_data as protobuf bytes ("" for each that is not set), index terms of the name and
--       of the document's leaves, change of state ("" keeps, "-" removes, OPEN, CLOSED), number of tag ids to add,
--       these, number of tag ids to remove, these, then words of the document, each behind its field's name
-- Returns: {"ok"}, {"conflict"}, {"too many tags"}, or {"damaged", ...}.
writing_function("commit_document", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c, stored, last = open_conversation(p, id, true)
  if (c.ver or "0") ~= argv[2] then return { "conflict" } end
  local message = last and latest_message(p, id, last)
  if c.doc ~= argv[3] then c.ver, c.doc = integer(tonumber(argv[2]) + 1), argv[3] end
  for i, name in ipairs({ "name", "avatar", "data" }) do c[name] = argv[3 + i] ~= "" and argv[3 + i] or nil end
  write_terms(c, argv[7], argv[8])
  local next = 10
  local tags = {}
  for _ = 1, 2 do
    local ids = {}
    for i = 1, tonumber(argv[next]) do ids[i] = argv[next + i] end
    next = next + #ids + 1
    tags[#tags + 1] = ids
  end
  if not change_tags(p, c, tags[1], tags[2]) then return { "too many tags" } end
  change_state(p, c, argv[9])
  for i = next, #argv, 2 do add_word(p, argv[i], argv[i + 1]) end
  save(p, id, c, stored, message)
  return { "ok" }
end)
