-- Access to stored data, which is not trusted: any key may hold anything.
--
--   - A function reads and checks the records that a change stands on before it writes anything. What it cannot build
--     upon ends it, with {"damaged", kind, id}: see `damaged`.
--   - What a whole partition shares and could be made again from its records (the list, counts, words, sets of ids, the
--     log of changes) is no reason to refuse a change: see `shared`.
--   - Lists pass over records that they cannot show, and name them.
local access = {}

-- Ends a function that has written nothing: it returns {"damaged", kind, id}.
function access.damaged(kind, id) error({ damaged = { "damaged", kind, id } }) end

-- Calls a function that may find something damaged. Returns whether it did not, then what it returns or the reply.
function access.attempt(callback, ...)
  local ok, result = pcall(callback, ...)
  if ok then return true, result end
  if type(result) == "table" and result.damaged then return false, result.damaged end
  error(result, 0)
end

-- What Redis answers to a command, or nil and an error: the key holds something else.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == "table" and reply.err then return nil, reply.err end
  return reply
end
access.try = try

-- Says in Redis' log that a key that a whole partition shares is damaged, once a minute.
local said_at = {}
function access.complain(key, what)
  local now = tonumber(redis.call("TIME")[1])
  if now - (said_at[key] or 0) < 60 then return end
  said_at[key] = now
  redis.log(redis.LOG_WARNING, key .. " is damaged, run `conversations doctor`: " .. what)
end

-- Asks or changes a key that the whole partition shares. Where it holds something else it stays as it is until the
-- doctor makes it again, and the answer is nil.
function access.shared(command, key, ...)
  local reply, problem = try(command, key, ...)
  if problem then access.complain(key, problem) end
  return reply
end

-- A hash as a table; an empty one where there is none.
function access.read_hash(key)
  local flat = try("HGETALL", key) or {}
  local hash = {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

return access
