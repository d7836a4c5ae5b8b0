-- Lists only the places of conversations, by offset: for cursors that are offsets.
--
-- ARGV: as in request.lua, and in the map `offset`, from 0, and `limit`, maximum places
-- Returns: {"ok", "places", times and ids separated by blanks, newest first}, {"broad", "candidates", number}, or as in
--          request.lua.
local search = require("search")
local request = require("request")
local slices = require("slices")
local register = require("register")

register.reading("list_places", function(p, argv)
  local args, s = request.read(p, argv, true)
  if not args then return s end
  local candidates = args.phrases and search.resolve_phrases(s, args.phrases, args.max_candidates)
  if candidates then return { "broad", "candidates", candidates } end
  local ids
  if not s.is_filtered and s.all then
    ids = slices.recent_ids(s, "ZREVRANGE", args.offset, args.limit)
  else
    ids = search.sorted(s, nil, "DESC", args.offset, args.limit)
  end
  local places = {}
  for i, id in ipairs(ids) do places[i] = s.times[id] .. " " .. id end
  return { "ok", "places", table.concat(places, " ") }
end)
