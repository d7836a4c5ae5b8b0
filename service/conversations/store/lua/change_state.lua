local message = require("message")
local conversation = require("conversation")
local register = require("register")

local function save_state(p, id, change)
  local c, stored, last = conversation.open(p, id)
  if not last then return { "missing" } end
  local bytes = message.latest(p, id, last)
  conversation.change_state(c, change)
  if c.st ~= stored.st then conversation.save(p, id, c, stored, bytes) end
  return { "ok" }
end

-- Sets a conversation's state. ARGV: conversation id, "OPEN" or "CLOSED". Returns: {"ok"}, {"missing"} or
-- {"damaged", ...}.
register.writing("set_state", function(p, argv) return save_state(p, argv[1], argv[2]) end)

-- Removes a conversation's state. ARGV: conversation id. Returns: {"ok"}, {"missing"} or {"damaged", ...}.
register.freeing("remove_state", function(p, argv) return save_state(p, argv[1], "-") end)
