-- What a caller knows of a search from an earlier reply, updated without another search: only conversations that have
-- changed since can have become a match, or stopped being one.
--
-- As text: "<entry of the log of changes> <matches> <1 if all of these follow, 0 if only the newest do> <time and id of
-- each, newest first>". In a search: matches, has_all, and top, a list of {time, id}; all nil if nothing is known.
local keys = require("keys")
local access = require("access")
local format = require("format")
local changes = require("changes")
local predicate = require("predicate")

local known = {}

-- Maximum changes to evaluate, and maximum comparisons that these may take. With more, a search is made.
local MAX_CHANGES, MAX_COMPARISONS = 200, 2000

-- More than the largest page needs.
local MAX_TOP = 120

-- Decoded only when needed: for most pages nothing has changed.
local function predicate_of(s)
  s.predicate = s.predicate or cjson.decode(s.predicate_text)
  return s.predicate
end

-- Whether the index finds the hash of a conversation.
function known.is_found(s, c) return predicate.is_found(predicate_of(s), c) end

-- Whether a place (time, id) comes before another in a list.
local function is_before(place, at, id)
  return tonumber(place[1]) > tonumber(at) or place[1] == at and place[2] > id
end

-- Updates the newest matches for a conversation: a match if it has a time.
local function update_top(s, id, at)
  local top = s.top
  for i, place in ipairs(top) do
    if place[2] == id then
      table.remove(top, i)
      break
    end
  end
  if not at then return end
  local i = 1
  while top[i] and is_before(top[i], at, id) do i = i + 1 end
  -- If these aren't all matches, unknown ones may follow the last.
  if i <= #top or s.has_all then table.insert(top, i, { at, id }) end
  if #top > MAX_TOP then
    table.remove(top)
    s.has_all = false
  end
end

-- Updates what a caller knows. Sets nothing if it cannot: the log must still have the entry.
function known.catch_up(s, text)
  local entry, matches, has_all, top = string.match(text, "^(%S+) (%S+) ([01])(.*)$")
  if not entry then return end
  local since = changes.since(s.p, entry, MAX_CHANGES)
  if not since then return end
  if #since > 1 and #since * predicate.size_of(predicate_of(s)) > MAX_COMPARISONS then return end
  s.matches, s.has_all, s.top, s.is_unchanged = tonumber(matches), has_all == "1", {}, #since == 0
  for at, id in string.gmatch(top, "(%S+) (%S+)") do s.top[#s.top + 1] = { at, id } end
  local seen = {}
  for _, before in ipairs(since) do
    if not seen[before.key] then
      seen[before.key] = true
      local now = access.read_hash(keys.conversation(s.p, before.key))
      local was, is = before.lm and known.is_found(s, before), known.is_found(s, now)
      s.matches = s.matches + (is and 1 or 0) - (was and 1 or 0)
      update_top(s, before.key, is and now.lm)
    end
  end
end

-- Whether enough of the newest matches are known for a page.
function known.has_top(s, limit) return s.top and (s.has_all or #s.top >= limit) end

-- What the caller may pass with its next search of the same query; "" if it knows that already, or if it is useless.
function known.text(s)
  if s.is_unchanged or not s.predicate_text then return "" end
  local last = changes.last(s.p)
  if not last then return "" end
  local parts = { last, format.integer(s.matches), s.has_all and "1" or "0" }
  for i, place in ipairs(s.top or {}) do parts[3 + i] = place[1] .. " " .. place[2] end
  return table.concat(parts, " ")
end

return known
