-- Registers functions. Each is called with KEYS[1] = the partition's hash tag, such as "{0}", and touches keys of that
-- partition only, so that one call is atomic on a cluster as well; it gets the hash tag and ARGV. Its name in Redis
-- ends with the version of the library.
local access = require("access")

local register = {}

local attempt = access.attempt

local function add(name, flags, callback)
  redis.register_function{
    function_name = name .. "_" .. VERSION,
    flags = flags,
    callback = function(keys, argv)
      local _, reply = attempt(callback, keys[1], argv)
      return reply
    end,
  }
end

-- One that changes nothing. Its name begins with "check", "count", "get", "list", "read" or "scan".
function register.reading(name, callback) add(name, { "no-writes" }, callback) end

function register.writing(name, callback) add(name, {}, callback) end

-- One that takes away, or replaces what is there by as much: it works where Redis is out of memory, so that there is
-- a way out. What may add more than a note is a writing function.
function register.freeing(name, callback) add(name, { "allow-oom" }, callback) end

return register
