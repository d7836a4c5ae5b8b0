-- Slices of the list of conversations, which is in descending order of the latest message's time, then of id.
local keys = require("keys")
local checks = require("checks")
local order = require("order")
local search = require("search")
local known = require("known")
local scan = require("scan")
local turn = require("turn")

local slices = {}

local is_before = known.is_before

-- How many matches more than a first page needs are fetched: so many may go before another search is needed.
local SPARE = 12

-- Conversations that are looked at one by one where a query finds no more.
local MAX_LOOKED_AT = 1000

-- If the newest matches are so much farther apart than all are, they are looked for row by row.
local LONG_WALK = 3

-- Conversations in the first window of time in which the index counts. The next ones are twice as wide until there was
-- no time for one. If there is none for MIN_WINDOW either, the columns are scanned instead.
local FIRST_WINDOW, MIN_WINDOW = 4000, 500

-- Members of `recent` that are read at once.
local READ_AT_ONCE = 64

-- A place before all others.
local START = { "9999999999999999", "g" }

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

-- The number of conversations that come before a place in a list, or that are in it.
local function rank_behind(s, direction, at, id)
  local key = keys.recent(s.p)
  if direction == "newer" then return order.rank_behind(key, at, id) end
  return at == "" and 0 or s.all - order.rank_of(key, at, id)
end

-- A slice of all conversations, from the sorted set. Returns ids, the number on the other side of the place, and the
-- number of all.
function slices.recent(s, direction, at, id, limit)
  local behind = rank_behind(s, direction, at, id)
  return slices.recent_ids(s, direction == "newer" and "ZRANGE" or "ZREVRANGE", behind, limit), behind, s.all
end

