-- Lists only the places of conversations, by offset: for cursors that are offsets.
--
-- ARGV: as in request.lua, and in the map `skipped`, how many of the newest to skip; `limit`, maximum places; and `at`
--       and `id`, the place to start after ("" for the newest)
-- Returns: {"ok", "places", times and ids separated by blanks, newest first}; or {"unfinished", "known", "", "places",
--          those found, "at", "id", the place to go on from, "skipped", how many are still to be skipped}.
local request = require("request")
local slices = require("slices")
local register = require("register")

register.reading("list_places", function(p, argv)
  local args, s, reply = request.read(p, argv, true)
  if reply then return reply end
  local places, last, skipped = {}, nil, args.skipped
  if not s.is_filtered and s.all then
    for i, id in ipairs(slices.recent_ids(s, "ZREVRANGE", skipped, args.limit)) do
      places[i] = s.times[id] .. " " .. id
    end
  else
    places, last, skipped = slices.places(s, args.at, args.id, skipped, args.limit)
  end
  local found = table.concat(places, " ")
  if not last then return { "ok", "places", found } end
  return { "unfinished", "known", "", "places", found, "at", last[1], "id", last[2], "skipped", skipped }
end)
