-- Adds a message, or replaces the one with its id. Creates conversation and channel where they are new.
--
-- Keeps: created_at is the earliest sent_at, the last message the latest (of equals, the later arrival), unread the
-- contact's messages after read_at, whatever came twice, late or out of order.
--
-- ARGV: conversation id, message id, sent_at in ms, "1" from the contact or "0", channel id, source,
--       Message as protobuf bytes, version of the changes of metadata in those bytes
-- Returns: {"ok"} or {"changed", version, changes}: the message's metadata has changes that the bytes do not have.
redis.register_function("add_message", function(keys, argv)
  local p, id, message_id = keys[1], argv[1], argv[2]
  local sent_at, from_contact, channel_id, source = tonumber(argv[3]), argv[4], argv[5], argv[6]
  local locator = message_key(p, message_id)
  local changes = redis.call("HMGET", locator, "version", "changes")
  if (changes[1] or "0") ~= argv[8] then return { "changed", changes[1], changes[2] } end

  local messages, order, unread = messages_key(p, id), order_key(p, id), unread_key(p, id)
  local c = read_hash(conversation_key(p, id))
  local old = redis.call("HGET", messages, message_id)
  local place
  if old then
    local old_sent_at, old_place = string.match(old, "^(%S+) (%S+)")
    if tonumber(old_sent_at) == sent_at then
      place = old_place
    else
      redis.call("ZREM", order, old_place .. message_id)
    end
  else
    redis.call("HSET", locator, id, "")
    if changes[1] then redis.call("SREM", waiting_messages_key(p), message_id) end
  end
  if not place then
    c.arrivals = integer(tonumber(c.arrivals or "0") + 1)
    place = string.format("%010d", tonumber(c.arrivals))
    redis.call("ZADD", order, argv[3], place .. message_id)
  end
  redis.call("HSET", messages, message_id,
    argv[3] .. " " .. place .. " " .. from_contact .. " " .. channel_id .. " " .. source .. "\n" .. argv[7])
  if from_contact == "1" and sent_at > tonumber(c.read_at or "-inf") then
    redis.call("ZADD", unread, argv[3], message_id)
  elseif old then
    redis.call("ZREM", unread, message_id)
  end

  if redis.call("HEXISTS", channel_key(p, channel_id), "head") == 0 then
    redis.call("HSET", channel_key(p, channel_id), "head", field(1, channel_id) .. field(2, source))
    redis.call("SADD", channels_key(p), channel_id)
  end

  if not c.last then
    add_word(p, "id", id)
    redis.call("SREM", waiting_key(p), id)
  end
  c.created_at = integer(tonumber(redis.call("ZRANGE", order, 0, 0, "WITHSCORES")[2]))
  local latest = redis.call("ZRANGE", order, -1, -1, "WITHSCORES")
  local last_at = integer(tonumber(latest[2]))
  if c.last_at ~= last_at then redis.call("ZADD", recent_key(p), last_at, id) end
  c.last, c.last_at = latest[1], last_at
  local header = redis.call("HGET", messages, string.sub(c.last, 11))
  local last_channel, last_source = string.match(header, "^%S+ %S+ %S+ (%S+) (%S+)\n")
  if c.channel_id ~= last_channel then add_word(p, "channel_id", last_channel) end
  if c.source ~= last_source then add_word(p, "source", string.lower(last_source)) end
  c.channel_id, c.source = last_channel, last_source
  count_unread(p, id, c)
  save(p, id, c)
  return { "ok" }
end)
