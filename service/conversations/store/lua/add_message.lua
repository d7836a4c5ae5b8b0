-- Each change of a message's metadata changes all conversations that have it.
local MAX_CONVERSATIONS = 100

-- Adds a message, or replaces the one with its id. Creates conversation and channel where they are new.
--
-- Keeps: created_at is the earliest sent_at, the last message the latest (of equals, the later arrival), unread the
-- contact's messages after the time of reading, whatever came twice, late or out of order.
--
-- ARGV: conversation id, message id, sent_at in ms, "1" from the contact or "0", channel id, source,
--       Message as protobuf bytes, version of the changes of metadata in those bytes
-- Returns: {"ok"} or {"changed", version, changes}: the message's metadata has changes that the bytes do not have;
--          {"too many conversations"} have a message of this id; {"damaged", ...} for the conversation, the message, or
--          the latest one.
writing_function("add_message", function(keys, argv)
  local p, id, message_id = keys[1], argv[1], argv[2]
  local sent_at, from_contact, channel_id, source, bytes = tonumber(argv[3]), argv[4], argv[5], argv[6], argv[7]
  local message = message_key(p, message_id)
  local known = try("HMGET", message, "version", "changes", id)
  if not known or known[1] and not (is_count(known[1]) and known[2]) then damaged("message", message_id) end
  if (known[1] or "0") ~= argv[8] then return { "changed", known[1], known[2] } end
  if not known[3] and redis.call("HLEN", message) >= MAX_CONVERSATIONS then return { "too many conversations" } end
  local c, stored, last = open_conversation(p, id)
  local old_sent_at, old_place
  if known[3] and last then
    old_sent_at, old_place = parse_message(known[3])
    if not old_place then damaged("message", message_id) end
  end
  local order, unread = order_key(p, id), unread_key(p, id)
  if last and not is_time(redis.call("ZRANGE", order, 0, 0, "WITHSCORES")[2]) then damaged("conversation", id) end

  -- The latest of the other messages, unless this one stays where it is, before all others.
  local rival_at, rival = last and last.at, last and last.place
  if rival and message_of(rival) == message_id then
    local others = {}
    if tonumber(old_sent_at) ~= sent_at then others = redis.call("ZRANGE", order, -2, -2, "WITHSCORES") end
    rival, rival_at = others[1], others[2]
  end
  local last_at, last_channel, last_source = argv[3], channel_id, source
  if rival and (sent_at < tonumber(rival_at) or old_place and tonumber(old_sent_at) == sent_at) then
    local _
    _, _, _, last_channel, last_source, bytes = read_message(p, id, message_of(rival))
    if not bytes then damaged("message", message_of(rival)) end
    last_at = rival_at
  end

  local place, unread_count = old_place, last and last.unread or 0
  if old_place and tonumber(old_sent_at) ~= sent_at then
    redis.call("ZREM", order, old_place .. message_id)
    place = nil
  elseif not known[3] and known[1] then
    shared("SREM", waiting_messages_key(p), message_id)
  end
  if not place then
    c.seq = integer(tonumber(c.seq or "0") + 1)
    place = string.format("%010d", tonumber(c.seq))
    redis.call("ZADD", order, argv[3], place .. message_id)
  end
  redis.call("HSET", message, id,
    argv[3] .. " " .. place .. " " .. from_contact .. " " .. channel_id .. " " .. source .. "\n" .. argv[7])
  if from_contact == "1" and sent_at > tonumber(c.read or "-inf") then
    unread_count = unread_count + redis.call("ZADD", unread, argv[3], message_id)
  elseif old_place then
    unread_count = unread_count - redis.call("ZREM", unread, message_id)
  end

  local known_source = channel_source(p, channel_id)
  if not known_source and shared("HEXISTS", channel_key(p, channel_id), "head") == 0 then
    redis.call("HSET", channel_key(p, channel_id), "head", field(1, channel_id) .. field(2, source))
    shared("SADD", channels_key(p), channel_id)
  end
  if last_channel ~= channel_id then known_source = channel_source(p, last_channel) end

  c.ca = integer(tonumber(redis.call("ZRANGE", order, 0, 0, "WITHSCORES")[2]))
  last_at = integer(tonumber(last_at))
  if c.lm ~= last_at then shared("ZADD", recent_key(p), last_at, id) end
  c.lm = last_at
  if c.ch ~= last_channel then add_word(p, "channel_id", last_channel) end
  last_source = known_source or last_source
  if c.src ~= last_source then add_word(p, "source", string.lower(last_source)) end
  c.ch, c.src = last_channel, last_source
  count_unread(p, c, unread_count)
  save(p, id, c, stored, bytes)
  return { "ok" }
end)
