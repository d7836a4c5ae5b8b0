-- Adds a message, or replaces the one with its id. Creates conversation and channel if they are new.
--
-- Invariant: created_at is the earliest sent_at, the last message the latest (of equals, the later arrival), unread the
-- contact's messages after the time of reading, even if messages come twice, late or out of order.
--
-- ARGV: conversation id, message id, sent_at in ms, "1" from the contact or "0", channel id, source,
--       Message as protobuf bytes, version of the metadata changes in those bytes
-- Returns: {"ok"}; {"changed", version, changes} if the message's metadata has changes that the bytes lack;
--          {"too many conversations"} if as many as allowed have a message with this id; {"damaged", ...} for the
--          conversation, the message, or the latest message.
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local message = require("message")
local channel = require("channel")
local conversation = require("conversation")
local register = require("register")

-- Bounded, as each change of a message's metadata changes all conversations that have it.
local MAX_CONVERSATIONS = 100

register.writing("add_message", function(p, argv)
  local id, message_id = argv[1], argv[2]
  local sent_at, from_contact, channel_id, source, bytes = tonumber(argv[3]), argv[4], argv[5], argv[6], argv[7]
  local key = keys.message(p, message_id)
  local known = access.try("HMGET", key, "version", "changes", id)
  if not known or known[1] and not (checks.is_count(known[1]) and known[2]) then
    access.damaged("message", message_id)
  end
  if (known[1] or "0") ~= argv[8] then return { "changed", known[1], known[2] } end
  if not known[3] and redis.call("HLEN", key) >= MAX_CONVERSATIONS then return { "too many conversations" } end
  local c, stored, last = conversation.open(p, id)
  local old_sent_at, old_place
  if known[3] and last then
    old_sent_at, old_place = message.parse(known[3])
    if not old_place then access.damaged("message", message_id) end
  end
  local order, unread = keys.order(p, id), keys.unread(p, id)
  if last and not checks.is_time(redis.call("ZRANGE", order, 0, 0, "WITHSCORES")[2]) then
    access.damaged("conversation", id)
  end

  -- The latest of the other messages, unless this one stays where it is, before all others.
  local rival_at, rival = last and last.at, last and last.place
  if rival and message.id_of(rival) == message_id then
    local others = {}
    if tonumber(old_sent_at) ~= sent_at then others = redis.call("ZRANGE", order, -2, -2, "WITHSCORES") end
    rival, rival_at = others[1], others[2]
  end
  local last_at, last_channel, last_source = argv[3], channel_id, source
  if rival and (sent_at < tonumber(rival_at) or old_place and tonumber(old_sent_at) == sent_at) then
    local _
    _, _, _, last_channel, last_source, bytes = message.read(p, id, message.id_of(rival))
    if not bytes then access.damaged("message", message.id_of(rival)) end
    last_at = rival_at
  end

  local place, unread_count = old_place, last and last.unread or 0
  if old_place and tonumber(old_sent_at) ~= sent_at then
    redis.call("ZREM", order, old_place .. message_id)
    place = nil
  elseif not known[3] and known[1] then
    access.shared("SREM", keys.waiting_messages(p), message_id)
  end
  if not place then
    c.seq = format.integer(tonumber(c.seq or "0") + 1)
    place = string.format("%010d", tonumber(c.seq))
    redis.call("ZADD", order, argv[3], place .. message_id)
  end
  redis.call("HSET", key, id,
    argv[3] .. " " .. place .. " " .. from_contact .. " " .. channel_id .. " " .. source .. "\n" .. argv[7])
  if from_contact == "1" and sent_at > tonumber(c.read or "-inf") then
    unread_count = unread_count + redis.call("ZADD", unread, argv[3], message_id)
  elseif old_place then
    unread_count = unread_count - redis.call("ZREM", unread, message_id)
  end

  local known_source = channel.source(p, channel_id)
  if not known_source and access.shared("HEXISTS", keys.channel(p, channel_id), "head") == 0 then
    channel.add(p, channel_id, source)
  end
  if last_channel ~= channel_id then known_source = channel.source(p, last_channel) end

  c.ca = format.integer(tonumber(redis.call("ZRANGE", order, 0, 0, "WITHSCORES")[2]))
  last_at = format.integer(tonumber(last_at))
  if c.lm ~= last_at then access.shared("ZADD", keys.recent(p), last_at, id) end
  c.lm, c.ch, c.src = last_at, last_channel, known_source or last_source
  conversation.count_unread(p, c, unread_count)
  conversation.save(p, id, c, stored, bytes)
  return { "ok" }
end)
