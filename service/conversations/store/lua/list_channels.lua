-- Reads the partition's channels, or one of them.
--
-- ARGV: id, or nothing for all
-- Returns: id, version and bytes of each, with bytes "" if its key isn't a hash; or {"damaged", ...} for the set of
--          channels.
local keys = require("keys")
local access = require("access")
local channel = require("channel")
local register = require("register")

register.reading("list_channels", function(p, argv)
  local ids = argv[1] and { argv[1] } or access.try("SMEMBERS", keys.channels(p))
  if not ids then access.damaged("set of channels", p) end
  local found = {}
  for _, id in ipairs(ids) do
    local c = access.try("HMGET", keys.channel(p, id), "head", "version")
    if not c or c[1] then
      found[#found + 1] = id
      found[#found + 1] = c and c[2] or "0"
      found[#found + 1] = c and channel.bytes(p, id) or ""
    end
  end
  return found
end)
