-- The arguments and replies of the searching functions.
--
-- ARGV: a map in MessagePack, then three texts that may be long and would be copied once more in the map: the query for
-- RediSearch, dialect 2, or "" if every conversation matches; the same as a predicate in JSON, see predicate.lua, or ""
-- if the search always has to be made; what the caller knows of an earlier search, see known.lua, or "". In the map:
--
--   timeout_ms        of each search
--   max_candidates    of all loose phrases
--   phrases           loose phrases, see search.resolve_phrases; may be absent
--   words             for each dictionary that the query needs, {number of words that the caller knows, mark of the
--                     last}; may be absent
--   cost              estimated cost of the query over 100,000 conversations, in ms; may be absent
--   max_cost          maximum cost
--   max_cost_at_once  maximum cost at which one call counts matches and lists them; absent for no limit
--
-- Replies begin with a word, followed by names and values.
local keys = require("keys")
local access = require("access")
local dictionary = require("dictionary")
local known = require("known")

local request = {}

-- {"stale", then for each dictionary its name and what the caller lacks, see dictionary.unknown_words}; nil if the
-- caller knows all words.
local function stale_words(p, words)
  local reply, is_stale = { "stale" }, false
  for name, caller_knows in pairs(words) do
    local lacking = dictionary.unknown_words(p, name, caller_knows[1], caller_knows[2])
    is_stale = is_stale or lacking[1] ~= caller_knows[1] or #lacking > 2
    reply[#reply + 1] = name
    reply[#reply + 1] = lacking
  end
  return is_stale and reply or nil
end

-- Reads a request. Returns it and the search, see search.lua; or nil and a reply: {"stale", ...}, or {"costly", "cost",
-- estimated cost over the actual number of conversations}. `careful` ignores what the caller knows.
function request.read(p, argv, careful)
  local args = cmsgpack.unpack(argv[1])
  local stale = args.words and stale_words(p, args.words)
  if stale then return nil, stale end
  local all = access.shared("ZCARD", keys.recent(p))
  local share = all and math.min(1, all / 100000) or 1
  local cost = math.ceil((args.cost or 0) * share)
  if args.max_cost and cost > args.max_cost then return nil, { "costly", "cost", cost } end
  local query, predicate_text = argv[2], argv[3]
  local s = { p = p, query = query ~= "" and query or "*", timeout_ms = args.timeout_ms, careful = careful, times = {},
    is_filtered = query ~= "", all = all ~= 0 and all or nil,
    predicate_text = not careful and predicate_text ~= "" and predicate_text or nil,
    is_costly = args.max_cost_at_once and cost > args.max_cost_at_once }
  if s.predicate_text then known.catch_up(s, argv[4]) end
  return args, s
end

return request
