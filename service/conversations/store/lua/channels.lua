-- Channels: the partition of a channel's id is its home and numbers its versions; every other partition keeps a copy
-- for rendering, and takes a version only if it is newer. A channel hash holds:
--
--   version    changes so far; absent where only messages of the channel came
--   head       Channel save metadata as protobuf bytes; absent until the channel or a message of it came
--   metadata   Channel.metadata as protobuf bytes: its own with the changes
--   own        JSON of the metadata that the channel's event gave
--   changes    JSON of what metadata events changed

-- Reads a channel to be changed.
--
-- ARGV: id
-- Returns: {version, own, changes, head}, "" for what is absent, or {"damaged", ...}.
reading_function("read_channel", function(keys, argv)
  local c = try("HMGET", channel_key(keys[1], argv[1]), "version", "own", "changes", "head")
  local is_sound = c and (is_count(c[1]) and c[2] and c[3] or not (c[1] or c[2] or c[3]))
  if not is_sound then damaged("channel", argv[1]) end
  return { c[1] or "0", c[2] or "", c[3] or "", c[4] or "" }
end)

-- Writes a version of a channel. At home it has to follow the version that was read; a copy takes any newer one.
--
-- ARGV: id, version, "home" or "copy", head ("" keeps what is there), metadata, own, changes
-- Returns: {"ok"}, or {"conflict"} at home.
writing_function("write_channel", function(keys, argv)
  local p, id, next_version = keys[1], argv[1], tonumber(argv[2])
  local key = channel_key(p, id)
  -- A copy is not what a change stands on: a damaged one stays until the doctor makes it again, or is replaced.
  local stored = shared("HMGET", key, "version")
  if not stored then return { "ok" } end
  local version = is_count(stored[1]) and tonumber(stored[1]) or 0
  if argv[3] == "home" and version ~= next_version - 1 then return { "conflict" } end
  if version >= next_version then return { "ok" } end
  redis.call("HSET", key, "version", argv[2], "metadata", argv[5], "own", argv[6], "changes", argv[7])
  shared("SADD", channels_key(p), id)
  if argv[4] ~= "" then redis.call("HSET", key, "head", argv[4]) end
  return { "ok" }
end)

-- Reads the partition's channels, or one.
--
-- ARGV: id, or nothing for all
-- Returns: id, version and bytes of each, "" for bytes that are not a hash's; or {"damaged", ...} for the set of them.
reading_function("list_channels", function(keys, argv)
  local p = keys[1]
  local ids = argv[1] and { argv[1] } or try("SMEMBERS", channels_key(p))
  if not ids then damaged("set of channels", p) end
  local found = {}
  for _, id in ipairs(ids) do
    local c = try("HMGET", channel_key(p, id), "head", "version", "metadata")
    if not c or c[1] then
      found[#found + 1] = id
      found[#found + 1] = c and c[2] or "0"
      found[#found + 1] = c and c[1] .. (c[3] or field(5, "")) or ""
    end
  end
  return found
end)
