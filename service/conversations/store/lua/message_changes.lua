local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local message = require("message")
local conversation = require("conversation")
local register = require("register")

-- Reads the changes by metadata events for a message id, and the messages with that id.
--
-- ARGV: message id
-- Returns: {version, JSON of the changes or "", then conversation id and Message bytes of each}, or {"damaged", ...}.
register.reading("read_message_changes", function(p, argv)
  local id = argv[1]
  local flat = access.try("HGETALL", keys.message(p, id))
  if not flat then access.damaged("message", id) end
  local found = { "0", "" }
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if name == "version" then
      found[1] = value
    elseif name == "changes" then
      found[2] = value
    else
      local bytes = select(6, message.parse(value))
      if not bytes or not checks.is_id(name) then access.damaged("message", id) end
      found[#found + 1] = name
      found[#found + 1] = bytes
    end
  end
  if not checks.is_count(found[1]) or (found[1] == "0") ~= (found[2] == "") then access.damaged("message", id) end
  return found
end)

-- Commits changes of a message's metadata, unless it has changed since it was read.
--
-- ARGV: message id, version that was read, JSON of all changes, then conversation id, old and new Message bytes of each
-- Returns: {"ok"}, {"conflict"} or {"damaged", ...} for the message or a conversation.
register.writing("commit_message_changes", function(p, argv)
  local id, key = argv[1], keys.message(p, argv[1])
  local stored, conversations = access.read_hash(key), 0
  if (stored.version or "0") ~= argv[2] then return { "conflict" } end
  for name in pairs(stored) do
    if #name == 36 then conversations = conversations + 1 end
  end
  if conversations ~= (#argv - 3) / 3 then return { "conflict" } end
  local changed, shown_in = { "version", format.integer(tonumber(argv[2]) + 1), "changes", argv[3] }, {}
  for i = 4, #argv, 3 do
    local line = stored[argv[i]]
    if select(6, message.parse(line)) ~= argv[i + 1] then return { "conflict" } end
    local c, before, last = conversation.open(p, argv[i])
    if last and message.id_of(last.place) == id then shown_in[#shown_in + 1] = { argv[i], c, before, argv[i + 2] } end
    changed[#changed + 1] = argv[i]
    changed[#changed + 1] = string.sub(line, 1, string.find(line, "\n", 1, true)) .. argv[i + 2]
  end
  redis.call("HSET", key, unpack(changed))
  if conversations == 0 then access.shared("SADD", keys.waiting_messages(p), id) end
  for _, one in ipairs(shown_in) do conversation.save(p, unpack(one)) end
  return { "ok" }
end)
