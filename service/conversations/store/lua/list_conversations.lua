-- Lists conversations and counts them, in one snapshot.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local protobuf = require("protobuf")
local rendering = require("rendering")
local search = require("search")
local known = require("known")
local turn = require("turn")
local request = require("request")
local slices = require("slices")
local register = require("register")

-- The number of unread conversations. If the stored count is missing or impossible, they are counted.
local function unread_conversations(s)
  local unread = access.shared("HGET", keys.counts(s.p), "unread")
  if checks.is_count(unread) and tonumber(unread) <= (s.all or 0) then return tonumber(unread) end
  turn.begin(turn.WHOLE)
  return search.count(s, "@un:[1 +inf]") or 0
end

-- The conversations of a page: places, bytes, and whether any are damaged, as list_conversations returns them.
local function page_of(s, ids, limit)
  local channels, places, bytes, damaged = {}, {}, {}, 0
  for i = 1, math.min(#ids, limit) do
    local own, channel, rest = rendering.parts(s.p, ids[i], channels, s.careful)
    local n = #places
    places[n + 1], places[n + 2] = s.times[ids[i]], ids[i]
    if own then
      local size = #own + #channel + #rest
      local head = "\10" .. protobuf.varint(size)
      places[n + 3] = #head + size
      n = #bytes
      bytes[n + 1], bytes[n + 2], bytes[n + 3], bytes[n + 4] = head, own, channel, rest
    else
      places[n + 3], damaged = 0, 1
    end
  end
  return table.concat(places, " "), table.concat(bytes), damaged
end

-- The reply for a turn that ended.
local function unfinished(s, walked)
  return { "unfinished", "known", known.text(s), "walked", walked and table.concat(walked, " ") or "" }
end

local function list(p, argv, careful)
  local args, s, reply = request.read(p, argv, careful)
  if reply then return reply end
  local limit, ids, walked = args.limit, nil, nil
  local behind, matches = 0, s.all
  if not s.is_filtered and s.all then
    ids, behind, matches = slices.recent(s, args.direction, args.at, args.id, limit + 1)
  elseif not s.is_filtered and not s.query then
    ids, matches = {}, 0
  else
    if slices.count(s, limit + 1) then return unfinished(s) end
    if args.direction == "older" and args.at == "" then
      ids = slices.first(s, limit + 1)
    else
      ids, walked = slices.matching(s, args.direction, args.at, args.id, limit + 1, args.walked)
      behind = ids and slices.has_behind(s, args.direction, args.at, args.id) and 1 or 0
    end
    if not ids then return unfinished(s, walked) end
    matches = s.matches
  end
  local places, bytes, damaged = page_of(s, ids, limit)
  return { "ok", "total", s.all or search.count(s, "*") or 0, "matches", matches, "unread", unread_conversations(s),
    "behind", behind, "more", #ids > limit and 1 or 0, "known", s.is_filtered and known.text(s) or "",
    "places", places, "page", bytes, "damaged", damaged }
end

-- Lists conversations from a place on.
--
-- ARGV: as in request.lua, and in the map `direction`, "older" or "newer"; `at` and `id`, time in ms and id of the
--       conversation to start after ("" for the newest); `limit`, maximum conversations; and `walked`, a list: what an
--       unfinished call returned
-- Returns: {"ok", then names and values}:
--
--            total    number of all conversations
--            matches  number of matches
--            unread   number of unread conversations
--            behind   matches on the other side of the place; if there are any, possibly only 1
--            more     1 if there are more after the last one, else 0
--            known    see known.lua; to pass with the next call
--            places   time, id and length of the bytes of each conversation, separated by blanks
--            page     each conversation as field 1 of a message, the nearest to the place first
--            damaged  1 if any are damaged, which have no bytes, else 0
--
--          or {"unfinished", "known", text, "walked", words separated by blanks}.
register.reading("list_conversations", function(p, argv) return list(p, argv, false) end)

-- The same, for a caller that met damage. It skips invalid places, and returns damaged records without bytes, as
-- list_conversations does.
register.reading("list_sound_conversations", function(p, argv) return list(p, argv, true) end)
