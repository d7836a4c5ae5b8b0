-- Ranks and slices of the sorted sets of places, which are ordered by time, then by member.
local checks = require("checks")

local order = {}

-- Maximum invalid entries to skip at once.
order.MAX_SKIPPED = 10000

-- The number of members before (score, member), in ascending order.
function order.rank_of(key, score, member)
  local found = redis.call("ZSCORE", key, member)
  if found and tonumber(found) == tonumber(score) then return redis.call("ZRANK", key, member) end
  local low = redis.call("ZCOUNT", key, "-inf", "(" .. score)
  local high = low + redis.call("ZCOUNT", key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call("ZRANGE", key, middle, middle)[1] < member then low = middle + 1 else high = middle end
  end
  return low
end

-- The number of members up to and including (score, member), in ascending order.
function order.rank_behind(key, score, member)
  local rank = order.rank_of(key, score, member)
  return redis.call("ZRANGE", key, rank, rank)[1] == member and rank + 1 or rank
end

-- Entries from a rank on, in ascending (ZRANGE) or descending order (ZREVRANGE): at most `limit` members, their scores,
-- and whether there are more. Skips those that aren't places: members of another length, and scores that aren't times.
function order.entries(key, command, rank, limit, length)
  local members, times, last = {}, {}, rank + limit + order.MAX_SKIPPED
  repeat
    local wanted = limit + 1 - #members
    local found = redis.call(command, key, rank, rank + wanted - 1, "WITHSCORES")
    for i = 1, #found, 2 do
      if #found[i] == length and checks.is_time(found[i + 1]) then
        members[#members + 1] = found[i]
        times[#times + 1] = found[i + 1]
      end
    end
    rank = rank + wanted
  until #members > limit or #found < 2 * wanted or rank > last
  local more = #members > limit
  if more then
    members[limit + 1], times[limit + 1] = nil, nil
  end
  return members, times, more
end

return order
