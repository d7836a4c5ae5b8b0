-- Checks sets of ids.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local doctor = require("doctor")

-- The records of a set's members.
local RECORDS = {
  recent = keys.order, waiting = keys.early, waiting_messages = keys.message, channels = keys.channel, tags = keys.tag,
}

-- Whether members of a set have a record. ARGV: name of the set, members. Returns: those that don't, which are removed.
doctor.both("members", function(p, argv, repairs)
  local set, record, is_sorted, strays = keys[argv[1]](p), RECORDS[argv[1]], argv[1] == "recent", {}
  for i = 2, #argv do
    local member = argv[i]
    local is_there = checks.is_id(member) and (not record or redis.call("EXISTS", record(p, member)) == 1)
    local is_member
    if is_sorted then
      is_member = access.try("ZSCORE", set, member)
    else
      is_member = access.try("SISMEMBER", set, member) == 1
    end
    if not is_there and is_member then
      strays[#strays + 1] = member
      if repairs then redis.call(is_sorted and "ZREM" or "SREM", set, member) end
    end
  end
  return strays
end)

-- Whether the ids of records are in their set. ARGV: name of the set, ids. Returns: those that are missing, which are
-- added.
doctor.both("membership", function(p, argv, repairs)
  local set, missing = keys[argv[1]](p), {}
  for i = 2, #argv do
    if redis.call("EXISTS", RECORDS[argv[1]](p, argv[i])) == 1 and access.try("SISMEMBER", set, argv[i]) ~= 1 then
      missing[#missing + 1] = argv[i]
      if repairs then redis.call("SADD", set, argv[i]) end
    end
  end
  return missing
end)
