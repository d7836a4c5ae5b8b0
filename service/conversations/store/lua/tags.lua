-- Tags live in the partition of their own id; the ids of deleted ones in every partition, so that a late event
-- does not bring a deleted tag back onto a conversation.

-- Creates or replaces a tag. ARGV: id, Tag as protobuf bytes. Returns: {"ok"}.
redis.register_function("put_tag", function(keys, argv)
  redis.call("SET", tag_key(keys[1], argv[1]), argv[2])
  redis.call("SADD", tags_key(keys[1]), argv[1])
  return { "ok" }
end)

-- Replaces a tag that is still as it was read. ARGV: id, old bytes, new bytes. Returns: {"ok"} or {"conflict"}.
redis.register_function("replace_tag", function(keys, argv)
  local key = tag_key(keys[1], argv[1])
  if redis.call("GET", key) ~= argv[2] then return { "conflict" } end
  redis.call("SET", key, argv[3])
  return { "ok" }
end)

-- Deletes a tag's record. ARGV: id. Returns: {"ok"}.
redis.register_function("remove_tag", function(keys, argv)
  redis.call("DEL", tag_key(keys[1], argv[1]))
  redis.call("SREM", tags_key(keys[1]), argv[1])
  return { "ok" }
end)

-- Reads a tag. ARGV: id. Returns: its bytes, or nil.
redis.register_function{
  function_name = "get_tag",
  flags = { "no-writes" },
  callback = function(keys, argv) return redis.call("GET", tag_key(keys[1], argv[1])) end,
}

-- Reads all tags of the partition. Returns: their bytes.
redis.register_function{
  function_name = "list_tags",
  flags = { "no-writes" },
  callback = function(keys)
    local tags = {}
    for i, id in ipairs(redis.call("SMEMBERS", tags_key(keys[1]))) do tags[i] = redis.call("GET", tag_key(keys[1], id)) end
    return tags
  end,
}

-- Keeps a tag off the partition's conversations from now on, or lets it back. ARGV: id, "1" or "0". Returns: {"ok"}.
redis.register_function("ban_tag", function(keys, argv)
  redis.call(argv[2] == "1" and "SADD" or "SREM", deleted_tags_key(keys[1]), argv[1])
  return { "ok" }
end)

-- Takes a tag off some of the partition's conversations. ARGV: id, the most conversations to change.
-- Returns: how many were changed; 0 means that none has it.
redis.register_function("clear_tag", function(keys, argv)
  local p = keys[1]
  local found = redis.call("FT.SEARCH", index_alias(p), "@tg:{" .. string.gsub(argv[1], "-", "\\-") .. "}", "NOCONTENT",
    "VERBATIM", "LIMIT", 0, argv[2], "DIALECT", 2)
  for i = 2, #found do
    local id = string.sub(found[i], -36)
    local c, stored = open_conversation(p, id)
    change_tags(p, c, {}, { argv[1] })
    save(p, id, c, stored)
  end
  return #found - 1
end)

-- Takes a tag off the partition's conversations that have no message yet. ARGV: id. Returns: {"ok"}.
redis.register_function("clear_waiting_tag", function(keys, argv)
  local p = keys[1]
  for _, id in ipairs(redis.call("SMEMBERS", waiting_key(p))) do
    if string.find(redis.call("HGET", early_key(p, id), "tg") or "", argv[1], 1, true) then
      local c, stored = open_conversation(p, id)
      change_tags(p, c, {}, { argv[1] })
      save(p, id, c, stored)
    end
  end
  return { "ok" }
end)
