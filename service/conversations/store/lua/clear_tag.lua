local keys = require("keys")
local access = require("access")
local message = require("message")
local conversation = require("conversation")
local search = require("search")
local register = require("register")

local function clear_tag(p, id, tag)
  local c, stored, last = conversation.open(p, id)
  local bytes = last and message.latest(p, id, last)
  conversation.change_tags(p, c, {}, { tag })
  if c.tg == stored.tg then access.damaged("conversation", id) end
  conversation.save(p, id, c, stored, bytes)
  return true
end

-- Removes a tag from some of the partition's conversations, except damaged ones.
--
-- ARGV: tag id, conversations to skip, maximum conversations to look at
-- Returns: as search.change_hits.
register.freeing("clear_tag", function(p, argv)
  local query = "@tg:{" .. search.escaped(argv[1]) .. "}"
  return search.change_hits(p, query, argv[2], argv[3], function(id) return clear_tag(p, id, argv[1]) end)
end)

-- Removes a tag from the partition's conversations without a message.
--
-- ARGV: tag id
-- Returns: the ids of damaged ones.
register.freeing("clear_waiting_tag", function(p, argv)
  local damaged = {}
  for _, id in ipairs(access.shared("SMEMBERS", keys.waiting(p)) or {}) do
    local tags, problem = access.try("HGET", keys.early(p, id), "tg")
    local has_tag = tags and string.find(tags, argv[1], 1, true)
    if problem or has_tag and not access.attempt(clear_tag, p, id, argv[1]) then damaged[#damaged + 1] = id end
  end
  return damaged
end)
