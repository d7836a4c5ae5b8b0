-- Marks the messages up to a time as read. The latest time counts.
--
-- ARGV: conversation id, time in ms, "1" where every message so far is meant and the conversation has to exist,
--       "0" for a receipt, which waits for the conversation
-- Returns: {"ok"} or {"missing"}.
redis.register_function("mark_read", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c = read_hash(conversation_key(p, id))
  local read_at = tonumber(argv[2])
  if argv[3] == "1" then
    if not c.last then return { "missing" } end
    read_at = math.max(read_at, tonumber(c.last_at))
  end
  if c.read_at and tonumber(c.read_at) >= read_at then return { "ok" } end
  c.read_at = integer(read_at)
  if not c.last then
    save(p, id, c)
    return { "ok" }
  end
  redis.call("ZREMRANGEBYSCORE", unread_key(p, id), "-inf", c.read_at)
  local before = c.unread
  count_unread(p, id, c)
  if c.unread == before then
    redis.call("HSET", conversation_key(p, id), "read_at", c.read_at)
  else
    save(p, id, c)
  end
  return { "ok" }
end)
