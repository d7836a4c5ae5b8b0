-- Marks the messages up to a time as read. The latest time counts.
--
-- ARGV: conversation id, time in ms, "1" where every message so far is meant and the conversation has to exist,
--       "0" for a receipt, which waits for the conversation
-- Returns: {"ok"}, {"missing"}, or {"damaged", ...}.
writing_function("mark_read", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c, stored, last = open_conversation(p, id)
  local read_at = tonumber(argv[2])
  if argv[3] == "1" then
    if not last then return { "missing" } end
    read_at = math.max(read_at, tonumber(c.lm))
  end
  if c.read and tonumber(c.read) >= read_at then return { "ok" } end
  c.read = integer(read_at)
  local message
  if last then
    message = latest_message(p, id, last)
    count_unread(p, c, last.unread - redis.call("ZREMRANGEBYSCORE", unread_key(p, id), "-inf", c.read))
  end
  save(p, id, c, stored, message)
  return { "ok" }
end)
