-- Slices of the list of conversations, which is in descending order of the latest message's time, then of id.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local order = require("order")
local search = require("search")
local known = require("known")

local slices = {}

-- How many matches more than a first page needs are fetched: so many may go before another search is needed.
local SPARE = 12

-- Members of `recent` from a rank on. Notes their times.
function slices.recent_ids(s, command, rank, limit)
  local key = keys.recent(s.p)
  if s.careful then
    local ids, times = order.entries(key, command, rank, limit, 36)
    for i, id in ipairs(ids) do s.times[id] = times[i] end
    return ids
  end
  local found = redis.call(command, key, rank, rank + limit - 1, "WITHSCORES")
  local ids = {}
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    s.times[found[i]] = found[i + 1]
  end
  return ids
end

-- A slice of all conversations, from the sorted set. Returns ids, the number on the other side of the place, and the
-- number of all, like the slices below.
function slices.recent(s, direction, at, id, limit)
  local key = keys.recent(s.p)
  if direction == "newer" then
    local behind = order.rank_behind(key, at, id)
    return slices.recent_ids(s, "ZRANGE", behind, limit), behind, s.all
  end
  local behind = at == "" and 0 or s.all - order.rank_of(key, at, id)
  return slices.recent_ids(s, "ZREVRANGE", behind, limit), behind, s.all
end

-- Whether a conversation still matches, and is on the other side of a place or at it.
local function is_behind(s, direction, at, id)
  if #id ~= 36 then return false end
  local c = access.read_hash(keys.conversation(s.p, id))
  if not checks.is_time(c.lm) then return false end
  if s.predicate_text then
    if not known.is_found(s, c) then return false end
  elseif search.count(s, search.narrowed(s, "@id:{" .. search.escaped(id) .. "}")) == 0 then
    return false
  end
  if direction == "newer" then return tonumber(c.lm) <= tonumber(at) end
  return tonumber(c.lm) >= tonumber(at)
end

-- The number of matches on the other side of a place; 1 if it is only known that there are any.
local function count_behind(s, direction, at, id)
  if is_behind(s, direction, at, id) then return 1 end
  local newer = direction == "newer"
  local behind = search.count(s, search.between(s, newer and "[-inf (" .. at .. "]" or "[(" .. at .. " +inf]"))
  if behind > 0 then return behind end
  for _, tie in ipairs(search.ties(s, at)) do
    if newer and tie <= id or not newer and tie >= id then behind = behind + 1 end
  end
  return behind
end

-- Adds the matches beyond a place that have its time.
local function take_ties(s, ids, newer, at, id, limit)
  if search.is_single(s, at) and tonumber(redis.call("ZSCORE", keys.recent(s.p), id)) == tonumber(at) then return end
  local beyond = {}
  for _, tie in ipairs(search.ties(s, at)) do
    if newer and tie > id then beyond[#beyond + 1] = tie end
    if not newer and tie < id then table.insert(beyond, 1, tie) end
  end
  for i = 1, math.min(#beyond, limit) do ids[i] = beyond[i] end
end

-- A slice of the matches of a filter.
--
-- Sorting all matches of a broad filter takes several times as long as counting them, and counting takes longer than
-- finding a page. So matches are counted only if their number is unknown, and searched in windows of time from the
-- place on: one that should hold enough, then a wider one, then the rest. A window never splits the conversations of
-- one time.
function slices.matching(s, direction, at, id, limit)
  local key, newer, ids = keys.recent(s.p), direction == "newer", {}
  if not s.matches then s.matches = search.count(s, s.query) end
  if s.matches == 0 then return {}, 0, 0 end
  local behind = at == "" and 0 or count_behind(s, direction, at, id)
  if at ~= "" then take_ties(s, ids, newer, at, id, limit) end
  local near, rank = "(" .. at, 0
  if at == "" then
    near = s.top and s.top[1] and s.top[1][1] or "+inf"
    if s.all and near ~= "+inf" then rank = redis.call("ZCOUNT", key, "(" .. near, "+inf") end
  elseif s.all then
    rank = redis.call("ZCOUNT", key, newer and "-inf" or at, newer and at or "+inf")
  end
  local width = s.all and math.ceil(1.5 * limit * s.all / s.matches) + 30
  local windows = 0
  while #ids < limit and (windows == 0 or rank < s.all) do
    windows = windows + 1
    local edge
    if s.all and windows < 3 and 4 * width <= s.all then
      edge = redis.call(newer and "ZRANGE" or "ZREVRANGE", key, rank + width, rank + width, "WITHSCORES")[2]
    end
    edge = edge or (newer and "+inf" or "-inf")
    local range = newer and "[" .. near .. " " .. edge .. "]" or "[" .. edge .. " " .. near .. "]"
    -- A range takes time too, and nothing newer than the window matches.
    if #ids == 0 and at == "" and edge == "-inf" then range = nil end
    for _, one in ipairs(search.sorted(s, range, newer and "ASC" or "DESC", 0, limit - #ids)) do ids[#ids + 1] = one end
    if edge == "+inf" or edge == "-inf" then break end
    near, rank, width = "(" .. edge, rank + width, 16 * width
  end
  return ids, behind, s.matches
end

-- The newest matches of a filter: from what is known if that is enough, else by a search, whose result is then known.
function slices.first(s, limit)
  if not known.has_top(s, limit) then
    local found = slices.matching(s, "older", "", "", limit + SPARE)
    s.top, s.has_all, s.is_unchanged = {}, #found < limit + SPARE, false
    for i, id in ipairs(found) do s.top[i] = { s.times[id], id } end
  end
  local ids = {}
  for i = 1, math.min(limit, #s.top) do
    ids[i] = s.top[i][2]
    s.times[ids[i]] = s.top[i][1]
  end
  return ids, 0, s.matches
end

return slices
