-- Adds a message, or replaces the one with its id. Creates conversation and channel where they are new.
--
-- Keeps: created_at is the earliest sent_at, the last message the latest (of equals, the later arrival), unread the
-- contact's messages after the time of reading, whatever came twice, late or out of order.
--
-- ARGV: conversation id, message id, sent_at in ms, "1" from the contact or "0", channel id, source,
--       Message as protobuf bytes, version of the changes of metadata in those bytes
-- Returns: {"ok"} or {"changed", version, changes}: the message's metadata has changes that the bytes do not have.
redis.register_function("add_message", function(keys, argv)
  local p, id, message_id = keys[1], argv[1], argv[2]
  local sent_at, from_contact, channel_id, source = tonumber(argv[3]), argv[4], argv[5], argv[6]
  local message = message_key(p, message_id)
  local known = redis.call("HMGET", message, "version", "changes", id)
  if (known[1] or "0") ~= argv[8] then return { "changed", known[1], known[2] } end

  local order, unread = order_key(p, id), unread_key(p, id)
  local c, stored = open_conversation(p, id)
  local old = known[3]
  local place
  if old then
    local old_sent_at, old_place = string.match(old, "^(%S+) (%S+)")
    if tonumber(old_sent_at) == sent_at then
      place = old_place
    else
      redis.call("ZREM", order, old_place .. message_id)
    end
  elseif known[1] then
    redis.call("SREM", waiting_messages_key(p), message_id)
  end
  if not place then
    c.seq = integer(tonumber(c.seq or "0") + 1)
    place = string.format("%010d", tonumber(c.seq))
    redis.call("ZADD", order, argv[3], place .. message_id)
  end
  redis.call("HSET", message, id,
    argv[3] .. " " .. place .. " " .. from_contact .. " " .. channel_id .. " " .. source .. "\n" .. argv[7])
  if from_contact == "1" and sent_at > tonumber(c.read or "-inf") then
    redis.call("ZADD", unread, argv[3], message_id)
  elseif old then
    redis.call("ZREM", unread, message_id)
  end

  if redis.call("HEXISTS", channel_key(p, channel_id), "head") == 0 then
    redis.call("HSET", channel_key(p, channel_id), "head", field(1, channel_id) .. field(2, source))
    redis.call("SADD", channels_key(p), channel_id)
  end

  c.ca = integer(tonumber(redis.call("ZRANGE", order, 0, 0, "WITHSCORES")[2]))
  local latest = redis.call("ZRANGE", order, -1, -1, "WITHSCORES")
  local last_at = integer(tonumber(latest[2]))
  if c.lm ~= last_at then redis.call("ZADD", recent_key(p), last_at, id) end
  c.lm = last_at
  local last_channel, last_source = channel_id, source
  if string.sub(latest[1], 11) ~= message_id then
    local facts = read_message(p, id, string.sub(latest[1], 11))
    last_channel, last_source = string.match(facts, "^%S+ %S+ %S+ (%S+) (%S+)\n")
  end
  if c.ch ~= last_channel then add_word(p, "channel_id", last_channel) end
  if c.src ~= last_source then add_word(p, "source", string.lower(last_source)) end
  c.ch, c.src = last_channel, last_source
  count_unread(p, id, c)
  save(p, id, c, stored)
  return { "ok" }
end)
