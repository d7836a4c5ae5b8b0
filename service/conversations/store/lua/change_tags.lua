local keys = require("keys")
local access = require("access")
local message = require("message")
local conversation = require("conversation")
local register = require("register")

local function save_tags(p, id, tag, added, removed)
  local c, stored, last = conversation.open(p, id)
  if not last then return { "missing" } end
  if access.shared("SISMEMBER", keys.deleted_tags(p), tag) == 1 then return { "deleted" } end
  local bytes = message.latest(p, id, last)
  if not conversation.change_tags(p, c, added, removed) then return { "too many tags" } end
  if c.tg ~= stored.tg then conversation.save(p, id, c, stored, bytes) end
  return { "ok" }
end

-- Adds a tag to a conversation.
--
-- ARGV: conversation id, tag id
-- Returns: {"ok"}, {"missing"} for the conversation, {"deleted"} for the tag, {"too many tags"} or {"damaged", ...}.
register.writing("tag_conversation", function(p, argv) return save_tags(p, argv[1], argv[2], { argv[2] }, {}) end)

-- Removes a tag from a conversation. ARGV and Returns: as for tag_conversation.
register.freeing("untag_conversation", function(p, argv) return save_tags(p, argv[1], argv[2], {}, { argv[2] }) end)
