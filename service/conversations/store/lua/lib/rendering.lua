-- Renders conversations as protobuf bytes. A conversation's own parts are stored in wire format; the channel, which
-- many share, is inserted when it is read.
local keys = require("keys")
local checks = require("checks")
local format = require("format")
local protobuf = require("protobuf")
local terms = require("terms")
local channel = require("channel")

local rendering = {}

-- Every row of a page uses these: locals are faster.
local conversation_key, field, MAX_RECORD = keys.conversation, protobuf.field, protobuf.MAX_RECORD

-- The rendered conversation without id and channel.
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

-- Whether bytes have the parts that tail_of writes.
function rendering.is_tail(bytes)
  if not bytes or protobuf.field_end(3, bytes, 1) ~= 26 then return false end
  local metadata_end = protobuf.field_end(4, bytes, 27)
  return metadata_end ~= nil and protobuf.field_end(5, bytes, metadata_end + 1) == #bytes
end

-- Sets what is derived from the facts of a conversation with messages: its index terms and the rendered bytes. Returns
-- the default name's words, if it has no own name.
function rendering.render(id, c, message)
  c.id, c.ih = id, format.integer(checks.id_start(id))
  local name_terms, metadata_terms = terms.parts(c)
  local name, default_name = c.name, nil
  if not name then
    local first, second = terms.default_name(c.src, id)
    name, default_name = field(1, first .. " " .. second), string.lower(first) .. " " .. second
    name_terms = terms.name_term(string.lower(first)) .. " " .. terms.name_term(second)
  end
  terms.write(c, name_terms, metadata_terms or "")
  c.tail = tail_of(c, name, message)
  return default_name
end

-- The parts of a Conversation: id, channel, the rest. `channels` caches channels within one call. Nil if it cannot be
-- shown; `careful` checks more for that.
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
