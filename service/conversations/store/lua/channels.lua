-- Channels: the partition of a channel's id is its home and numbers its versions; every other partition keeps a copy
-- for rendering, and takes a version only if it is newer. A channel hash holds:
--
--   version    changes so far; absent where only messages of the channel came
--   head       Channel save metadata as protobuf bytes; absent until the channel or a message of it came
--   metadata   Channel.metadata as protobuf bytes: its own with the changes
--   own        JSON of the metadata that the channel's event gave
--   changes    JSON of what metadata events changed

-- Reads a channel to be changed. ARGV: id. Returns: {version, own, changes, head}, "" for what is absent.
redis.register_function{
  function_name = "read_channel",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local c = redis.call("HMGET", channel_key(keys[1], argv[1]), "version", "own", "changes", "head")
    return { c[1] or "0", c[2] or "", c[3] or "", c[4] or "" }
  end,
}

-- Writes a version of a channel. At home it has to follow the version that was read; a copy takes any newer one.
--
-- ARGV: id, version, "home" or "copy", head ("" keeps what is there), metadata, own, changes
-- Returns: {"ok"}, or {"conflict"} at home.
redis.register_function("write_channel", function(keys, argv)
  local p, id = keys[1], argv[1]
  local key = channel_key(p, id)
  local version = tonumber(redis.call("HGET", key, "version") or "0")
  if argv[3] == "home" and version ~= tonumber(argv[2]) - 1 then return { "conflict" } end
  if version >= tonumber(argv[2]) then return { "ok" } end
  redis.call("HSET", key, "version", argv[2], "metadata", argv[5], "own", argv[6], "changes", argv[7])
  redis.call("SADD", channels_key(p), id)
  if argv[4] ~= "" then redis.call("HSET", key, "head", argv[4]) end
  return { "ok" }
end)

-- Reads the partition's channels, or one. ARGV: id, or nothing for all. Returns: id, version and bytes of each.
redis.register_function{
  function_name = "list_channels",
  flags = { "no-writes" },
  callback = function(keys, argv)
    local p = keys[1]
    local ids = redis.call("SMEMBERS", channels_key(p))
    if argv[1] then ids = redis.call("SISMEMBER", channels_key(p), argv[1]) == 1 and { argv[1] } or {} end
    local found = {}
    for _, id in ipairs(ids) do
      local c = redis.call("HMGET", channel_key(p, id), "head", "version")
      if c[1] then
        found[#found + 1] = id
        found[#found + 1] = c[2] or "0"
        found[#found + 1] = channel_bytes(p, id)
      end
    end
    return found
  end,
}
