-- Checks messages and their places.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local message = require("message")
local channel = require("channel")
local doctor = require("doctor")

-- The time up to which a conversation, or a waiting one, was read; nil if unknown.
local function read_time(p, id)
  local key = keys.conversation(p, id)
  local read = access.try("HGET", redis.call("EXISTS", key) == 1 and key or keys.early(p, id), "read")
  return checks.is_time(read) and tonumber(read) or nil
end

local function is_unread(at, from_contact, read) return from_contact == "1" and tonumber(at) > (read or -math.huge) end

-- Whether a message is in the order of its conversations and among their unread ones according to its facts, and waits
-- if it has no conversation; and whether its channel is known.
--
-- ARGV: message id
-- Returns: faults: "order" and "unread" with the conversation, "waiting" with the message, "channel" with the channel.
doctor.both("message", function(p, argv, repairs)
  local id, faults, conversations = argv[1], {}, 0
  local function fault(name, about) faults[#faults + 1], faults[#faults + 2] = name, about end
  local stored = access.read_hash(keys.message(p, id))
  for conversation, line in pairs(stored) do
    local at, place, from_contact, channel_id, source = message.parse(line)
    if #conversation == 36 then conversations = conversations + 1 end
    if checks.is_id(conversation) and at then
      local order, unread = keys.order(p, conversation), keys.unread(p, conversation)
      if doctor.has_wrong_type(p, order, "zset", repairs) or access.try("ZSCORE", order, place .. id) ~= at then
        fault("order", conversation)
        if repairs then redis.call("ZADD", order, at, place .. id) end
      end
      local wanted = is_unread(at, from_contact, read_time(p, conversation)) and at or false
      if doctor.has_wrong_type(p, unread, "zset", repairs) or access.try("ZSCORE", unread, id) ~= wanted then
        fault("unread", conversation)
        if repairs and wanted then redis.call("ZADD", unread, at, id) end
        if repairs and not wanted then redis.call("ZREM", unread, id) end
      end
      if access.try("HEXISTS", keys.channel(p, channel_id), "head") == 0 then
        fault("channel", channel_id)
        if repairs then channel.add(p, channel_id, source) end
      end
    end
  end
  local waits = next(stored) ~= nil and conversations == 0
  if next(stored) and (access.try("SISMEMBER", keys.waiting_messages(p), id) == 1) ~= waits then
    fault("waiting", id)
    if repairs then redis.call(waits and "SADD" or "SREM", keys.waiting_messages(p), id) end
  end
  return faults
end)

-- Whether the members of a slice of a conversation's order or unread set belong to messages.
--
-- ARGV: conversation id, "order" or "unread", rank of the first, maximum members
-- Returns: {rank of the next one, or "" at the end, the highest valid place, then the members without a message, which
--          are removed}.
doctor.both("places", function(p, argv, repairs)
  local id, is_order, first, limit = argv[1], argv[2] == "order", tonumber(argv[3]), tonumber(argv[4])
  local key = is_order and keys.order(p, id) or keys.unread(p, id)
  local found = access.try("ZRANGE", key, first, first + limit - 1, "WITHSCORES") or {}
  local read = not is_order and read_time(p, id)
  local highest, strays = "0", {}
  for i = 1, #found, 2 do
    local member, score = found[i], found[i + 1]
    local at, place, from_contact = message.read(p, id, is_order and message.id_of(member) or member)
    if at == score and (is_order and place .. message.id_of(member) == member
      or not is_order and is_unread(at, from_contact, read)) then
      if is_order and place > highest then highest = place end
    else
      strays[#strays + 1] = member
      if repairs then redis.call("ZREM", key, member) end
    end
  end
  local next_rank = first + limit - (repairs and #strays or 0)
  return { #found < 2 * limit and "" or format.integer(next_rank), highest, unpack(strays) }
end)
