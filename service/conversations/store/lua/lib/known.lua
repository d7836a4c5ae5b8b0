-- What a caller knows of a search from an earlier reply, updated without another search: only conversations that have
-- changed since can have become a match, or stopped being one.
--
-- As text: "<entry of the log of changes> <matches> <counted> <complete> <time and id of each, newest first>":
--
--   matches   among the conversations that are counted
--   counted   which ones are:
--               all
--               rows:<n>                      those in the first n rows
--               ids:<id>                      those with this id or a smaller one
--               since:<time>:<n>:<widens>     those whose latest message has this time or a later one; the next n are
--                                             counted at once, then twice as many if `widens` is 1
--   complete  which matches follow:
--               all                           all that are counted
--               from:<time>:<id>              those down to a place
--               walk:<time>:<id>              the same; the next ones are to be found without the index
--               scan:<n>:<more>               the newest of the rows from n on; all of these if `more` is 0
--               none
--
-- In a search: matches, top (a list of {time, id}), and `rows`, `up_to` (an id), `since` with `width` and `widens`, or
-- none of these; `complete` is "all", "none", a place, with `walks`, or {rows = n, is_more = ...}. All are nil if
-- nothing is known.
local keys = require("keys")
local access = require("access")
local format = require("format")
local changes = require("changes")
local turn = require("turn")
local predicate = require("predicate")

local known = {}

-- Changes that are read from the log at once.
local READ_AT_ONCE = 50

-- More than the largest page needs.
known.MAX_TOP = 120

-- Whether a conversation's hash, with `p` and `id`, matches. With an exact query it is what the index finds.
function known.is_match(s, c)
  if not c.lm or c.lm == "" then return false end
  if s.is_exact then return predicate.is_found(s.predicate, c) end
  return predicate.is_match(s.predicate, c)
end

-- Some fields of a conversation's hash; nil if it cannot be read.
function known.read_fields(s, id, names)
  local values = access.try("HMGET", keys.conversation(s.p, id), unpack(names))
  if not values then return nil end
  local c = { p = s.p, id = id }
  for i, name in ipairs(names) do c[name] = values[i] or nil end
  return c
end

-- The fields of a conversation that the predicate needs; nil if it has no messages.
function known.read(s, id)
  s.reads = s.reads or predicate.reads({ "and", { "numbers", "lm" }, s.predicate })
  local c = known.read_fields(s, id, s.reads)
  return c and c.lm and c
end

-- Whether a place (time, id) comes before another in a list.
function known.is_before(place, at, id)
  return tonumber(place[1]) > tonumber(at) or tonumber(place[1]) == tonumber(at) and place[2] > id
end

local is_before = known.is_before

