-- Lists conversations and counts them, in one snapshot.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local protobuf = require("protobuf")
local rendering = require("rendering")
local search = require("search")
local known = require("known")
local request = require("request")
local slices = require("slices")
local register = require("register")

-- The number of unread conversations. If the stored count is missing or impossible, they are counted.
local function unread_conversations(s)
  local unread = access.shared("HGET", keys.counts(s.p), "unread")
  if checks.is_count(unread) and tonumber(unread) <= (s.all or 0) then return tonumber(unread) end
  return search.count(s, "@un:[1 +inf]")
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

local function list(p, argv, careful)
  local args, s = request.read(p, argv, careful)
  if not args then return s end
  local limit = args.limit
  local ids, behind, matches
  if not s.is_filtered and s.all then
    ids, behind, matches = slices.recent(s, args.direction, args.at, args.id, limit + 1)
  else
    local is_first = args.direction == "older" and args.at == ""
    if args.phrases and not (is_first and known.has_top(s, limit + 1)) then
      local candidates = search.resolve_phrases(s, args.phrases, args.max_candidates)
      if candidates then return { "broad", "candidates", candidates } end
    end
    if not s.matches and s.predicate_text and s.is_costly then
      s.matches = search.count(s, s.query)
      return { "counted", "known", known.text(s) }
    end
    if is_first then
      ids, behind, matches = slices.first(s, limit + 1)
    else
      ids, behind, matches = slices.matching(s, args.direction, args.at, args.id, limit + 1)
    end
  end
  local places, bytes, damaged = page_of(s, ids, limit)
  return { "ok", "total", s.all or search.count(s, "*"), "matches", matches, "unread", unread_conversations(s),
    "behind", behind, "more", #ids > limit and 1 or 0, "known", s.is_filtered and known.text(s) or "",
    "places", places, "page", bytes, "damaged", damaged }
end

-- Lists conversations from a place on.
--
-- ARGV: as in request.lua, and in the map `direction`, "older" or "newer"; `at` and `id`, time in ms and id of the
--       conversation to start after ("" for the newest); and `limit`, maximum conversations
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
--          {"counted", "known", ...} if the search was only counted, to be called again with `known`;
--          {"broad", "candidates", number} if phrases have too many; or as in request.lua.
register.reading("list_conversations", function(p, argv) return list(p, argv, false) end)

-- The same, for a caller that met damage. It skips invalid places, and returns damaged records without bytes, as
-- list_conversations does.
register.reading("list_sound_conversations", function(p, argv) return list(p, argv, true) end)
