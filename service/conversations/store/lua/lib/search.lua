-- Searches of the index, within one call. RediSearch leaves the order of equal times open, so a time that the edge of a
-- slice cuts through is fetched whole and put in order here: by id, as the whole order is by time, then by id.
--
-- A search is a table, see request.lua:
--
--   p            the partition's hash tag
--   query        for RediSearch, dialect 2
--   is_filtered  whether it is another than "*", which finds every conversation
--   timeout_ms   of each search
--   careful      whether what stands in the index or in `recent` and is no place (another name than an id, a time that
--                is no whole number) is passed over. That takes a fifth more time.
--   all          how many conversations there are; nil where `recent` is of no use: then lists come from the index
--   times        by id, the times of the conversations that were found
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local order = require("order")
local phrases = require("phrases")

local search = {}

-- The id of a key that the index found; nil where the name is none.
local function id_of(s, key)
  local id = string.sub(key, -36)
  if not s.careful or keys.conversation(s.p, id) == key and checks.is_id(id) then return id end
end

local function find(s, query, ...)
  return redis.call("FT.SEARCH", keys.index(s.p), query, "VERBATIM", "TIMEOUT", s.timeout_ms, "DIALECT", 2, ...)
end

-- A tag's value as it stands in a query.
function search.escaped(value) return (string.gsub(value, "[^A-Za-z0-9]", "\\%0")) end

-- How many conversations a query finds.
function search.count(s, query) return find(s, query, "NOCONTENT", "LIMIT", 0, 0)[1] end

-- The query narrowed by a clause; "*" stands for everything only as a whole query.
function search.narrowed(s, clause)
  if s.query == "*" then return clause end
  return "(" .. s.query .. ") " .. clause
end

-- The query narrowed to a range of times, such as "[1 (5]".
function search.between(s, range) return search.narrowed(s, "@lm:" .. range) end

-- All matches sent at one time, by id, ascending.
function search.ties(s, at)
  if s.all and redis.call("ZCOUNT", keys.recent(s.p), at, at) == 0 then return {} end
  local found = find(s, search.between(s, "[" .. at .. " " .. at .. "]"), "NOCONTENT", "LIMIT", 0, 1000000)
  local ids = {}
  for i = 2, #found do ids[#ids + 1] = id_of(s, found[i]) end
  table.sort(ids)
  for _, id in ipairs(ids) do s.times[id] = at end
  return ids
end

-- Whether no more than one conversation has a time.
function search.is_single(s, at) return s.all and redis.call("ZCOUNT", keys.recent(s.p), at, at) < 2 end

local function descending(a, b) return a > b end

-- Matches of a range of times, or of all, by time in a direction ("ASC" or "DESC") and by id in the same direction:
-- `limit` of them behind the first `offset`. `passed`: so many of those found are known to be no places.
function search.sorted(s, range, direction, offset, limit, passed)
  passed = passed or 0
  local query = range and search.between(s, range) or s.query
  local reply = find(s, query, "NOCONTENT", "SORTBY", "lm", direction, "WITHSORTKEYS", "LIMIT", offset, limit + passed)
  local found = (#reply - 1) / 2
  local groups, times, places = {}, {}, 0
  for i = 2, #reply, 2 do
    local id, at = id_of(s, reply[i]), string.sub(reply[i + 1] or "#", 2)
    -- Without a time, a document comes last.
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
  local is_more = reply[1] > offset + found
  if found - places > passed and is_more and passed < order.MAX_PASSED then
    return search.sorted(s, range, direction, offset, limit, found - places)
  end
  if places == 0 then return {} end
  local first, last, skipped = times[1], times[#times], 0
  if offset > 0 then
    local nearer = direction == "DESC" and "[(" .. first .. " +inf]" or "[-inf (" .. first .. "]"
    skipped = offset - search.count(s, search.between(s, nearer))
    groups[first] = search.ties(s, first)
  end
  if is_more and (last ~= first or offset == 0) and not search.is_single(s, last) then
    groups[last] = search.ties(s, last)
  end
  local ids = {}
  for _, at in ipairs(times) do
    if direction == "DESC" then table.sort(groups[at], descending) else table.sort(groups[at]) end
    for i, id in ipairs(groups[at]) do
      if at ~= first or i > skipped then ids[#ids + 1] = id end
      if #ids == limit then return ids end
    end
  end
  return ids
end

-- Puts the ids of the conversations that have its loose phrases in their place in the query: phrase i stands in it as
-- <<i>>, from 0, and is {candidates = a query for a superset, slop = a number, terms = a list}. Returns nothing, or how
-- many candidates there are of one, where these are more than `limit` less those of the ones before.
function search.resolve_phrases(s, checked, limit)
  for number, check in ipairs(checked) do
    local reply = find(s, check.candidates, "RETURN", 1, "x", "LIMIT", 0, limit)
    if reply[1] > limit then return reply[1] end
    limit = limit - reply[1]
    local ids = {}
    for i = 2, #reply, 2 do
      local id = id_of(s, reply[i])
      if id and phrases.is_in(reply[i + 1][2] or "", check.terms, check.slop) then
        ids[#ids + 1] = search.escaped(id)
      end
    end
    local clause = "@id:{" .. (#ids > 0 and table.concat(ids, "|") or "none") .. "}"
    s.query = string.gsub(s.query, "<<" .. number - 1 .. ">>", (string.gsub(clause, "%%", "%%%%")))
  end
end

-- Changes conversations that a query finds, a few at a time. `change` gets an id, and returns whether the query no
-- longer finds it, or finds it behind all others. Returns {how many were looked at, how many to pass over next, then
-- the ids of those that are damaged}.
function search.change_hits(p, query, passed, limit, change)
  local found = redis.call("FT.SEARCH", keys.index(p), query, "NOCONTENT", "VERBATIM", "LIMIT", passed, limit,
    "DIALECT", 2)
  local answer = { #found - 1, tonumber(passed) }
  for i = 2, #found do
    local id = string.sub(found[i], -36)
    local is_sound, is_gone = access.attempt(change, id)
    if not is_sound then answer[#answer + 1] = id end
    if not (is_sound and is_gone) then answer[2] = answer[2] + 1 end
  end
  return answer
end

return search
