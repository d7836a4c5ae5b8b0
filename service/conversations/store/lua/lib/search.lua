-- Searches of the index, within one call. RediSearch does not define the order of equal times, so if the edge of a
-- slice splits a time, all conversations of that time are fetched and sorted by id here.
--
-- A search ends with the turn: then the functions below return nil.
--
-- A search is a table, see request.lua:
--
--   p            the partition's hash tag
--   query        for RediSearch, dialect 2; nil if the index cannot help
--   is_exact     whether the query finds what the predicate matches, not more
--   predicate    the filter for one conversation's hash
--   careful      whether to skip entries of the index and of `recent` that aren't places (the name isn't an id, the
--                time isn't an integer). That takes a fifth more time.
--   all          number of all conversations; nil if `recent` is unusable: then lists come from the index
--   times        times of the conversations found, by id
--
-- and what known.lua has.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local order = require("order")
local turn = require("turn")

local search = {}

-- Of one time. TIMEOUT does not bound how long more take to be fetched and sorted.
local MAX_TIES = 1000

-- The id in a key that the index found; nil if there is none.
local function id_of(s, key)
  local id = string.sub(key, -36)
  if not s.careful or keys.conversation(s.p, id) == key and checks.is_id(id) then return id end
end

local function find(s, query, ...)
  local reply = redis.pcall("FT.SEARCH", keys.index(s.p), query, "NOCONTENT", "VERBATIM", "TIMEOUT", turn.left_ms(),
    "DIALECT", 2, ...)
  if not reply.err then return reply end
  if not string.find(reply.err, "Timeout limit was reached", 1, true) then error(reply, 0) end
end

-- A tag's value, escaped for a query.
function search.escaped(value) return (string.gsub(value, "[^A-Za-z0-9]", "\\%0")) end

-- The number of conversations that match a query.
function search.count(s, query)
  local reply = find(s, query, "LIMIT", 0, 0)
  return reply and reply[1]
end

-- The ids of those that match the query, in any order, if they are at most `limit`; nil if they are more.
function search.few(s, limit)
  local reply = find(s, s.query, "LIMIT", 0, limit)
  if not reply or reply[1] > limit then return nil end
  local ids = {}
  for i = 2, #reply do ids[#ids + 1] = id_of(s, reply[i]) end
  return ids
end

-- The query narrowed by a clause; "*" means everything only as a whole query.
function search.narrowed(s, clause)
  if s.query == "*" then return clause end
  return "(" .. s.query .. ") " .. clause
end

-- The query narrowed to a range of times, such as "[1 (5]".
function search.between(s, range) return search.narrowed(s, "@lm:" .. range) end

-- The ids of all matches with one time, ascending; nil also if there are too many.
function search.ties(s, at)
  if s.all and redis.call("ZCOUNT", keys.recent(s.p), at, at) == 0 then return {} end
  local found = find(s, search.between(s, "[" .. at .. " " .. at .. "]"), "LIMIT", 0, MAX_TIES)
  if not found or found[1] > MAX_TIES then return nil end
  local ids = {}
  for i = 2, #found do ids[#ids + 1] = id_of(s, found[i]) end
  table.sort(ids)
  for _, id in ipairs(ids) do s.times[id] = at end
  return ids
end

-- Whether at most one conversation has a time.
function search.is_single(s, at) return s.all and redis.call("ZCOUNT", keys.recent(s.p), at, at) < 2 end

local function descending(a, b) return a > b end

-- The first matches in a range of times, or of all, by time in a direction ("ASC" or "DESC") and by id in the same
-- direction. `invalid`: how many of those found are known not to be places.
function search.sorted(s, range, direction, limit, invalid)
  invalid = invalid or 0
  local query = range and search.between(s, range) or s.query
  local reply = find(s, query, "SORTBY", "lm", direction, "WITHSORTKEYS", "LIMIT", 0, limit + invalid)
  if not reply then return nil end
  local found = (#reply - 1) / 2
  local groups, times, places = {}, {}, 0
  for i = 2, #reply, 2 do
    local id, at = id_of(s, reply[i]), string.sub(reply[i + 1] or "#", 2)
    -- Documents without a time come last.
    if id and at ~= "" and (not s.careful or checks.is_time(at)) then
      places = places + 1
      s.times[id] = at
      if not groups[at] then
        groups[at] = {}
        times[#times + 1] = at
      end
      table.insert(groups[at], id)
    end
  end
  local is_more = reply[1] > found
  if found - places > invalid and is_more and invalid < order.MAX_SKIPPED then
    return search.sorted(s, range, direction, limit, found - places)
  end
  if places == 0 then return {} end
  local last = times[#times]
  if is_more and not search.is_single(s, last) then
    groups[last] = search.ties(s, last)
    if not groups[last] then return nil end
  end
  local ids = {}
  for _, at in ipairs(times) do
    if direction == "DESC" then table.sort(groups[at], descending) else table.sort(groups[at]) end
    for _, id in ipairs(groups[at]) do
      ids[#ids + 1] = id
      if #ids == limit then return ids end
    end
  end
  return ids
end

-- Changes conversations that match a query, a few at a time. `change` gets an id, and returns whether the conversation
-- does not match any more, or comes last now. Returns {number looked at, number to skip next, then the ids of damaged
-- ones}.
function search.change_hits(p, query, skipped, limit, change)
  local found = redis.call("FT.SEARCH", keys.index(p), query, "NOCONTENT", "VERBATIM", "LIMIT", skipped, limit,
    "DIALECT", 2)
  local answer = { #found - 1, tonumber(skipped) }
  for i = 2, #found do
    local id = string.sub(found[i], -36)
    local is_sound, is_gone = access.attempt(change, id)
    if not is_sound then answer[#answer + 1] = id end
    if not (is_sound and is_gone) then answer[2] = answer[2] + 1 end
  end
  return answer
end

return search
