-- Marks messages as read. Of several times of reading, the latest counts.
local keys = require("keys")
local format = require("format")
local message = require("message")
local conversation = require("conversation")
local register = require("register")

local function save_read(p, id, c, stored, last, read_at)
  if c.read and tonumber(c.read) >= read_at then return { "ok" } end
  c.read = format.integer(read_at)
  local bytes
  if last then
    bytes = message.latest(p, id, last)
    local removed = redis.call("ZREMRANGEBYSCORE", keys.unread(p, id), "-inf", c.read)
    conversation.count_unread(p, c, last.unread - removed)
  end
  conversation.save(p, id, c, stored, bytes)
  return { "ok" }
end

-- Marks all messages so far as read.
--
-- ARGV: conversation id, time in ms
-- Returns: {"ok"}, {"missing"} or {"damaged", ...}.
register.freeing("mark_all_read", function(p, argv)
  local c, stored, last = conversation.open(p, argv[1])
  if not last then return { "missing" } end
  return save_read(p, argv[1], c, stored, last, math.max(tonumber(argv[2]), tonumber(c.lm)))
end)

-- Marks the messages up to a time as read: at most up to the latest message or the current time, so that later messages
-- are unread in any case. The receipt may wait for the conversation.
--
-- ARGV: conversation id, time in ms, current time in ms
-- Returns: {"ok"} or {"damaged", ...}.
register.writing("add_receipt", function(p, argv)
  local c, stored, last = conversation.open(p, argv[1])
  local latest = math.max(tonumber(argv[3]), tonumber(c.lm or "-inf"))
  return save_read(p, argv[1], c, stored, last, math.min(tonumber(argv[2]), latest))
end)
