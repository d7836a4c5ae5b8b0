-- Functions that an export calls.
local keys = require("keys")
local access = require("access")
local order = require("order")
local message = require("message")
local conversation = require("conversation")
local register = require("register")

-- Counts the partition's conversations, including those that wait for a message. Returns: an integer.
register.reading("count_conversations", function(p)
  return (access.shared("ZCARD", keys.recent(p)) or 0) + (access.shared("SCARD", keys.waiting(p)) or 0)
end)

-- Scans ids: each that exists throughout the scan comes at least once.
--
-- ARGV: "conversations", "waiting" (conversations without a message), "messages" (those with only changes of
--       metadata) or "channels", cursor ("0" at first), approximate number of ids
-- Returns: {next cursor, "0" at the end, ids}, or {"damaged", ...} for the set of them.
register.reading("scan_ids", function(p, argv)
  local kind = argv[1]
  local page
  if kind == "conversations" then
    page = access.try("ZSCAN", keys.recent(p), argv[2], "COUNT", argv[3])
    local ids = {}
    for i = 1, page and #page[2] or 0, 2 do ids[#ids + 1] = page[2][i] end
    if page then page[2] = ids end
  else
    local sets = { waiting = keys.waiting, messages = keys.waiting_messages, channels = keys.channels }
    page = access.try("SSCAN", sets[kind](p), argv[2], "COUNT", argv[3])
  end
  if not page then access.damaged("set of " .. kind, p) end
  return page
end)

-- Reads a conversation except its messages.
--
-- ARGV: conversation id
-- Returns: {JSON of the metadata except tags and state, state, tags separated by commas, time of reading in ms}, "" for
--          what is absent, or {"damaged", ...}.
register.reading("read_conversation", function(p, argv)
  local c = conversation.open(p, argv[1], true)
  return { c.doc or "", c.st or "", c.tg or "", c.read or "" }
end)

-- Reads a conversation's messages in order.
--
-- ARGV: conversation id, score and place with id of the message to start after ("" for the oldest), maximum messages
-- Returns: score, place with id, channel id, Message bytes and JSON of the metadata changes ("" if none) of each, with
--          channel id and bytes "" for a damaged one; or {"damaged", ...}.
register.reading("read_messages", function(p, argv)
  local key = keys.order(p, argv[1])
  if not access.try("ZCARD", key) then access.damaged("conversation", argv[1]) end
  local first = argv[2] == "" and 0 or order.rank_behind(key, argv[2], argv[3])
  local places = redis.call("ZRANGE", key, first, first + tonumber(argv[4]) - 1, "WITHSCORES")
  local answer = {}
  for i = 1, #places, 2 do
    local id = message.id_of(places[i])
    local _, _, _, channel, _, bytes = message.read(p, argv[1], id)
    answer[#answer + 1] = places[i + 1]
    answer[#answer + 1] = places[i]
    answer[#answer + 1] = channel or ""
    answer[#answer + 1] = bytes or ""
    answer[#answer + 1] = bytes and redis.call("HGET", keys.message(p, id), "changes") or ""
  end
  return answer
end)
