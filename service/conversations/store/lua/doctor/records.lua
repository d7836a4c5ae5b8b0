-- Checks and repairs of keys and fields with any content.
local keys = require("keys")
local access = require("access")
local register = require("register")
local doctor = require("doctor")

-- The keys that each partition has once, and their types.
local SHARED = {
  recent = "zset", changes = "stream", counts = "hash", columns = "hash", channels = "set", tags = "set",
  deleted_tags = "set", waiting = "set", waiting_messages = "set",
}

-- Whether these keys have their types. ARGV: nothing. Returns: the names of those that don't.
doctor.both("shared_keys", function(p, _, repairs)
  local found = {}
  for name, kind in pairs(SHARED) do
    if doctor.has_wrong_type(p, keys[name](p), kind, repairs) then found[#found + 1] = name end
  end
  local log = keys.changes(p)
  if not doctor.has_wrong_type(p, log, "stream", false) and redis.call("EXISTS", log) == 1 then
    -- After an entry of the far future none can be added.
    local last = redis.call("XREVRANGE", log, "+", "-", "COUNT", 1)[1]
    local at = tonumber(last and string.match(last[1], "^%d+") or "0")
    if at > tonumber(redis.call("TIME")[1]) * 1000 + 86400000 then
      found[#found + 1] = "changes"
      if repairs then doctor.set_key_aside(p, log) end
    end
  end
  return found
end)

-- Sets a key aside. ARGV: the key, which begins with a kind and the partition. Returns: {"ok"}, or {"gone"}.
register.writing("repair_key", function(p, argv)
  if redis.call("EXISTS", argv[1]) == 0 then return { "gone" } end
  doctor.set_key_aside(p, argv[1])
  return { "ok" }
end)

-- Reads a record as it is stored. ARGV: kind, id. Returns: {type, field, value, ... or the value of a string}.
register.reading("read_record", function(p, argv)
  local key = keys[argv[1]](p, argv[2])
  local kind = redis.call("TYPE", key).ok
  local found = { kind }
  if kind == "string" then found[2] = redis.call("GET", key) end
  if kind == "hash" then
    for i, part in ipairs(redis.call("HGETALL", key)) do found[1 + i] = part end
  end
  return found
end)

-- Replaces fields of a hash, unless they have changed since they were read; old values are set aside.
--
-- ARGV: kind, id, then field, old and new value of each, "" for an absent one
-- Returns: {"ok"} or {"conflict"}.
register.writing("repair_fields", function(p, argv)
  local key = keys[argv[1]](p, argv[2])
  for i = 3, #argv, 3 do
    if (access.try("HGET", key, argv[i]) or "") ~= argv[i + 1] then return { "conflict" } end
  end
  for i = 3, #argv, 3 do
    if argv[i + 1] ~= "" then doctor.set_field_aside(p, key, argv[i], argv[i + 1]) end
    if argv[i + 2] == "" then
      redis.call("HDEL", key, argv[i])
    else
      redis.call("HSET", key, argv[i], argv[i + 2])
    end
  end
  return { "ok" }
end)
