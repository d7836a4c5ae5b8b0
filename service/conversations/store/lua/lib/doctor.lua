-- Functions of the doctor, see store/doctor. Each comes twice, as check_... and as repair_..., which repairs what the
-- first finds. Every call takes one record, or a slice of a long one, and is atomic, so concurrent writes aren't taken
-- for faults. Where a function returns faults, each is a word, followed by what it is about.
--
-- What cannot be read is set aside and never lost: a key as damaged:<p>:<key>, a field of a hash in the hash
-- damaged:<p>:<key>:fields.
local register = require("register")

local doctor = {}

-- Registers both. The callback gets the hash tag, ARGV, and whether to repair.
function doctor.both(name, callback)
  register.reading("check_" .. name, function(p, argv) return callback(p, argv, false) end)
  register.writing("repair_" .. name, function(p, argv) return callback(p, argv, true) end)
end

function doctor.set_key_aside(p, key)
  local aside = "damaged:" .. p .. ":" .. key
  if redis.call("EXISTS", aside) == 1 then aside = aside .. ":" .. table.concat(redis.call("TIME"), ".") end
  redis.call("RENAME", key, aside)
end

function doctor.set_field_aside(p, key, name, value)
  local aside = "damaged:" .. p .. ":" .. key .. ":fields"
  if redis.call("HEXISTS", aside, name) == 1 then name = name .. ":" .. table.concat(redis.call("TIME"), ".") end
  redis.call("HSET", aside, name, value)
end

-- Whether a key exists with another type. To repair it, it is set aside.
function doctor.has_wrong_type(p, key, wanted, repairs)
  local kind = redis.call("TYPE", key).ok
  if kind == "none" or kind == wanted then return false end
  if repairs then doctor.set_key_aside(p, key) end
  return true
end

return doctor
