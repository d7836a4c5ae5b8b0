-- The index, and counts.
local keys = require("keys")
local access = require("access")
local format = require("format")
local search = require("search")
local register = require("register")
local doctor = require("doctor")

-- How many conversations a query finds.
local function count(p, query)
  return redis.call("FT.SEARCH", keys.index(p), query, "NOCONTENT", "LIMIT", 0, 0, "DIALECT", 2)[1]
end

local function is_indexed(p, ids)
  local escaped = {}
  for i, id in ipairs(ids) do escaped[i] = search.escaped(id) end
  return count(p, "@id:{" .. table.concat(escaped, "|") .. "}") == #ids
end

-- Whether the index finds conversations. ARGV: ids. Returns: those that are there and that it does not find, which are
-- indexed again.
doctor.both("indexed", function(p, ids, mends)
  local there, lost = {}, {}
  for _, id in ipairs(ids) do
    if access.try("HEXISTS", keys.conversation(p, id), "lm") == 1 then there[#there + 1] = id end
  end
  if #there == 0 or is_indexed(p, there) then return lost end
  for _, id in ipairs(there) do
    if not is_indexed(p, { id }) then
      lost[#lost + 1] = id
      if mends then redis.call("HSET", keys.conversation(p, id), "id", id) end
    end
  end
  return lost
end)

-- Whether the count of unread conversations is that of the index. Returns: {}, or {the count, how many there are}.
doctor.both("counts", function(p, _, mends)
  local stored = access.try("HGET", keys.counts(p), "unread") or ""
  local unread = format.integer(count(p, "@un:[1 +inf]"))
  if stored == unread or stored == "" and redis.call("EXISTS", keys.recent(p)) == 0 then return {} end
  if mends then redis.call("HSET", keys.counts(p), "unread", unread) end
  return { stored, unread }
end)

-- Counts what has to be as many, without looking at each. Returns: {conversations in the list, ids in the dictionary of
-- ids, the count of unread conversations}, "" for what cannot be read.
register.reading("count_sets", function(p)
  return { access.try("ZCARD", keys.recent(p)) or "", access.try("LLEN", keys.words(p, "id")) or "",
    access.try("HGET", keys.counts(p), "unread") or "" }
end)
