-- Marks the messages of an opened conversation up to a time as read. The latest time counts.
local function save_read(p, id, c, stored, last, read_at)
  if c.read and tonumber(c.read) >= read_at then return { "ok" } end
  c.read = integer(read_at)
  local message
  if last then
    message = latest_message(p, id, last)
    count_unread(p, c, last.unread - redis.call("ZREMRANGEBYSCORE", unread_key(p, id), "-inf", c.read))
  end
  save(p, id, c, stored, message)
  return { "ok" }
end

-- Marks every message so far as read.
--
-- ARGV: conversation id, time in ms
-- Returns: {"ok"}, {"missing"}, or {"damaged", ...}.
freeing_function("mark_all_read", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c, stored, last = open_conversation(p, id)
  if not last then return { "missing" } end
  return save_read(p, id, c, stored, last, math.max(tonumber(argv[2]), tonumber(c.lm)))
end)

-- Marks the messages up to a time as read: at most up to the latest message or the clock, so that what comes later is
-- unread whatever a receipt says. It may wait for the conversation.
--
-- ARGV: conversation id, time in ms, the clock's time in ms
-- Returns: {"ok"}, or {"damaged", ...}.
writing_function("add_receipt", function(keys, argv)
  local c, stored, last = open_conversation(keys[1], argv[1])
  local latest = math.max(tonumber(argv[3]), tonumber(c.lm or "-inf"))
  return save_read(keys[1], argv[1], c, stored, last, math.min(tonumber(argv[2]), latest))
end)
