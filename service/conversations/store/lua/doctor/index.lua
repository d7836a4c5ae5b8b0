-- Checks the index and counts.
local keys = require("keys")
local access = require("access")
local format = require("format")
local search = require("search")
local columns = require("columns")
local register = require("register")
local doctor = require("doctor")

-- The number of conversations that match a query.
local function count(p, query)
  return redis.call("FT.SEARCH", keys.index(p), query, "NOCONTENT", "LIMIT", 0, 0, "DIALECT", 2)[1]
end

local function is_indexed(p, ids)
  local escaped = {}
  for i, id in ipairs(ids) do escaped[i] = search.escaped(id) end
  return count(p, "@id:{" .. table.concat(escaped, "|") .. "}") == #ids
end

-- Whether the index finds conversations. ARGV: ids. Returns: existing ones that aren't found, which are indexed again.
doctor.both("indexed", function(p, ids, repairs)
  local existing, lost = {}, {}
  for _, id in ipairs(ids) do
    if access.try("HEXISTS", keys.conversation(p, id), "lm") == 1 then existing[#existing + 1] = id end
  end
  if #existing == 0 or is_indexed(p, existing) then return lost end
  for _, id in ipairs(existing) do
    if not is_indexed(p, { id }) then
      lost[#lost + 1] = id
      if repairs then redis.call("HSET", keys.conversation(p, id), "id", id) end
    end
  end
  return lost
end)

-- Whether the count of unread conversations agrees with the index. Returns: {}, or {stored count, actual number}.
doctor.both("counts", function(p, _, repairs)
  local stored = access.try("HGET", keys.counts(p), "unread") or ""
  local unread = format.integer(count(p, "@un:[1 +inf]"))
  if stored == unread or stored == "" and redis.call("EXISTS", keys.recent(p)) == 0 then return {} end
  if repairs then redis.call("HSET", keys.counts(p), "unread", unread) end
  return { stored, unread }
end)

-- Counts what has to agree. Returns: {conversations in the list, ids in their column, the stored count of unread
-- conversations}, "" for what cannot be read.
register.reading("count_sets", function(p)
  return { access.try("ZCARD", keys.recent(p)) or "", format.integer(columns.size(p, "id")),
    access.try("HGET", keys.counts(p), "unread") or "" }
end)
