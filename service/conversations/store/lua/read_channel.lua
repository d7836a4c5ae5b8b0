-- Reads a channel, to change it.
--
-- ARGV: id
-- Returns: {version, own, changes, head, source}, "" for what is absent, or {"damaged", ...}.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local register = require("register")

register.reading("read_channel", function(p, argv)
  local c = access.try("HMGET", keys.channel(p, argv[1]), "version", "own", "changes", "head", "source")
  local is_sound = c and (checks.is_count(c[1]) and c[2] and c[3] or not (c[1] or c[2] or c[3]))
  if not is_sound then access.damaged("channel", argv[1]) end
  return { c[1] or "0", c[2] or "", c[3] or "", c[4] or "", c[5] or "" }
end)
