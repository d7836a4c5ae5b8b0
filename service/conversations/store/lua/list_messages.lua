-- Reads messages of a conversation from a place on.
--
-- ARGV: conversation id, "older" or "newer", sent_at in ms and place with id of the message to start after ("" for the
--       newest), maximum messages, messages to skip
-- Returns: {} if there is no such conversation; else {number of all messages, number of messages on the other side of
--          the first one returned, 1 if there are more after the last one, else 0, then sent_at, place with id and the
--          Message as field 1 of a message of each, the nearest to the start first, "" for a damaged one}; or
--          {"damaged", ...}.
local keys = require("keys")
local access = require("access")
local protobuf = require("protobuf")
local order = require("order")
local message = require("message")
local register = require("register")

local PLACE_LENGTH = 46

register.reading("list_messages", function(p, argv)
  local id, direction, at, place = argv[1], argv[2], argv[3], argv[4]
  local limit, passed = tonumber(argv[5]), tonumber(argv[6])
  local key = keys.order(p, id)
  local total = access.try("ZCARD", key)
  if not total or total == 0 and redis.call("EXISTS", keys.conversation(p, id)) == 1 then
    access.damaged("conversation", id)
  end
  if total == 0 then return {} end
  local places, times, behind, more
  if direction == "older" then
    local rank = at == "" and total or order.rank_of(key, at, place)
    behind = total - math.max(rank - passed, 0)
    places, times, more = order.entries(key, "ZREVRANGE", behind, limit, PLACE_LENGTH)
  else
    behind = order.rank_behind(key, at, place)
    places, times, more = order.entries(key, "ZRANGE", behind, limit, PLACE_LENGTH)
  end
  local answer = { total, behind, more and 1 or 0 }
  for i, found in ipairs(places) do
    local bytes = select(6, message.read(p, id, message.id_of(found)))
    answer[#answer + 1] = times[i]
    answer[#answer + 1] = found
    answer[#answer + 1] = bytes and #bytes <= protobuf.MAX_RECORD and protobuf.field(1, bytes) or ""
  end
  return answer
end)