-- Whether a match belongs to the newest ones that are known, if it has a row.
local function belongs(s, at, id, row)
  local complete, top = s.complete, s.top
  if type(complete) ~= "table" then return complete == "all" end
  if not complete.rows then return not is_before(complete, at, id) end
  if complete.is_more and (not top[1] or is_before(top[#top], at, id)) then return false end
  return row ~= nil and row >= complete.rows
end

-- Adds a match that is not among the newest matches, if it belongs there. `row` is needed while rows are scanned.
function known.add_match(s, id, at, row)
  if not belongs(s, at, id, row) then return end
  local top, i = s.top, 1
  while top[i] and is_before(top[i], at, id) do i = i + 1 end
  table.insert(top, i, { at, id })
  if #top <= known.MAX_TOP then return end
  if s.rows then
    -- Others will be counted that are newer.
    s.top, s.complete = {}, "none"
    return
  end
  table.remove(top)
  if type(s.complete) == "table" and s.complete.rows then
    s.complete.is_more = true
  else
    s.complete = top[#top]
  end
end

-- Updates the newest matches for a conversation that was a match, or is one now: then it has a time.
local function update_top(s, id, at, row)
  for i, place in ipairs(s.top) do
    if place[2] == id then
      table.remove(s.top, i)
      break
    end
  end
  if at then known.add_match(s, id, at, row) end
end

local function is_counted(s, c, row)
  if s.rows then return row ~= nil and row < s.rows end
  if s.up_to then return c.id <= s.up_to end
  return not s.since or c.lm ~= nil and tonumber(c.lm) >= tonumber(s.since)
end

-- Takes one change into account.
local function follow(s, before, after)
  local is_row_needed = s.rows or type(s.complete) == "table" and s.complete.rows
  local row = is_row_needed and tonumber(access.try("HGET", keys.conversation(s.p, after.id), "row") or nil)
  local was = is_counted(s, before, row) and known.is_match(s, before)
  local is = is_counted(s, after, row) and known.is_match(s, after)
  s.matches = s.matches + (is and 1 or 0) - (was and 1 or 0)
  if was or is then update_top(s, after.id, is and after.lm, row) end
end

local function read_text(s, text)
  local entry, matches, counted, complete, top = string.match(text, "^(%S+) (%S+) (%S+) (%S+)(.*)$")
  if not entry then return nil end
  s.matches, s.top = tonumber(matches), {}
  s.rows = tonumber(string.match(counted, "^rows:(%d+)$"))
  s.up_to = string.match(counted, "^ids:(%S+)$")
  local since, width, widens = string.match(counted, "^since:([^:]+):(%d+):([01])$")
  s.since, s.width, s.widens = since, tonumber(width), widens == "1"
  local way, at, id = string.match(complete, "^(%l+):([^:]+):(%S+)$")
  if way == "scan" then
    s.complete = { rows = tonumber(at), is_more = id == "1" }
  else
    s.complete = at and { at, id, walks = way == "walk" } or complete
  end
  for time, one in string.gmatch(top, "(%S+) (%S+)") do s.top[#s.top + 1] = { time, one } end
  return entry
end

local function forget(s)
  s.matches, s.top, s.complete, s.entry = nil, nil, nil, nil
  s.rows, s.up_to, s.since = nil, nil, nil
end

-- Updates what a caller knows; all is nil if that cannot be done: the log must still have the entry. Returns whether
-- the turn ended before the last change.
function known.catch_up(s, text)
  s.entry = read_text(s, text)
  s.text = text
  local is_more = s.entry ~= nil
  while is_more do
    local since
    since, is_more = changes.since(s.p, s.entry, READ_AT_ONCE)
    if not since then
      forget(s)
      return false
    end
    for i, change in ipairs(since) do
      local ok, problem = pcall(follow, s, change[2], change[3])
      if not ok then
        if not (type(problem) == "table" and problem.is_outdated) then error(problem, 0) end
        forget(s)
        return false
      end
      s.entry = change[1]
      if turn.is_over() and (is_more or i < #since) then return true end
    end
  end
  return false
end

-- Whether enough of the newest matches are known for a page.
function known.has_top(s, limit)
  if type(s.complete) == "table" and s.complete.rows then return false end
  return s.complete == "all" or #s.top >= limit
end

-- Starts to count: nothing is counted. `counted`, if any, is "rows" or "since", and `from` where to start.
function known.start(s, counted, from)
  forget(s)
  s.entry = changes.last(s.p)
  s.matches, s.top, s.complete = 0, {}, "all"
  if counted then s[counted] = from end
end

-- What the caller may pass with its next search of the same filter; "" if it knows that already, or if it is useless.
function known.text(s)
  if not s.entry or not s.matches then return "" end
  local counted = s.rows and "rows:" .. s.rows or s.up_to and "ids:" .. s.up_to or "all"
  if s.since then counted = "since:" .. s.since .. ":" .. s.width .. ":" .. (s.widens and "1" or "0") end
  local complete = s.complete
  if type(complete) == "table" and complete.rows then
    complete = "scan:" .. complete.rows .. ":" .. (complete.is_more and "1" or "0")
  elseif type(complete) == "table" then
    complete = (complete.walks and "walk:" or "from:") .. complete[1] .. ":" .. complete[2]
  end
  local parts = { s.entry, format.integer(s.matches), counted, complete }
  for i, place in ipairs(s.top) do parts[4 + i] = place[1] .. " " .. place[2] end
  local text = table.concat(parts, " ")
  return text ~= s.text and text or ""
end

return known
