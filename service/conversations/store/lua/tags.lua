-- A tag is in the partition of its id; the ids of deleted tags are in every partition, so that a late event does not
-- add a deleted tag to a conversation.
local keys = require("keys")
local access = require("access")
local register = require("register")

local function put(p, id, bytes)
  redis.call("SET", keys.tag(p, id), bytes)
  access.shared("SADD", keys.tags(p), id)
end

-- The bytes of a tag, or nil.
local function read(p, id)
  local bytes, problem = access.try("GET", keys.tag(p, id))
  if problem then access.damaged("tag", id) end
  return bytes
end

-- Creates or replaces a tag. ARGV: id, Tag as protobuf bytes. Returns: {"ok"}.
register.writing("put_tag", function(p, argv)
  put(p, argv[1], argv[2])
  return { "ok" }
end)

-- Creates a tag unless there is one with its id. ARGV: id, Tag as protobuf bytes. Returns: the bytes that are stored
-- afterwards, or {"damaged", ...}.
register.writing("create_tag", function(p, argv)
  local stored = read(p, argv[1])
  if stored then return stored end
  put(p, argv[1], argv[2])
  return argv[2]
end)

-- Replaces a tag unless it has changed since it was read. ARGV: id, old bytes, new bytes. Returns: {"ok"} or
-- {"conflict"}.
register.writing("replace_tag", function(p, argv)
  local key = keys.tag(p, argv[1])
  if access.try("GET", key) ~= argv[2] then return { "conflict" } end
  redis.call("SET", key, argv[3])
  return { "ok" }
end)

-- Deletes a tag's record. ARGV: id. Returns: {"ok"}.
register.freeing("remove_tag", function(p, argv)
  redis.call("DEL", keys.tag(p, argv[1]))
  access.shared("SREM", keys.tags(p), argv[1])
  return { "ok" }
end)

-- Reads a tag. ARGV: id. Returns: its bytes, nil or {"damaged", ...}.
register.reading("get_tag", function(p, argv) return read(p, argv[1]) end)

-- Reads all tags of the partition.
--
-- Returns: id and bytes of each, "" if missing; or {"damaged", ...} for the set of tags.
register.reading("list_tags", function(p)
  local ids = access.try("SMEMBERS", keys.tags(p))
  if not ids then access.damaged("set of tags", p) end
  local tags = {}
  for _, id in ipairs(ids) do
    tags[#tags + 1] = id
    tags[#tags + 1] = access.try("GET", keys.tag(p, id)) or ""
  end
  return tags
end)

-- Bans a tag from the partition's conversations: the first step of its deletion.
--
-- ARGV: id
-- Returns: {"ok"}, or {"damaged", ...} for the set of deleted tags.
register.freeing("ban_tag", function(p, argv)
  if not access.try("SADD", keys.deleted_tags(p), argv[1]) then access.damaged("set of deleted tags", p) end
  return { "ok" }
end)

-- Lifts the ban of a tag before it is written; if Redis is out of memory the tag stays banned. ARGV: id. Returns:
-- {"ok"}.
register.writing("unban_tag", function(p, argv)
  access.shared("SREM", keys.deleted_tags(p), argv[1])
  return { "ok" }
end)
