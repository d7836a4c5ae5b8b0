-- A message is a hash. For each conversation that has it there is a field with that id, a line of facts and the
-- protobuf bytes:
--
--   <sent_at in ms> <place> <1 from the contact, or 0> <channel id> <source>\n<Message>
--
-- Place: ten digits, counting arrivals; the order set's members are place and id. What metadata events changed stands
-- beside: `version`, and `changes` as JSON. It may come before the message.
local keys = require("keys")
local access = require("access")
local checks = require("checks")

local message = {}

-- A line of a message's hash: when it was sent, its place, "1" from the contact or "0", channel, source, and the
-- Message as protobuf bytes; nil where it is not such a line.
local function parse(line)
  if not line then return nil end
  local at, place, from_contact, channel, source, ends =
    string.match(line, "^(%-?%d+) (%d%d%d%d%d%d%d%d%d%d) ([01]) (%S+) (%S+)\n()")
  if not (ends and checks.is_time(at) and checks.is_id(channel)) then return nil end
  return at, place, from_contact, channel, source, string.sub(line, ends)
end
message.parse = parse

-- The same of a message of a conversation, as it is stored.
function message.read(p, id, message_id)
  return parse(access.try("HGET", keys.message(p, message_id), id))
end

-- The id of a message, from its member of the order set.
function message.id_of(place) return string.sub(place, 11) end

-- The bytes of a conversation's latest message, which its answer has.
function message.latest(p, id, last)
  local message_id = message.id_of(last.place)
  local bytes = select(6, message.read(p, id, message_id))
  if not bytes then access.damaged("message", message_id) end
  return bytes
end

return message
