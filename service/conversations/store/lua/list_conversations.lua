-- Finds conversations, in one snapshot with the counts.
--
-- Order: by the latest message's time, then by id, both descending. RediSearch leaves the order of equal times open,
-- so a time that the edge of a slice cuts through is fetched whole and put in order here.

--
-- Damage: a record that cannot be shown is answered without bytes. Who meets one, or a place that cannot be one, asks
-- list_sound_conversations: there `careful` is set, and what stands in the index or in `recent` and is no place
-- (another name than an id, a time that is no whole number) is passed over. That takes a fifth more time.

-- The id of a key that the index found; nil where the name is none.
local function id_of(p, s, key)
  local id = string.sub(key, -36)
  if not s.careful or conversation_key(p, id) == key and is_id(id) then return id end
end

local function search(p, s, query, ...)
  local reply = redis.call("FT.SEARCH", index_alias(p), query, "NOCONTENT", "VERBATIM", "TIMEOUT", s.timeout_ms, ...)
  local ids = {}
  for i = 2, #reply do ids[#ids + 1] = id_of(p, s, reply[i]) end
  return ids, reply[1]
end

local function count(p, s, query)
  local _, total = search(p, s, query, "LIMIT", 0, 0, "DIALECT", 2)
  return total
end

-- A query narrowed by a clause; "*" stands for everything only as a whole query.
local function narrowed(query, clause)
  if query == "*" then return clause end
  return "(" .. query .. ") " .. clause
end

local function between(query, range) return narrowed(query, "@lm:" .. range) end

-- All matches sent at one time, by id, ascending.
local function ties(p, s, at)
  if s.all and redis.call("ZCOUNT", recent_key(p), at, at) == 0 then return {} end
  local ids = search(p, s, between(s.query, "[" .. at .. " " .. at .. "]"), "LIMIT", 0, 1000000, "DIALECT", 2)
  table.sort(ids)
  for _, id in ipairs(ids) do s.times[id] = at end
  return ids
end

-- Whether no more than one conversation has a time.
local function is_single(p, s, at) return s.all and redis.call("ZCOUNT", recent_key(p), at, at) < 2 end

