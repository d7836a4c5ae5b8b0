-- Reads one conversation.
--
-- ARGV: conversation id
-- Returns: Conversation as protobuf bytes, nil or {"damaged", ...}.
local keys = require("keys")
local access = require("access")
local rendering = require("rendering")
local register = require("register")

register.reading("get_conversation", function(p, argv)
  local id, channel, rest = rendering.parts(p, argv[1], {}, true)
  if id then return id .. channel .. rest end
  if redis.call("EXISTS", keys.conversation(p, argv[1])) == 1 then access.damaged("conversation", argv[1]) end
end)
