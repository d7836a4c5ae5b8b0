-- The arguments and replies of the searching functions.
--
-- ARGV: a map in MessagePack, then four texts that may be long and would be copied once more in the map: the query for
-- RediSearch, dialect 2, or "" if the index cannot help; the filter as a predicate in MessagePack, see predicate.lua,
-- or "" if every conversation matches; what the caller knows of an earlier search, see known.lua, or ""; and the name
-- by which workers share what they know of the filter. In the map:
--
--   is_exact   whether the query finds what the predicate matches, not more
--
-- Replies begin with a word, followed by names and values: "ok", or "unfinished" if the turn ended: the caller asks
-- again with the new text in `known`.
local keys = require("keys")
local access = require("access")
local turn = require("turn")
local known = require("known")

local request = {}

-- What a caller that knows nothing of a filter may know from others.
local function shared(p, name)
  local text = name ~= "" and access.try("GET", keys.known(p, name))
  return text or ""
end

-- Reads a request. Returns its map and the search, see search.lua; and a reply if the turn ended. `careful` ignores
-- what others know.
function request.read(p, argv, careful)
  turn.begin()
  local args, text = cmsgpack.unpack(argv[1]), argv[4]
  local all = access.shared("ZCARD", keys.recent(p))
  local s = { p = p, query = argv[2] ~= "" and argv[2] or nil, is_exact = args.is_exact, careful = careful,
    times = {}, is_filtered = argv[3] ~= "", all = all ~= 0 and all or nil }
  if not all then
    -- The index stands in for the list.
    turn.begin(turn.WHOLE)
    if not s.is_filtered then s.query, s.is_exact = "*", true end
  end
  s.predicate = s.is_filtered and cmsgpack.unpack(argv[3]) or { "and" }
  if not s.is_filtered then return args, s end
  local is_over = known.catch_up(s, text)
  if not s.matches and not careful then is_over = known.catch_up(s, shared(p, argv[5])) end
  if is_over then return args, s, { "unfinished", "known", known.text(s) } end
  return args, s
end

return request