-- Adds the newest matches of a window that has some, unless enough are known.
local function take_newest(s, range, count, limit)
  if s.complete ~= "all" then return end
  local wanted = limit - #s.top
  -- A larger page was asked for before, or others have become matches since.
  if wanted <= 0 then
    s.complete = s.top[#s.top]
    return
  end
  local found = search.sorted(s, range, "DESC", wanted)
  if not found then
    s.complete = s.top[#s.top] or "none"
    return
  end
  for _, id in ipairs(found) do s.top[#s.top + 1] = { s.times[id], id } end
  if count >= wanted then s.complete = s.top[#s.top] or "none" end
end

-- Counts in windows of time, from the newest on, and finds the newest matches. Returns whether the turn ended before
-- the last.
local function count_in_windows(s, limit)
  local key = keys.recent(s.p)
  while s.since do
    local nearer = s.since == "+inf" and "+inf" or "(" .. s.since
    local rank = s.since == "+inf" and 0 or redis.call("ZCOUNT", key, s.since, "+inf")
    local edge = redis.call("ZREVRANGE", key, rank + s.width - 1, rank + s.width - 1, "WITHSCORES")[2]
    local range = "[" .. (edge or "-inf") .. " " .. nearer .. "]"
    local count = search.count(s, search.between(s, range))
    if count then
      if count > 0 then take_newest(s, range, count, limit + SPARE) end
      s.matches, s.since = s.matches + count, edge
      if s.widens then s.width = 2 * s.width end
    else
      s.width, s.widens = math.floor(s.width / 2), false
      if s.width < MIN_WINDOW then
        known.start(s, "rows", 0)
        return true
      end
    end
    if s.since and (not count or turn.is_over()) then return true end
  end
  return false
end

-- Starts to count in windows of time.
local function start_windows(s)
  known.start(s, "since", "+inf")
  s.width, s.widens = FIRST_WINDOW, true
end

-- Counts for a measurement; returns of which part of all conversations.
function slices.sample(s)
  if search.count(s, s.query) then return 1 end
  if scan.is_fast(s) then return scan.sample(s) end
  turn.begin()
  start_windows(s)
  count_in_windows(s, 1)
  local counted = s.since and s.since ~= "+inf" and redis.call("ZCOUNT", keys.recent(s.p), s.since, "+inf")
  return (counted or s.all) / s.all
end

-- Takes the matches from a query that finds few more, by id. Returns whether the turn ended before the last; nil if it
-- finds too many.
local function take_few(s)
  local ids = search.few(s, MAX_LOOKED_AT)
  if not ids then return nil end
  if not s.up_to then known.start(s) end
  table.sort(ids)
  local counted = s.up_to or ""
  for i, id in ipairs(ids) do
    local c = id > counted and known.read(s, id)
    if c and known.is_match(s, c) then
      s.matches = s.matches + 1
      known.add_match(s, id, c.lm)
    end
    s.up_to = id > counted and id or counted
    if c and turn.is_over() and i < #ids then return true end
  end
  s.up_to = nil
  return false
end

-- Counts the matches, unless their number is known, for a page of at most `limit`. Returns whether the turn ended
-- before that.
function slices.count(s, limit)
  if s.rows then return scan.count(s) end
  if s.since then return count_in_windows(s, limit) end
  if s.matches and not s.up_to then return false end
  if s.query and s.is_exact then
    local count = search.count(s, s.query)
    if count then
      known.start(s)
      s.matches, s.complete = count, "none"
    elseif scan.is_fast(s) then
      known.start(s, "rows", 0)
    else
      start_windows(s)
    end
    return not count
  end
  local is_over = nil
  if s.query and not scan.is_broad(s) then is_over = take_few(s) end
  if is_over ~= nil then return is_over end
  known.start(s, "rows", 0)
  return turn.is_over() or scan.count(s)
end

-- A slice of the matches of an exact query.
--
-- Sorting all matches of a broad filter takes several times as long as counting them, and counting takes longer than
-- finding a page. So matches are searched in windows of time from the place on: one that should hold enough, then a
-- wider one, then the rest. A window never splits the conversations of one time. Returns nil if the turn ended.
local function matching(s, direction, at, id, limit)
  local key, newer, ids = keys.recent(s.p), direction == "newer", {}
  if at ~= "" and not (search.is_single(s, at) and tonumber(redis.call("ZSCORE", key, id) or nil) == tonumber(at)) then
    local ties = search.ties(s, at)
    if not ties then return nil end
    for _, tie in ipairs(ties) do
      if newer and tie > id then ids[#ids + 1] = tie end
      if not newer and tie < id then table.insert(ids, 1, tie) end
    end
    for i = #ids, limit + 1, -1 do ids[i] = nil end
  end
  local near, rank = at == "" and "+inf" or "(" .. at, 0
  if at ~= "" and s.all then rank = redis.call("ZCOUNT", key, newer and "-inf" or at, newer and at or "+inf") end
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
    local found = search.sorted(s, range, newer and "ASC" or "DESC", limit - #ids)
    if not found then return nil end
    for _, one in ipairs(found) do ids[#ids + 1] = one end
    if edge == "+inf" or edge == "-inf" then break end
    near, rank, width = "(" .. edge, rank + width, 16 * width
  end
  return ids
end

-- Looks at conversations one by one, from a place on, and calls back with time and id of each that matches until that
-- returns true. Returns the place of the last one looked at, or nil if it was the last of all; and whether the turn
-- ended.
local function walk(s, direction, at, id, callback)
  local rank = rank_behind(s, direction, at, id)
  local command = direction == "newer" and "ZRANGE" or "ZREVRANGE"
  while true do
    local ids = slices.recent_ids(s, command, rank, READ_AT_ONCE)
    for _, one in ipairs(ids) do
      local c = known.read(s, one)
      if c and known.is_match(s, c) and callback(s.times[one], one) then return { s.times[one], one }, false end
      if turn.is_over() then return { s.times[one], one }, true end
    end
    if #ids < READ_AT_ONCE then return nil, false end
    rank = rank + READ_AT_ONCE
  end
end

-- Finds the newest matches, unless enough are known. Returns whether the turn ended before that.
local function find_top(s, limit)
  if known.has_top(s, limit) then return false end
  if s.matches == 0 then
    s.top, s.complete = {}, "all"
    return false
  end
  local from, wanted = s.complete == "none" and START or s.complete, limit + SPARE - #s.top
  if s.query and s.is_exact and not from.walks and not from.rows then
    local place = from == START and { "", "" } or from
    local found = matching(s, "older", place[1], place[2], wanted)
    if not found then
      s.complete = { from[1], from[2], walks = true }
      return true
    end
    for _, id in ipairs(found) do s.top[#s.top + 1] = { s.times[id], id } end
    s.complete = #found < wanted and "all" or s.top[#s.top]
    return false
  end
  -- Of those that were found some may have ceased to match.
  if from.rows then return scan.find_top(s) or not known.has_top(s, limit) end
  local last, is_over = walk(s, "older", from[1], from[2], function(at, id)
    s.top[#s.top + 1] = { at, id }
    return #s.top >= limit + SPARE
  end)
  s.complete = last or "all"
  if not is_over then return false end
  last.walks = true
  local expected = (limit + SPARE) * s.all / s.matches
  if scan.is_fast(s) and rank_behind(s, "older", last[1], last[2]) > LONG_WALK * expected then scan.start_top(s) end
  return true
end

-- The newest matches. Returns their ids; nil if the turn ended before they were found.
function slices.first(s, limit)
  if find_top(s, limit) then return nil end
  local ids = {}
  for i = 1, math.min(limit, #s.top) do
    ids[i] = s.top[i][2]
    s.times[ids[i]] = s.top[i][1]
  end
  return ids
end

-- Takes a slice from all matches, where they are known.
local function from_top(s, newer, at, id, limit)
  local ids, from, to, step = {}, 1, #s.top, 1
  if newer then from, to, step = #s.top, 1, -1 end
  for i = from, to, step do
    local place = s.top[i]
    local is_beyond = newer and is_before(place, at, id)
      or not newer and not is_before(place, at, id) and place[2] ~= id
    if is_beyond and #ids < limit then
      ids[#ids + 1] = place[2]
      s.times[place[2]] = place[1]
    end
  end
  return ids
end

-- A slice of the matches from a place on. `walk` is what an earlier call returned. Returns ids; or nil and, if
-- conversations are looked at one by one, {time and id of the last one looked at, time and id of each match}.
function slices.matching(s, direction, at, id, limit, walked)
  if s.matches == 0 then return {} end
  if s.complete == "all" then return from_top(s, direction == "newer", at, id, limit) end
  if s.query and s.is_exact and not walked then
    local ids = matching(s, direction, at, id, limit)
    if ids then return ids end
    return nil, { at, id }
  end
  walked = walked or { at, id }
  local found, ids = { at, id }, {}
  local function add(time, one)
    found[#found + 1], found[#found + 2] = time, one
    ids[#ids + 1], s.times[one] = one, time
    return #ids >= limit
  end
  for i = 3, #walked, 2 do
    -- Since it was found it may have moved, or changed.
    local c = known.read(s, walked[i + 1])
    if c and tonumber(c.lm) == tonumber(walked[i]) and known.is_match(s, c) then add(walked[i], walked[i + 1]) end
  end
  if #ids >= limit then return ids end
  local last, is_over = walk(s, direction, walked[1], walked[2], add)
  if not is_over then return ids end
  found[1], found[2] = last[1], last[2]
  return nil, found
end

-- Whether a conversation still matches, and is on the other side of a place or at it.
local function is_behind(s, direction, at, id)
  if #id ~= 36 then return false end
  local c = known.read(s, id)
  if not c or not checks.is_time(c.lm) or not known.is_match(s, c) then return false end
  if direction == "newer" then return tonumber(c.lm) <= tonumber(at) end
  return tonumber(c.lm) >= tonumber(at)
end

-- Whether there are matches on the other side of a place, or at it. If that takes too long to find out, there may be.
function slices.has_behind(s, direction, at, id)
  if at == "" or s.matches == 0 then return false end
  if is_behind(s, direction, at, id) then return true end
  local newer = direction == "newer"
  if s.complete == "all" then
    for _, place in ipairs(s.top) do
      if place[2] == id and place[1] == at or is_before(place, at, id) ~= newer then return true end
    end
    return false
  end
  if not newer and s.top[1] then return is_before(s.top[1], at, id) end
  if s.query and s.is_exact then
    local behind = search.count(s, search.between(s, newer and "[-inf (" .. at .. "]" or "[(" .. at .. " +inf]"))
    if behind ~= 0 then return true end
    local ties = search.ties(s, at)
    for _, tie in ipairs(ties or {}) do
      if newer and tie <= id or not newer and tie >= id then return true end
    end
    if ties then return false end
  end
  local last, is_over = walk(s, newer and "older" or "newer", at, id, function() return true end)
  return last ~= nil or is_over
end

-- Places of matches, from a place on: the first `skipped` are left out. Returns time and id of each up to `limit`; if
-- the turn ended, also the place of the last one looked at and how many are still to be skipped.
function slices.places(s, at, id, skipped, limit)
  local places = {}
  local last, is_over = walk(s, "older", at, id, function(time, one)
    if skipped > 0 then
      skipped = skipped - 1
      return false
    end
    places[#places + 1] = time .. " " .. one
    return #places >= limit
  end)
  return places, is_over and last or nil, skipped
end

return slices
