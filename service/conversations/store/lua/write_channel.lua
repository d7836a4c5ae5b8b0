-- Writes a version of a channel. At home it has to follow the stored version; a copy accepts any newer one.
--
-- ARGV: id, version, "home" or "copy", head and source ("" to keep the stored one), metadata, "1" if unnamed, own,
--       changes
-- Returns: {"ok"}; {"ok", "other"} if conversations may have another source, {"ok", "case"} if it may differ in case;
--          or {"conflict"} at home.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local register = require("register")

register.writing("write_channel", function(p, argv)
  local id, next_version, place, head, source = argv[1], tonumber(argv[2]), argv[3], argv[4], argv[5]
  local key = keys.channel(p, id)
  -- No change depends on a copy: a damaged one is replaced, or stays until the doctor rebuilds it.
  local stored = access.shared("HMGET", key, "version", "source", "head")
  if not stored then return { "ok" } end
  local version = checks.is_count(stored[1]) and tonumber(stored[1]) or 0
  if place == "home" and version ~= next_version - 1 then return { "conflict" } end
  if version >= next_version then return { "ok" } end
  redis.call("HSET", key, "version", argv[2], "metadata", argv[6], "unnamed", argv[7], "own", argv[8],
    "changes", argv[9])
  access.shared("SADD", keys.channels(p), id)
  if head ~= "" then redis.call("HSET", key, "head", head) end
  if source == "" then return { "ok" } end
  redis.call("HSET", key, "source", source)
  if not stored[3] or stored[2] == source then return { "ok" } end
  return { "ok", string.lower(stored[2] or "") == string.lower(source) and "case" or "other" }
end)
