-- A message is a hash. For each conversation that has it there is a field named by the conversation's id: a line of
-- facts, then the protobuf bytes:
--
--   <sent_at in ms> <place> <1 from the contact, or 0> <channel id> <source>\n<Message>
--
-- Place: ten digits, counting arrivals; the members of the order set are place and id. The changes by metadata events
-- are in the fields `version`, and `changes` as JSON. They may come before the message.
local keys = require("keys")
local access = require("access")
local checks = require("checks")

local message = {}

-- The parts of a field of a message's hash: sent_at, place, "1" from the contact or "0", channel id, source, and the
-- Message as protobuf bytes; nil if it is malformed.
local function parse(line)
  if not line then return nil end
  local at, place, from_contact, channel, source, ends =
    string.match(line, "^(%-?%d+) (%d%d%d%d%d%d%d%d%d%d) ([01]) (%S+) (%S+)\n()")
  if not (ends and checks.is_time(at) and checks.is_id(channel)) then return nil end
  return at, place, from_contact, channel, source, string.sub(line, ends)
end
message.parse = parse

-- The same parts for a stored message of a conversation.
function message.read(p, id, message_id)
  return parse(access.try("HGET", keys.message(p, message_id), id))
end

-- The id of a message, from its member in the order set.
function message.id_of(place) return string.sub(place, 11) end

-- The bytes of a conversation's latest message, which is part of the rendered conversation.
function message.latest(p, id, last)
  local message_id = message.id_of(last.place)
  local bytes = select(6, message.read(p, id, message_id))
  if not bytes then access.damaged("message", message_id) end
  return bytes
end

return message
