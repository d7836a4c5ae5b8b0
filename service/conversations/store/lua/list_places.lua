-- Lists only the places of conversations, by number: for cursors that are offsets.
--
-- ARGV: as in request.lua, with also `offset`, the number of the first, from 0, and `limit`, the most places
-- Returns: {"ok", "places", times and ids with blanks between, newest first}, {"broad", "candidates", how many}, or as
--          in request.lua.
local search = require("search")
local request = require("request")
local slices = require("slices")
local register = require("register")

register.reading("list_places", function(p, argv)
  local asked, s = request.read(p, argv, true)
  if not asked then return s end
  local candidates = asked.phrases and search.resolve_phrases(s, asked.phrases, asked.max_candidates)
  if candidates then return { "broad", "candidates", candidates } end
  local ids
  if not s.is_filtered and s.all then
    ids = slices.recent_ids(s, "ZREVRANGE", asked.offset, asked.limit)
  else
    ids = search.sorted(s, nil, "DESC", asked.offset, asked.limit)
  end
  local places = {}
  for i, id in ipairs(ids) do places[i] = s.times[id] .. " " .. id end
  return { "ok", "places", table.concat(places, " ") }
end)
