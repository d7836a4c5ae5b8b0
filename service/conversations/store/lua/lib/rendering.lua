-- Answers as protobuf bytes. What belongs to a conversation alone is stored as it goes to the wire; the channel, which
-- many share, is put in between when it is read.
local keys = require("keys")
local checks = require("checks")
local format = require("format")
local protobuf = require("protobuf")
local terms = require("terms")
local channel = require("channel")

local rendering = {}

-- Each row of a page takes these: as locals they cost less.
local conversation_key, field, MAX_RECORD = keys.conversation, protobuf.field, protobuf.MAX_RECORD

-- The answer's bytes except id and channel.
local function tail_of(c, name, message)
  local metadata = { field(1, name .. (c.avatar or "")) }
  for tag in string.gmatch(c.tg or "", "[^,]+") do
    metadata[#metadata + 1] = field(2, field(1, tag) .. field(2, ""))
  end
  if c.un ~= "0" then metadata[#metadata + 1] = "\24" .. protobuf.varint(tonumber(c.un)) end
  if c.st then metadata[#metadata + 1] = c.st == "OPEN" and "\32\1" or "\32\2" end
  metadata[#metadata + 1] = c.data
  return field(3, format.timestamp(tonumber(c.ca))) .. field(4, table.concat(metadata)) .. field(5, message)
end

-- Whether bytes have the parts of an answer that tail_of puts together.
function rendering.is_tail(bytes)
  if not bytes or protobuf.field_end(3, bytes, 1) ~= 26 then return false end
  local metadata_end = protobuf.field_end(4, bytes, 27)
  return metadata_end ~= nil and protobuf.field_end(5, bytes, metadata_end + 1) == #bytes
end

-- Makes what follows from the facts of a conversation with messages: its index terms and what is stored of its answer.
-- Returns the words of its name where it has none of its own.
function rendering.render(id, c, message)
  c.id, c.ih = id, format.integer(tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16))
  local name_terms, metadata_terms = terms.parts(c)
  local name, words = c.name, {}
  if not name then
    local first, second = terms.default_name(c.src, id)
    name, words = field(1, first .. " " .. second), { string.lower(first), second }
    name_terms = terms.name_term(words[1]) .. " " .. terms.name_term(second)
  end
  terms.write(c, name_terms, metadata_terms or "")
  c.tail = tail_of(c, name, message)
  return words
end

-- The parts of a Conversation: id, channel, the rest. `channels` keeps channels within one call. Nil where there are
-- none that could be shown; `careful` finds that of more.
function rendering.parts(p, id, channels, careful)
  local stored = redis.pcall("HMGET", conversation_key(p, id), "ch", "tail")
  local tail = stored[2]
  if not tail or tail == "" or #tail > MAX_RECORD
    or careful and not (checks.is_id(id) and checks.is_id(stored[1])) then
    return nil
  end
  local channel_part = channels[stored[1]]
  if not channel_part then
    channel_part = field(2, channel.bytes(p, stored[1] or "", careful))
    channels[stored[1]] = channel_part
  end
  return field(1, id), channel_part, tail
end

return rendering
