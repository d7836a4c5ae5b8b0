local message = require("message")
local terms = require("terms")
local format = require("format")
local conversation = require("conversation")
local register = require("register")

-- Reads a conversation's metadata, to change it and commit it with commit_document.
--
-- ARGV: conversation id
-- Returns: {version, JSON of the metadata except tags and state, or "", "1" if the conversation exists, else "0"}, or
--          {"damaged", ...}.
register.reading("read_document", function(p, argv)
  local c, _, last = conversation.open(p, argv[1], true)
  return { c.ver or "0", c.doc or "", last and "1" or "0" }
end)

-- Commits a change of a conversation's metadata, unless the document has changed since it was read.
--
-- Invariant: all parts of one change become visible together. A conversation without a message keeps them until it has
-- one. Deleted tags are left out.
--
-- ARGV: conversation id, version that was read, then a map in MessagePack:
--
--   document              the document as JSON
--   name, avatar, data    Contact.display_name, Contact.avatar_url and ConversationMetadata.user_data as protobuf
--                         bytes, "" if not set
--   name_terms, terms     index terms of the name and of the document's leaves
--   values                the changed columns of the document: words separated by blanks by name, "" for none
--   state                 OPEN, CLOSED, "" to keep it or "-" to remove it
--   added, removed        tag ids; "*" removes all
--
-- Returns: {"ok"}, {"conflict"}, {"too many tags"} or {"damaged", ...}.
register.writing("commit_document", function(p, argv)
  local id, change = argv[1], cmsgpack.unpack(argv[3])
  local c, stored, last = conversation.open(p, id, true)
  if (c.ver or "0") ~= argv[2] then return { "conflict" } end
  local bytes = last and message.latest(p, id, last)
  if c.doc ~= change.document then c.ver, c.doc = format.integer(tonumber(argv[2]) + 1), change.document end
  for _, name in ipairs({ "name", "avatar", "data" }) do c[name] = change[name] ~= "" and change[name] or nil end
  terms.write(c, change.name_terms, change.terms)
  if not conversation.change_tags(p, c, change.added, change.removed) then return { "too many tags" } end
  conversation.change_state(c, change.state)
  conversation.save(p, id, c, stored, bytes, change.values)
  return { "ok" }
end)
