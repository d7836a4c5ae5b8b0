-- Copies a channel's source to its conversations, except damaged ones.
--
-- ARGV: channel id, conversations to skip, maximum conversations to look at, "case" if the sources differ only in
--       case, which the index ignores
-- Returns: as search.change_hits.
local access = require("access")
local message = require("message")
local channel = require("channel")
local conversation = require("conversation")
local search = require("search")
local register = require("register")

register.writing("adopt_source", function(p, argv)
  local source = channel.source(p, argv[1])
  if not source then return { 0, tonumber(argv[2]) } end
  local query = "@ch:{" .. search.escaped(argv[1]) .. "}"
  if argv[4] ~= "case" then query = query .. " -@src:{" .. search.escaped(string.lower(source)) .. "}" end
  return search.change_hits(p, query, argv[2], argv[3], function(id)
    local c, stored, last = conversation.open(p, id)
    if not last then access.damaged("conversation", id) end
    local bytes = message.latest(p, id, last)
    if c.src == source then return false end
    c.src = source
    conversation.save(p, id, c, stored, bytes)
    return true
  end)
end)
