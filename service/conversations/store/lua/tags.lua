-- Tags live in the partition of their own id; the ids of deleted ones in every partition, so that a late event
-- does not bring a deleted tag back onto a conversation.

-- Creates or replaces a tag. ARGV: id, Tag as protobuf bytes. Returns: {"ok"}.
writing_function("put_tag", function(keys, argv)
  redis.call("SET", tag_key(keys[1], argv[1]), argv[2])
  shared("SADD", tags_key(keys[1]), argv[1])
  return { "ok" }
end)

-- Creates a tag where there is none of the id. ARGV: id, Tag as protobuf bytes. Returns: the bytes of the one that is
-- there afterwards, or {"damaged", ...}.
writing_function("create_tag", function(keys, argv)
  local stored, problem = try("GET", tag_key(keys[1], argv[1]))
  if problem then damaged("tag", argv[1]) end
  if stored then return stored end
  redis.call("SET", tag_key(keys[1], argv[1]), argv[2])
  shared("SADD", tags_key(keys[1]), argv[1])
  return argv[2]
end)

-- Replaces a tag that is still as it was read. ARGV: id, old bytes, new bytes. Returns: {"ok"} or {"conflict"}.
writing_function("replace_tag", function(keys, argv)
  local key = tag_key(keys[1], argv[1])
  if try("GET", key) ~= argv[2] then return { "conflict" } end
  redis.call("SET", key, argv[3])
  return { "ok" }
end)

-- Deletes a tag's record. ARGV: id. Returns: {"ok"}.
freeing_function("remove_tag", function(keys, argv)
  redis.call("DEL", tag_key(keys[1], argv[1]))
  shared("SREM", tags_key(keys[1]), argv[1])
  return { "ok" }
end)

-- Reads a tag. ARGV: id. Returns: its bytes, or nil, or {"damaged", ...}.
reading_function("get_tag", function(keys, argv)
  local bytes, problem = try("GET", tag_key(keys[1], argv[1]))
  if problem then damaged("tag", argv[1]) end
  return bytes
end)

-- Reads all tags of the partition.
--
-- Returns: id and bytes of each, "" for what is not there; or {"damaged", ...} for the set of them.
reading_function("list_tags", function(keys)
  local p = keys[1]
  local ids = try("SMEMBERS", tags_key(p))
  if not ids then damaged("set of tags", p) end
  local tags = {}
  for _, id in ipairs(ids) do
    tags[#tags + 1] = id
    tags[#tags + 1] = try("GET", tag_key(p, id)) or ""
  end
  return tags
end)

-- Keeps a tag off the partition's conversations from now on: a note that its deletion begins with.
--
-- ARGV: id
-- Returns: {"ok"}, or {"damaged", ...} where it cannot be noted.
freeing_function("ban_tag", function(keys, argv)
  if not try("SADD", deleted_tags_key(keys[1]), argv[1]) then damaged("set of deleted tags", keys[1]) end
  return { "ok" }
end)

-- Lets a tag back that is about to be written: where Redis is out of memory it stays banned. ARGV: id. Returns: {"ok"}.
writing_function("unban_tag", function(keys, argv)
  shared("SREM", deleted_tags_key(keys[1]), argv[1])
  return { "ok" }
end)

local function clear_tag(p, id, tag)
  local c, stored, last = open_conversation(p, id)
  local message = last and latest_message(p, id, last)
  change_tags(p, c, {}, { tag })
  if c.tg == stored.tg then damaged("conversation", id) end
  save(p, id, c, stored, message)
end

-- Takes a tag off some of the partition's conversations.
--
-- ARGV: id, the most conversations to look at, how many to pass over: those that are damaged keep the tag
-- Returns: how many were changed, then the ids of those that could not be.
freeing_function("clear_tag", function(keys, argv)
  local p = keys[1]
  local found = redis.call("FT.SEARCH", index_alias(p), "@tg:{" .. string.gsub(argv[1], "-", "\\-") .. "}", "NOCONTENT",
    "VERBATIM", "LIMIT", argv[3], argv[2], "DIALECT", 2)
  local answer = { 0 }
  for i = 2, #found do
    local id = string.sub(found[i], -36)
    if attempt(clear_tag, p, id, argv[1]) then answer[1] = answer[1] + 1 else answer[#answer + 1] = id end
  end
  return answer
end)

-- Takes a tag off the partition's conversations that have no message yet.
--
-- ARGV: id
-- Returns: the ids of those that are damaged.
freeing_function("clear_waiting_tag", function(keys, argv)
  local p, damages = keys[1], {}
  for _, id in ipairs(shared("SMEMBERS", waiting_key(p)) or {}) do
    local tags, problem = try("HGET", early_key(p, id), "tg")
    local has_tag = tags and string.find(tags, argv[1], 1, true)
    if problem or has_tag and not attempt(clear_tag, p, id, argv[1]) then damages[#damages + 1] = id end
  end
  return damages
end)
