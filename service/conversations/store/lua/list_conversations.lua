-- Finds conversations, in one snapshot with the counts.
--
-- Order: by the latest message's time, then by id, both descending. RediSearch leaves the order of equal times open,
-- so a time that the edge of a slice cuts through is fetched whole and put in order here.

local function search(p, s, query, ...)
  local reply = redis.call("FT.SEARCH", index_alias(p), query, "NOCONTENT", "VERBATIM", "TIMEOUT", s.timeout_ms, ...)
  local ids = {}
  for i = 2, #reply do ids[i - 1] = string.sub(reply[i], -36) end
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
  local ids = search(p, s, between(s.query, "[" .. at .. " " .. at .. "]"), "LIMIT", 0, 1000000, "DIALECT", 2)
  table.sort(ids)
  return ids
end

local function time_of(p, id) return redis.call("ZSCORE", recent_key(p), id) end

-- Matches of a range of times, by time in a direction ("ASC" or "DESC") and by id in the same direction: `limit` of
-- them behind the first `offset`, and how many there are in all.
local function sorted(p, s, range, direction, offset, limit)
  local query = range and between(s.query, range) or s.query
  local ids, total = search(p, s, query, "SORTBY", "lm", direction, "LIMIT", offset, limit, "DIALECT", 2)
  if #ids == 0 then return ids, total end
  local times, groups, order = {}, {}, {}
  for _, id in ipairs(ids) do
    local at = time_of(p, id)
    if not groups[at] then
      groups[at] = {}
      order[#order + 1] = at
    end
    table.insert(groups[at], id)
  end
  local first, last = order[1], order[#order]
  local skipped = 0
  if offset > 0 then
    local nearer = direction == "DESC" and "[(" .. first .. " +inf]" or "[-inf (" .. first .. "]"
    skipped = offset - count(p, s, between(s.query, nearer))
    groups[first] = ties(p, s, first)
  end
  if total > offset + #ids and (last ~= first or offset == 0) then groups[last] = ties(p, s, last) end
  local result = {}
  for _, at in ipairs(order) do
    table.sort(groups[at], function(a, b) if direction == "DESC" then return a > b end return a < b end)
    for i, id in ipairs(groups[at]) do
      if at ~= first or i > skipped then result[#result + 1] = id end
      if #result == limit then return result, total end
    end
  end
  return result, total
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
    if is_phrase(check.terms, positions_of(reply[i + 1][2], wanted), check.slop) then
      ids[#ids + 1] = (string.gsub(string.sub(reply[i], -36), "-", "\\-"))
    end
  end
  return "@id:{" .. (#ids > 0 and table.concat(ids, "|") or "none") .. "}"
end

-- What a reader of a dictionary lacks: how many words it may keep, the score of the last one, the words.
local function unknown_words(key, known, last_score)
  if known > 0 then
    local last = redis.call("ZRANGE", key, known - 1, known - 1, "WITHSCORES")[2]
    if not last or tonumber(last) ~= tonumber(last_score) then known = 0 end
  end
  local flat = redis.call("ZRANGE", key, known, known + 9999, "WITHSCORES")
  local lacking = { known, #flat > 0 and integer(tonumber(flat[#flat])) or "0" }
  for i = 1, #flat, 2 do lacking[#lacking + 1] = flat[i] end
  return lacking
end

-- Reads the arguments that all functions of this file share:
--
--   search time-out in ms, the most candidates of all phrases, query ("" where there is no filter), number of word
--   dictionaries, of each its field, how many words the caller knows and the score of the last, number of phrase
--   checks, of each the query for candidates, slop, number of terms, the terms, then what the query costs over 100,000
--   conversations and the most that it may cost, in ms; without these two it may cost anything
--
-- Returns the search, or nil and an answer: {"stale", then for each dictionary what unknown_words returns},
-- {"broad", candidates}, or {"costly", what the query costs over the conversations that there are}.
local function read_search(p, argv, next)
  local s = { timeout_ms = argv[next], max_candidates = tonumber(argv[next + 1]), query = argv[next + 2] }
  local dictionaries = tonumber(argv[next + 3])
  next = next + 4
  local answer, stale = { "stale" }, false
  for _ = 1, dictionaries do
    local known = tonumber(argv[next + 1])
    local lacking = unknown_words(words_key(p, argv[next]), known, argv[next + 2])
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
  local share = math.min(1, redis.call("ZCARD", recent_key(p)) / 100000)
  local cost = math.ceil(tonumber(argv[next] or "0") * share)
  if cost > tonumber(argv[next + 1] or "inf") then return nil, { "costly", cost } end
  for i, check in ipairs(asked) do
    local ids, candidates = resolve(p, s, check)
    if not ids then return nil, { "broad", candidates } end
    s.query = string.gsub(s.query, "<<" .. i - 1 .. ">>", (string.gsub(ids, "%%", "%%%%")))
  end
  return s
end

-- A slice of all conversations, from the set that is kept in order.
local function recent_slice(p, direction, at, id, limit)
  local key = recent_key(p)
  local total = redis.call("ZCARD", key)
  if direction == "newer" then
    local rank = rank_of(key, at, id)
    if redis.call("ZRANGE", key, rank, rank)[1] == id then rank = rank + 1 end
    return redis.call("ZRANGE", key, rank, rank + limit - 1), rank, total
  end
  local rank = at == "" and total or rank_of(key, at, id)
  if rank == 0 then return {}, total, total end
  return redis.call("ZREVRANGE", key, total - rank, total - rank + limit - 1), total - rank, total
end

-- Whether a conversation, if it is still a match, stands on the other side of a place, or at it.
local function is_behind(p, s, direction, at, id)
  local own = "@id:{" .. string.gsub(id, "-", "\\-") .. "}"
  local found = #id == 36 and search(p, s, narrowed(s.query, own), "LIMIT", 0, 1, "DIALECT", 2)
  if not found or #found == 0 then return false end
  local time = tonumber(time_of(p, id))
  if direction == "newer" then return time <= tonumber(at) end
  return time >= tonumber(at)
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

-- The same for the matches of a filter.
--
-- To sort all matches of a broad filter takes several times as long as to count them. So they are looked for in
-- windows of time, from the place on: one that should hold enough, then wider ones. A window begins and ends between
-- two times, never within the conversations of one time. Few matches are sorted at once.
local function matching_slice(p, s, direction, at, id, limit)
  local key = recent_key(p)
  local all, total = redis.call("ZCARD", key), count(p, s, s.query)
  local newer = direction == "newer"
  local behind = at == "" and 0 or count_behind(p, s, direction, at, id)
  if total == 0 then return {}, behind, total end

  local ids = {}
  local function take(found)
    for _, one in ipairs(found) do
      if #ids == limit then return end
      ids[#ids + 1] = one
    end
  end
  -- The conversations of the place's own time, beyond the place.
  if at ~= "" then
    local beyond = {}
    for _, tie in ipairs(ties(p, s, at)) do
      if newer and tie > id then beyond[#beyond + 1] = tie end
      if not newer and tie < id then table.insert(beyond, 1, tie) end
    end
    take(beyond)
  end
  local width = math.ceil(2 * limit * all / total) + 50
  local rank
  if at == "" then
    rank = 0
  elseif newer then
    rank = redis.call("ZCOUNT", key, "-inf", at)
  else
    rank = redis.call("ZCOUNT", key, at, "+inf")
  end
  local near = at == "" and "+inf" or "(" .. at
  while #ids < limit and rank < all do
    local edge = redis.call(newer and "ZRANGE" or "ZREVRANGE", key, rank + width, rank + width, "WITHSCORES")[2]
    if not edge or 4 * width > all then edge = newer and "+inf" or "-inf" end
    local range = newer and "[" .. near .. " " .. edge .. "]" or "[" .. edge .. " " .. near .. "]"
    take((sorted(p, s, range, newer and "ASC" or "DESC", 0, limit - #ids)))
    if edge == "+inf" or edge == "-inf" then break end
    near, rank, width = "(" .. edge, rank + width, 16 * width
  end
  return ids, behind, total
end

-- Lists conversations from a place on.
--
-- ARGV: "older" or "newer", time in ms and id of the conversation to start behind ("" for the newest), the most
--       conversations, then a search as read_search has it
-- Returns: {"ok", all conversations, matches, unread conversations, matches on the other side of the place (where there
--          are some, 1 at least), then time, id and Conversation bytes of each, the nearest to the place first}, or as
--          read_search.
redis.register_function{
  function_name = "list_conversations",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p, limit = keys[1], tonumber(argv[4])
    local s, other = read_search(p, argv, 5)
    if not s then return other end
    local ids, behind, matches
    if s.query == "" then
      ids, behind, matches = recent_slice(p, argv[1], argv[2], argv[3], limit)
    else
      ids, behind, matches = matching_slice(p, s, argv[1], argv[2], argv[3], limit)
    end
    local answer = { "ok", redis.call("ZCARD", recent_key(p)), matches,
      tonumber(redis.call("HGET", counts_key(p), "unread") or "0"), behind }
    local channels = {}
    for _, id in ipairs(ids) do
      answer[#answer + 1] = time_of(p, id)
      answer[#answer + 1] = id
      answer[#answer + 1] = conversation_bytes(p, id, channels)
    end
    return answer
  end,
}

-- Lists only the places of conversations, by number: for cursors that are offsets.
--
-- ARGV: number of the first, from 0, the most places, then a search as read_search has it
-- Returns: {"ok", then time and id of each, newest first}, or as read_search.
redis.register_function{
  function_name = "list_places",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p, offset, limit = keys[1], tonumber(argv[1]), tonumber(argv[2])
    local s, other = read_search(p, argv, 3)
    if not s then return other end
    local ids
    if s.query == "" then
      ids = redis.call("ZREVRANGE", recent_key(p), offset, offset + limit - 1)
    else
      ids = sorted(p, s, nil, "DESC", offset, limit)
    end
    local answer = { "ok" }
    for _, id in ipairs(ids) do
      answer[#answer + 1] = time_of(p, id)
      answer[#answer + 1] = id
    end
    return answer
  end,
}