-- Matches of a range of times, by time in a direction ("ASC" or "DESC") and by id in the same direction: `limit` of
-- them behind the first `offset`. Notes their times. `passed`: so many of those found are known to be no places.
local function sorted(p, s, range, direction, offset, limit, passed)
  passed = passed or 0
  local query = range and between(s.query, range) or s.query
  local reply = redis.call("FT.SEARCH", index_alias(p), query, "NOCONTENT", "VERBATIM", "TIMEOUT", s.timeout_ms,
    "SORTBY", "lm", direction, "WITHSORTKEYS", "LIMIT", offset, limit + passed, "DIALECT", 2)
  local found = (#reply - 1) / 2
  local groups, order, places = {}, {}, 0
  for i = 2, #reply, 2 do
    local id, at = id_of(p, s, reply[i]), string.sub(reply[i + 1] or "#", 2)
    -- Without a time, a document comes last.
    if id and at ~= "" and (not s.careful or is_time(at)) then
      places = places + 1
      s.times[id] = at
      if not groups[at] then
        groups[at] = {}
        order[#order + 1] = at
      end
      table.insert(groups[at], id)
    end
  end
  if found - places > passed and reply[1] > offset + found and passed < MAX_PASSED then
    return sorted(p, s, range, direction, offset, limit, found - places)
  end
  if places == 0 then return {} end
  local first, last = order[1], order[#order]
  local skipped = 0
  if offset > 0 then
    local nearer = direction == "DESC" and "[(" .. first .. " +inf]" or "[-inf (" .. first .. "]"
    skipped = offset - count(p, s, between(s.query, nearer))
    groups[first] = ties(p, s, first)
  end
  if reply[1] > offset + found and (last ~= first or offset == 0) and not is_single(p, s, last) then
    groups[last] = ties(p, s, last)
  end
  local result = {}
  for _, at in ipairs(order) do
    table.sort(groups[at], function(a, b) if direction == "DESC" then return a > b end return a < b end)
    for i, id in ipairs(groups[at]) do
      if at ~= first or i > skipped then result[#result + 1] = id end
      if #result == limit then return result end
    end
  end
  return result
end

-- Puts the ids of the documents that pass a phrase check in its place in the query. Test M: there are different
-- positions p_i of the terms for which the largest p_i - i less the smallest is at most the slop.
local function positions_of(text, wanted)
  local positions, at = {}, 0
  for term in string.gmatch(text, "%S+") do
    at = at + 1
    if wanted[term] then
      positions[term] = positions[term] or {}
      table.insert(positions[term], at)
    end
  end
  return positions
end

-- Whether the terms have different positions with every p_i - i within [low, low + slop]. The windows of a term's
-- occurrences move to the right with i, so taking the first free position each time misses no choice.
local function fits(terms, positions, low, slop)
  local taken = {}
  for i, term in ipairs(terms) do
    local list, n = positions[term], (taken[term] or 0) + 1
    while list[n] and list[n] < low + i do n = n + 1 end
    if not list[n] or list[n] > low + i + slop then return false end
    taken[term] = n
  end
  return true
end

local function is_phrase(terms, positions, slop)
  for _, term in ipairs(terms) do
    if not positions[term] then return false end
  end
  for i, term in ipairs(terms) do
    for _, at in ipairs(positions[term]) do
      if fits(terms, positions, at - i, slop) then return true end
    end
  end
  return false
end

local function resolve(p, s, check)
  local reply = redis.call("FT.SEARCH", index_alias(p), check.candidates, "VERBATIM", "TIMEOUT", s.timeout_ms, "RETURN", 1,
    "x", "LIMIT", 0, s.max_candidates, "DIALECT", 2)
  if reply[1] > s.max_candidates then return nil, reply[1] end
  s.max_candidates = s.max_candidates - reply[1]
  local wanted, ids = {}, {}
  for _, term in ipairs(check.terms) do wanted[term] = true end
  for i = 2, #reply, 2 do
    local id = id_of(p, s, reply[i])
    if id and is_phrase(check.terms, positions_of(reply[i + 1][2] or "", wanted), check.slop) then
      ids[#ids + 1] = (string.gsub(id, "-", "\\-"))
    end
  end
  return "@id:{" .. (#ids > 0 and table.concat(ids, "|") or "none") .. "}"
end

-- What a reader of a dictionary lacks: how many words it may keep, a mark of the last one that there is, the words.
-- The ids of conversations are a list, in which the id itself is the mark; other words are in a sorted set, and their
-- score is.
local function unknown_words(p, name, known, mark)
  local key = words_key(p, name)
  if not try(name == "id" and "LLEN" or "ZCARD", key) then damaged("dictionary", name) end
  if name == "id" then
    if known > 0 and redis.call("LINDEX", key, known - 1) ~= mark then known = 0 end
    local ids = redis.call("LRANGE", key, known, known + 9999)
    local lacking = { known, ids[#ids] or "0" }
    for i, id in ipairs(ids) do lacking[i + 2] = id end
    return lacking
  end
  if known > 0 then
    local last = redis.call("ZRANGE", key, known - 1, known - 1, "WITHSCORES")[2]
    if last ~= mark then known = 0 end
  end
  local flat = redis.call("ZRANGE", key, known, known + 9999, "WITHSCORES")
  local lacking = { known, flat[#flat] or "0" }
  for i = 1, #flat, 2 do lacking[#lacking + 1] = flat[i] end
  return lacking
end

-- Whether the hash of a conversation, as it is stored, is what a predicate asks for. A predicate says the same as a
-- query; see predicates.py for its form.
local function is_match(predicate, c)
  local kind = predicate[1]
  if kind == "and" then
    for i = 2, #predicate do
      if not is_match(predicate[i], c) then return false end
    end
    return true
  elseif kind == "or" then
    for i = 2, #predicate do
      if is_match(predicate[i], c) then return true end
    end
    return false
  elseif kind == "not" then
    return not is_match(predicate[2], c)
  elseif kind == "words" then
    local text = " " .. (c.x or "") .. " "
    for i = 2, #predicate do
      if string.find(text, " " .. predicate[i] .. " ", 1, true) then return true end
    end
    return false
  elseif kind == "phrase" then
    local wanted, terms = {}, {}
    for i = 3, #predicate do
      terms[i - 2] = predicate[i]
      wanted[predicate[i]] = true
    end
    return is_phrase(terms, positions_of(c.x or "", wanted), predicate[2])
  elseif kind == "numbers" then
    local number = tonumber(c[predicate[2]])
    if not number then return false end
    for i = 3, #predicate, 2 do
      if number >= predicate[i] and number <= predicate[i + 1] then return true end
    end
    return false
  elseif kind == "start" then
    return string.sub(c.id or "", 1, #predicate[2]) == predicate[2]
  end
  -- "values" of a field; tags alone are several, with commas between.
  local field = predicate[2]
  local value = c[field]
  if not value then return false end
  if field == "src" or field == "st" then value = string.lower(value) end
  for i = 3, #predicate do
    local wanted = predicate[i]
    if value == wanted and (field ~= "tg" or not string.find(wanted, ",", 1, true)) then return true end
    if field == "tg" and not string.find(wanted, ",", 1, true)
      and string.find("," .. value .. ",", "," .. wanted .. ",", 1, true) then return true end
  end
  return false
end

-- Whether the index finds the hash of a conversation for a predicate. It has none with a number that cannot be read.
local function is_found(predicate, c)
  for _, name in ipairs({ "lm", "ca", "un", "ih" }) do
    if not is_time(c[name]) then return false end
  end
  return is_match(predicate, c)
end

-- How many values, terms and numbers a predicate has, which is what it takes to ask it.
local function size_of(predicate)
  local kind = predicate[1]
  if kind ~= "and" and kind ~= "or" and kind ~= "not" then return #predicate end
  local size = 0
  for i = 2, #predicate do size = size + size_of(predicate[i]) end
  return size
end

-- Read only where it is asked: most pages find that nothing has changed.
local function predicate_of(s)
  s.predicate = s.predicate or cjson.decode(s.predicate_text)
  return s.predicate
end

-- The most changes that are looked at one by one, and the most questions that may take. Beyond that a search is made.
local MAX_CHANGES, MAX_QUESTIONS = 200, 2000

-- More than the largest page wants.
local MAX_TOP = 120

-- Brings the newest matches up to date for a conversation that is a match now, with its time, or that is none.
local function enter(s, id, at)
  local top = s.top
  for i, place in ipairs(top) do
    if place[2] == id then
      table.remove(top, i)
      break
    end
  end
  if not at then return end
  local i = 1
  while top[i] and (tonumber(top[i][1]) > tonumber(at) or top[i][1] == at and top[i][2] > id) do i = i + 1 end
  -- Behind the last of some there may be others.
  if i <= #top or s.has_all then table.insert(top, i, { at, id }) end
  if #top > MAX_TOP then
    table.remove(top)
    s.has_all = false
  end
end

-- Brings what a caller knows of an earlier search up to the present, without a search: "<entry of the log of changes>
-- <matches> <1 where all of these follow, or 0 where only the newest do> <time and id of each, newest first>". Only
-- conversations that changed since then can have become a match, or ceased to be one. Sets s.matches, s.top and
-- s.has_all to the same of now. Sets none of them if it cannot: the log has to hold the entry still.
local function carry_on(p, s, known)
  local entry, matches, has_all, top = string.match(known, "^(%S+) (%S+) ([01])(.*)$")
  if not entry then return end
  local log = shared("XRANGE", changes_key(p), entry, "+", "COUNT", MAX_CHANGES + 2)
  if not log or #log == 0 or log[1][1] ~= entry or #log > MAX_CHANGES + 1 then return end
  if #log > 2 and (#log - 1) * size_of(predicate_of(s)) > MAX_QUESTIONS then return end
  for i = 2, #log do
    if log[i][2][1] ~= "key" or log[i][2][3] == "lost" then return end
  end
  s.matches, s.has_all, s.top, s.is_as_known = tonumber(matches), has_all == "1", {}, #log == 1
  for at, id in string.gmatch(top, "(%S+) (%S+)") do s.top[#s.top + 1] = { at, id } end
  local seen = {}
  for i = 2, #log do
    local before, flat = {}, log[i][2]
    for f = 1, #flat, 2 do before[flat[f]] = flat[f + 1] end
    if not seen[before.key] then
      seen[before.key] = true
      local now = read_hash(conversation_key(p, before.key))
      local was, is = before.lm and is_found(predicate_of(s), before), is_found(predicate_of(s), now)
      s.matches = s.matches + (is and 1 or 0) - (was and 1 or 0)
      enter(s, before.key, is and now.lm)
    end
  end
end

-- Reads the arguments that all functions of this file share:
--
--   search time-out in ms, the most candidates of all phrases, query ("" where there is no filter), number of word
--   dictionaries, of each its field, how many words the caller knows and the mark of the last, number of phrase
--   checks, of each the query for candidates, slop, number of terms, the terms, then what the query costs over 100,000
--   conversations, the most that it may cost, and the most that it may where it is counted and read by one call, all
--   in ms; then the predicate of the query or "", and what the caller knows of an earlier search, as carry_on has it,
--   or ""; without these five it may cost anything
--
-- `careful` makes nothing of the last two. Returns the search, or nil and an answer: {"stale", then for each dictionary
-- what unknown_words returns}, or {"costly", what the query costs over the conversations that there are}.
local function read_search(p, argv, next, careful)
  local s = { timeout_ms = argv[next], max_candidates = tonumber(argv[next + 1]), query = argv[next + 2], times = {},
    careful = careful }
  local dictionaries = tonumber(argv[next + 3])
  next = next + 4
  local answer, stale = { "stale" }, false
  for _ = 1, dictionaries do
    local known = tonumber(argv[next + 1])
    local lacking = unknown_words(p, argv[next], known, argv[next + 2])
    stale = stale or lacking[1] ~= known or #lacking > 2
    answer[#answer + 1] = lacking
    next = next + 3
  end
  if stale then return nil, answer end
  local checks, asked = tonumber(argv[next]), {}
  next = next + 1
  for i = 1, checks do
    local check = { candidates = argv[next], slop = tonumber(argv[next + 1]), terms = {} }
    for t = 1, tonumber(argv[next + 2]) do check.terms[t] = argv[next + 2 + t] end
    next = next + 3 + #check.terms
    asked[i] = check
  end
  local all = shared("ZCARD", recent_key(p))
  local share = all and math.min(1, all / 100000) or 1
  -- Nil where `recent` is of no use: then lists come from the index alone.
  s.all = all ~= 0 and all or nil
  s.cost = math.ceil(tonumber(argv[next] or "0") * share)
  if s.cost > tonumber(argv[next + 1] or "inf") then return nil, { "costly", s.cost } end
  s.max_cost_at_once = tonumber(argv[next + 2] or "inf")
  if (argv[next + 3] or "") ~= "" and not careful then s.predicate_text = argv[next + 3] end
  if s.predicate_text then carry_on(p, s, argv[next + 4]) end
  s.phrase_checks = asked
  return s
end

-- Puts what the phrase checks find into the query. Returns nothing, or {"broad", candidates}.
local function resolve_phrases(p, s)
  for i, check in ipairs(s.phrase_checks) do
    local ids, candidates = resolve(p, s, check)
    if not ids then return { "broad", candidates } end
    s.query = string.gsub(s.query, "<<" .. i - 1 .. ">>", (string.gsub(ids, "%%", "%%%%")))
  end
end

-- Members of `recent` from a rank on. Notes their times.
local function recent_ids(p, s, command, rank, limit)
  if s.careful then
    local ids, times = entries(recent_key(p), command, rank, limit, 36)
    for i, id in ipairs(ids) do s.times[id] = times[i] end
    return ids
  end
  local found = redis.call(command, recent_key(p), rank, rank + limit - 1, "WITHSCORES")
  local ids = {}
  for i = 1, #found, 2 do
    ids[#ids + 1] = found[i]
    s.times[found[i]] = found[i + 1]
  end
  return ids
end

-- A slice of all conversations, from the set that is kept in order.
local function recent_slice(p, s, direction, at, id, limit)
  if direction == "newer" then
    local behind = rank_of(recent_key(p), at, id)
    if redis.call("ZRANGE", recent_key(p), behind, behind)[1] == id then behind = behind + 1 end
    return recent_ids(p, s, "ZRANGE", behind, limit), behind, s.all
  end
  local behind = at == "" and 0 or s.all - rank_of(recent_key(p), at, id)
  return recent_ids(p, s, "ZREVRANGE", behind, limit), behind, s.all
end

-- Whether a conversation, if it is still a match, stands on the other side of a place, or at it.
local function is_behind(p, s, direction, at, id)
  if #id ~= 36 then return false end
  local c = read_hash(conversation_key(p, id))
  if not is_time(c.lm) then return false end
  if s.predicate_text then
    if not is_found(predicate_of(s), c) then return false end
  else
    local own = "@id:{" .. string.gsub(id, "-", "\\-") .. "}"
    if count(p, s, narrowed(s.query, own)) == 0 then return false end
  end
  if direction == "newer" then return tonumber(c.lm) <= tonumber(at) end
  return tonumber(c.lm) >= tonumber(at)
end

-- How many matches stand on the other side of a place; where only their being there is known, 1 at least.
local function count_behind(p, s, direction, at, id)
  if is_behind(p, s, direction, at, id) then return 1 end
  local newer = direction == "newer"
  local behind = count(p, s, between(s.query, newer and "[-inf (" .. at .. "]" or "[(" .. at .. " +inf]"))
  if behind > 0 then return behind end
  for _, tie in ipairs(ties(p, s, at)) do
    if newer and tie <= id or not newer and tie >= id then behind = behind + 1 end
  end
  return behind
end

-- A slice of the matches of a filter.
--
-- To sort all matches of a broad filter takes several times as long as to count them, and to count them longer than
-- to find a page. So matches are counted only where what is known of them cannot be carried on, and looked for in
-- windows of time, from the place on: one that should hold enough, then a wider one, then the rest. A window begins and
-- ends between two times, never within the conversations of one time.
local function matching_slice(p, s, direction, at, id, limit)
  local key = recent_key(p)
  if not s.matches then s.matches = count(p, s, s.query) end
  local newer = direction == "newer"
  if s.matches == 0 then return {}, 0, 0 end
  local behind = at == "" and 0 or count_behind(p, s, direction, at, id)

  local ids = {}
  local function take(found)
    for _, one in ipairs(found) do
      if #ids == limit then return end
      ids[#ids + 1] = one
    end
  end
  -- The conversations of the place's own time, beyond the place.
  if at ~= "" and not (is_single(p, s, at) and tonumber(redis.call("ZSCORE", key, id)) == tonumber(at)) then
    local beyond = {}
    for _, tie in ipairs(ties(p, s, at)) do
      if newer and tie > id then beyond[#beyond + 1] = tie end
      if not newer and tie < id then table.insert(beyond, 1, tie) end
    end
    take(beyond)
  end
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
    -- A range takes time too, and what is newer than the windows is known not to match.
    if #ids == 0 and at == "" and edge == "-inf" then range = nil end
    take(sorted(p, s, range, newer and "ASC" or "DESC", 0, limit - #ids))
    if edge == "+inf" or edge == "-inf" then break end
    near, rank, width = "(" .. edge, rank + width, 16 * width
  end
  return ids, behind, s.matches
end

-- What the caller may hand in with its next search of the same query; "" where it knows that already, or where it
-- would be of no use.
local function known_now(p, s)
  if s.is_as_known or not s.predicate_text then return "" end
  local last = (shared("XREVRANGE", changes_key(p), "+", "-", "COUNT", 1) or {})[1]
  if not last then return "" end
  local known = { last[1], integer(s.matches), s.has_all and "1" or "0" }
  for i, place in ipairs(s.top or {}) do known[3 + i] = place[1] .. " " .. place[2] end
  return table.concat(known, " ")
end

-- How many more matches than a first page has are looked for: so many may go before the page has to be searched again.
local SPARE = 12

local function knows_top(s, limit) return s.top and (s.has_all or #s.top >= limit) end

-- The newest matches of a filter: from what is known, if that is enough, otherwise by a search that is noted.
local function first_slice(p, s, limit)
  if not knows_top(s, limit) then
    local ids = matching_slice(p, s, "older", "", "", limit + SPARE)
    s.top, s.has_all, s.is_as_known = {}, #ids < limit + SPARE, false
    for i, id in ipairs(ids) do s.top[i] = { s.times[id], id } end
  end
  local ids = {}
  for i = 1, math.min(limit, #s.top) do
    ids[i] = s.top[i][2]
    s.times[ids[i]] = s.top[i][1]
  end
  return ids, 0, s.matches
end

-- How many conversations are unread. Where the count of them is lost, or cannot be, they are counted.
local function count_unread_ones(p, s)
  local unread = shared("HGET", counts_key(p), "unread")
  if is_count(unread) and tonumber(unread) <= (s.all or 0) then return tonumber(unread) end
  return count(p, s, "@un:[1 +inf]")
end

-- Lists conversations from a place on.
--
-- ARGV: "older" or "newer", time in ms and id of the conversation to start behind ("" for the newest), the most
--       conversations, then a search as read_search has it
-- Returns: {"ok", all conversations, matches, unread conversations, matches on the other side of the place (where there
--          are some, 1 at least), 1 where there are more beyond the last one, otherwise 0, what the caller knows of the
--          search from now on, time, id and length of the bytes of each conversation with blanks between, each as
--          field 1 of a message, the nearest to the place first, 1 where some are damaged, without bytes, otherwise 0};
--          {"counted", what the caller knows of the search from now on}, which it hands in with another call;
--          {"broad", candidates} where phrases have too many; or as read_search.
local function list_conversations(p, argv, careful)
  local limit = tonumber(argv[4])
  local s, other = read_search(p, argv, 5, careful)
  if not s then return other end
  local is_filtered = s.query ~= ""
  local ids, behind, matches
  if not is_filtered and s.all then
    ids, behind, matches = recent_slice(p, s, argv[1], argv[2], argv[3], limit + 1)
  else
    if not is_filtered then s.query = "*" end
    local is_first = argv[1] == "older" and argv[2] == ""
    if not (is_first and knows_top(s, limit + 1)) then
      local broad = resolve_phrases(p, s)
      if broad then return broad end
    end
    if not s.matches and s.predicate_text and s.cost > s.max_cost_at_once then
      s.matches = count(p, s, s.query)
      return { "counted", known_now(p, s) }
    end
    if is_first then
      ids, behind, matches = first_slice(p, s, limit + 1)
    else
      ids, behind, matches = matching_slice(p, s, argv[1], argv[2], argv[3], limit + 1)
    end
  end
  local answer = { "ok", s.all or count(p, s, "*"), matches, count_unread_ones(p, s), behind, #ids > limit and 1 or 0,
    is_filtered and known_now(p, s) or "" }
  local channels, places, bytes, some_damaged = {}, {}, {}, 0
  for i = 1, math.min(#ids, limit) do
    local own, channel, rest = conversation_parts(p, ids[i], channels, careful)
    local n = #places
    places[n + 1], places[n + 2] = s.times[ids[i]], ids[i]
    if own then
      local size = #own + #channel + #rest
      local head = "\10" .. varint(size)
      places[n + 3] = #head + size
      n = #bytes
      bytes[n + 1], bytes[n + 2], bytes[n + 3], bytes[n + 4] = head, own, channel, rest
    else
      places[n + 3], some_damaged = 0, 1
    end
  end
  answer[8], answer[9], answer[10] = table.concat(places, " "), table.concat(bytes), some_damaged
  return answer
end

reading_function("list_conversations", function(keys, argv) return list_conversations(keys[1], argv, false) end)

-- The same for one who met damage.
reading_function("list_sound_conversations", function(keys, argv) return list_conversations(keys[1], argv, true) end)

-- Counts the words of dictionaries. ARGV: names of fields other than id. Returns: how many words each has had so far.
reading_function("count_words", function(keys, argv)
  local counts = {}
  for i, name in ipairs(argv) do counts[i] = shared("ZCARD", words_key(keys[1], name)) or 0 end
  return counts
end)

-- Lists only the places of conversations, by number: for cursors that are offsets.
--
-- ARGV: number of the first, from 0, the most places, then a search as read_search has it
-- Returns: {"ok", times and ids with blanks between, newest first}, {"broad", candidates}, or as read_search.
reading_function("list_places", function(keys, argv)
  local p, offset, limit = keys[1], tonumber(argv[1]), tonumber(argv[2])
  local s, other = read_search(p, argv, 3, true)
  if not s then return other end
  local broad = resolve_phrases(p, s)
  if broad then return broad end
  local ids
  if s.query == "" and s.all then
    ids = recent_ids(p, s, "ZREVRANGE", offset, limit)
  else
    if s.query == "" then s.query = "*" end
    ids = sorted(p, s, nil, "DESC", offset, limit)
  end
  local places = {}
  for i, id in ipairs(ids) do places[i] = s.times[id] .. " " .. id end
  return { "ok", table.concat(places, " ") }
end)
