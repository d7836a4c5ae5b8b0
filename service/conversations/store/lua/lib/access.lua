-- Access to stored data, which is not trusted: any key may hold anything.
--
--   - A function reads and checks the records that a change depends on before it writes anything. If one is damaged it
--     ends with {"damaged", kind, id}: see `damaged`.
--   - A damaged key that a whole partition shares and that can be rebuilt from its records (the list, counts, words,
--     sets of ids, the log of changes) is no reason to reject a change: see `shared`.
--   - Lists skip records that they cannot show, and name them.
local access = {}

-- Ends a function that has written nothing; it returns {"damaged", kind, id}.
function access.damaged(kind, id) error({ damaged = { "damaged", kind, id } }) end

-- Calls a function that may find damage. Returns true and its result, or false and the {"damaged", ...} reply.
function access.attempt(callback, ...)
  local ok, result = pcall(callback, ...)
  if ok then return true, result end
  if type(result) == "table" and result.damaged then return false, result.damaged end
  error(result, 0)
end

-- The reply to a command, or nil and an error if the key has the wrong type.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == "table" and reply.err then return nil, reply.err end
  return reply
end
access.try = try

-- Warns in Redis' log that a key is damaged, at most once a minute for each key.
local warned_at = {}
function access.warn(key, what)
  local now = tonumber(redis.call("TIME")[1])
  if now - (warned_at[key] or 0) < 60 then return end
  warned_at[key] = now
  redis.log(redis.LOG_WARNING, key .. " is damaged, run `conversations doctor`: " .. what)
end

-- Reads or changes a key that the whole partition shares. If it has the wrong type, the result is nil, and it stays as
-- it is until the doctor rebuilds it.
function access.shared(command, key, ...)
  local reply, problem = try(command, key, ...)
  if problem then access.warn(key, problem) end
  return reply
end

-- A hash as a table; empty if there is none.
function access.read_hash(key)
  local flat = try("HGETALL", key) or {}
  local hash = {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

return access
