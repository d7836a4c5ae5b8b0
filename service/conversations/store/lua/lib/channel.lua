-- Channels: the partition of a channel's id is its home and numbers its versions; every other partition keeps a copy
-- for rendering, and takes a version only if it is newer. A channel hash holds:
--
--   version    changes so far; absent where only messages of the channel came
--   head       Channel except metadata as protobuf bytes; absent until the channel or a message of it came
--   source     that of the channel's event; absent until it came
--   metadata   Channel.metadata as protobuf bytes: its own with the changes, without a name that is blank
--   unnamed    "1" where these have no name
--   own        JSON of the metadata that the channel's event gave
--   changes    JSON of what metadata events changed
local keys = require("keys")
local access = require("access")
local protobuf = require("protobuf")
local terms = require("terms")

local channel = {}

local field = protobuf.field

-- The source of a channel, or nil while only messages of it are known.
function channel.source(p, id) return access.shared("HGET", keys.channel(p, id), "source") end

-- Enters a channel of which only a message is known.
function channel.add(p, id, source)
  redis.call("HSET", keys.channel(p, id), "head", field(1, id) .. field(2, source))
  access.shared("SADD", keys.channels(p), id)
end

-- The bytes of a channel with the name that it has without one of its own.
local function named(id, head, metadata)
  local source_at = #field(1, id) + 2
  local source = string.sub(head, source_at + 1, source_at + (string.byte(head, source_at) or 0))
  if source == "" then return head .. metadata end
  local first, second = terms.default_name(source, id)
  local name = field(1, field(1, "name") .. field(2, field(3, first .. " " .. second)))
  return head .. field(5, name .. (string.match(metadata, "^.[\128-\255]*[%z\1-\127](.*)$") or ""))
end

-- The channel's bytes as kept in this partition; an empty one where only the id is known. `careful`: they begin with
-- the id and end with the metadata, whatever is stored.
function channel.bytes(p, id, careful)
  local key = keys.channel(p, id)
  local parts = redis.pcall("HMGET", key, "head", "metadata", "unnamed")
  local own = field(1, id)
  local head, metadata = parts[1] or own, parts[2] or field(5, "")
  if #head + #metadata > protobuf.MAX_RECORD then
    access.complain(key, "it is larger than a channel can be")
    return own .. field(5, "")
  end
  if careful and (parts.err or string.sub(head, 1, #own) ~= own or not protobuf.is_field(5, metadata)) then
    access.complain(key, parts.err or "it is not a channel of that id")
    return own .. field(5, "")
  end
  if not parts[2] or parts[3] == "1" then return named(id, head, metadata) end
  return head .. metadata
end

return channel
