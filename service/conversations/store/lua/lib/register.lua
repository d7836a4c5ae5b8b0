-- Registers functions. Each is called with KEYS[1] = the partition's hash tag, such as "{0}", and accesses keys of that
-- partition only, so that a call is atomic on a cluster too; the callback gets the hash tag and ARGV. The name in Redis
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

-- A read-only function. Its name begins with "check", "count", "get", "list", "read" or "scan".
function register.reading(name, callback) add(name, { "no-writes" }, callback) end

function register.writing(name, callback) add(name, {}, callback) end

-- A function that removes data, or replaces it with about as much: it works even if Redis is out of memory, to get out
-- of that. What may add more than a marker is a writing function.
function register.freeing(name, callback) add(name, { "allow-oom" }, callback) end

return register
