-- Channels: the partition of a channel's id is its home and numbers its versions; every other partition keeps a copy
-- for rendering, and accepts only newer versions. A channel's hash has:
--
--   version    number of changes; absent if only messages of the channel came
--   head       Channel except metadata as protobuf bytes; absent until the channel or a message of it came
--   source     the source in the channel's event; absent until it came
--   metadata   Channel.metadata as protobuf bytes: `own` with `changes`, without a blank name
--   unnamed    "1" if these have no name
--   own        JSON of the metadata in the channel's event
--   changes    JSON of the changes by metadata events
local keys = require("keys")
local access = require("access")
local protobuf = require("protobuf")
local terms = require("terms")

local channel = {}

local field = protobuf.field

-- The source of a channel; nil while only messages of it are known.
function channel.source(p, id) return access.shared("HGET", keys.channel(p, id), "source") end

-- Adds a channel of which only a message is known.
function channel.add(p, id, source)
  redis.call("HSET", keys.channel(p, id), "head", field(1, id) .. field(2, source))
  access.shared("SADD", keys.channels(p), id)
end

-- The bytes of a channel without a name, with the default name.
local function with_default_name(id, head, metadata)
  local source_at = #field(1, id) + 2
  local source = string.sub(head, source_at + 1, source_at + (string.byte(head, source_at) or 0))
  if source == "" then return head .. metadata end
  local first, second = terms.default_name(source, id)
  local name = field(1, field(1, "name") .. field(2, field(3, first .. " " .. second)))
  return head .. field(5, name .. (string.match(metadata, "^.[\128-\255]*[%z\1-\127](.*)$") or ""))
end

-- The channel's bytes as stored in this partition; only the id if nothing else is known. `careful` ensures that they
-- begin with the id and end with the metadata, whatever is stored.
function channel.bytes(p, id, careful)
  local key = keys.channel(p, id)
  local parts = redis.pcall("HMGET", key, "head", "metadata", "unnamed")
  local own = field(1, id)
  local head, metadata = parts[1] or own, parts[2] or field(5, "")
  if #head + #metadata > protobuf.MAX_RECORD then
    access.warn(key, "it is larger than a channel can be")
    return own .. field(5, "")
  end
  if careful and (parts.err or string.sub(head, 1, #own) ~= own or not protobuf.is_field(5, metadata)) then
    access.warn(key, parts.err or "it is not a channel with that id")
    return own .. field(5, "")
  end
  if not parts[2] or parts[3] == "1" then return with_default_name(id, head, metadata) end
  return head .. metadata
end

return channel
