-- What the functions that search are asked, and what they answer.
--
-- ARGV: a map packed by MessagePack, then three texts that may be long, and would be copied once more with the map: the
-- query for RediSearch, dialect 2, or "" where every conversation matches; JSON of the same as a predicate, see
-- predicate.lua, or "" where nothing may be known of it; what the caller knows of an earlier search, see known.lua, or
-- "". In the map:
--
--   timeout_ms        of each search
--   max_candidates    of all loose phrases
--   phrases           loose phrases, see search.resolve_phrases; may be absent
--   words             by the field of each dictionary that the query needs, {how many words the caller knows, the mark
--                     of the last}; may be absent
--   cost              what the query costs over 100,000 conversations, in ms; may be absent
--   max_cost          the most that it may cost
--   max_cost_at_once  the most where it is counted and read by one call; absent where that may cost anything
--
-- Replies begin with a word, and go on with names and values.
local keys = require("keys")
local access = require("access")
local dictionary = require("dictionary")
local known = require("known")

local request = {}

-- {"stale", then by the field of each dictionary what the caller lacks, see dictionary.unknown_words}; nil where it
-- knows them all.
local function stale_words(p, words)
  local reply, is_stale = { "stale" }, false
  for name, mine in pairs(words) do
    local lacking = dictionary.unknown_words(p, name, mine[1], mine[2])
    is_stale = is_stale or lacking[1] ~= mine[1] or #lacking > 2
    reply[#reply + 1] = name
    reply[#reply + 1] = lacking
  end
  return is_stale and reply or nil
end

-- Reads a request. Returns it and the search, see search.lua; or nil and a reply: {"stale", ...}, or {"costly", "cost",
-- what the query costs over the conversations that there are}. `careful` makes nothing of what the caller knows.
function request.read(p, argv, careful)
  local asked = cmsgpack.unpack(argv[1])
  local stale = asked.words and stale_words(p, asked.words)
  if stale then return nil, stale end
  local all = access.shared("ZCARD", keys.recent(p))
  local share = all and math.min(1, all / 100000) or 1
  local cost = math.ceil((asked.cost or 0) * share)
  if asked.max_cost and cost > asked.max_cost then return nil, { "costly", "cost", cost } end
  local query, predicate_text = argv[2], argv[3]
  local s = { p = p, query = query ~= "" and query or "*", timeout_ms = asked.timeout_ms, careful = careful, times = {},
    is_filtered = query ~= "", all = all ~= 0 and all or nil,
    predicate_text = not careful and predicate_text ~= "" and predicate_text or nil,
    is_costly = asked.max_cost_at_once and cost > asked.max_cost_at_once }
  if s.predicate_text then known.catch_up(s, argv[4]) end
  return asked, s
end

return request
