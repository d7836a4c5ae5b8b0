-- Channels: the partition of a channel's id is its home and numbers its versions; every other partition keeps a copy
-- for rendering, and takes a version only if it is newer. A channel hash holds:
--
--   version    changes so far; absent where only messages of the channel came
--   head       Channel save metadata as protobuf bytes; absent until the channel or a message of it came
--   source     that of the channel's event; absent until it came
--   metadata   Channel.metadata as protobuf bytes: its own with the changes, save a name that is blank
--   unnamed    "1" where these have no name
--   own        JSON of the metadata that the channel's event gave
--   changes    JSON of what metadata events changed

-- Reads a channel to be changed.
--
-- ARGV: id
-- Returns: {version, own, changes, head, source}, "" for what is absent, or {"damaged", ...}.
reading_function("read_channel", function(keys, argv)
  local c = try("HMGET", channel_key(keys[1], argv[1]), "version", "own", "changes", "head", "source")
  local is_sound = c and (is_count(c[1]) and c[2] and c[3] or not (c[1] or c[2] or c[3]))
  if not is_sound then damaged("channel", argv[1]) end
  return { c[1] or "0", c[2] or "", c[3] or "", c[4] or "", c[5] or "" }
end)

-- Writes a version of a channel. At home it has to follow the version that was read; a copy takes any newer one.
--
-- ARGV: id, version, "home" or "copy", head and source ("" keeps what is there), metadata, "1" where it has no name, own,
--       changes
-- Returns: {"ok"}, {"ok", "other"} or {"ok", "case"} where conversations may have another source, or one in another case,
--          or {"conflict"} at home.
writing_function("write_channel", function(keys, argv)
  local p, id, next_version = keys[1], argv[1], tonumber(argv[2])
  local key = channel_key(p, id)
  -- A copy is not what a change stands on: a damaged one stays until the doctor makes it again, or is replaced.
  local stored = shared("HMGET", key, "version", "source", "head")
  if not stored then return { "ok" } end
  local version = is_count(stored[1]) and tonumber(stored[1]) or 0
  if argv[3] == "home" and version ~= next_version - 1 then return { "conflict" } end
  if version >= next_version then return { "ok" } end
  redis.call("HSET", key, "version", argv[2], "metadata", argv[6], "unnamed", argv[7], "own", argv[8], "changes", argv[9])
  shared("SADD", channels_key(p), id)
  if argv[4] ~= "" then redis.call("HSET", key, "head", argv[4]) end
  if argv[5] == "" then return { "ok" } end
  redis.call("HSET", key, "source", argv[5])
  if not stored[3] or stored[2] == argv[5] then return { "ok" } end
  return { "ok", string.lower(stored[2] or "") == string.lower(argv[5]) and "case" or "other" }
end)

-- Gives conversations of a channel its source.
--
-- ARGV: id, the most conversations to look at, how many to pass over, "case" where the index cannot tell who has it
-- Returns: how many were looked at, how many to pass over next, then the ids of those that are damaged and keep theirs.
writing_function("adopt_source", function(keys, argv)
  local p, passed = keys[1], tonumber(argv[3])
  local source = channel_source(p, argv[1])
  if not source then return { 0, passed } end
  local query = "@ch:{" .. string.gsub(argv[1], "-", "\\-") .. "}"
  if argv[4] ~= "case" then
    query = query .. " -@src:{" .. string.gsub(string.lower(source), "[^a-z0-9]", "\\%0") .. "}"
  end
  local found = redis.call("FT.SEARCH", index_alias(p), query, "NOCONTENT", "VERBATIM", "LIMIT", argv[3], argv[2],
    "DIALECT", 2)
  local answer = { #found - 1, passed }
  for i = 2, #found do
    local id = string.sub(found[i], -36)
    local changed = false
    local done = attempt(function()
      local c, stored, last = open_conversation(p, id)
      if not last then damaged("conversation", id) end
      local message = latest_message(p, id, last)
      if c.src == source then return end
      c.src = source
      add_word(p, "source", string.lower(c.src))
      save(p, id, c, stored, message)
      changed = true
    end)
    if not done then answer[#answer + 1] = id end
    -- What changed is found no more, or behind all others.
    if not changed then answer[2] = answer[2] + 1 end
  end
  return answer
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
    local c = try("HMGET", channel_key(p, id), "head", "version")
    if not c or c[1] then
      found[#found + 1] = id
      found[#found + 1] = c and c[2] or "0"
      found[#found + 1] = c and channel_bytes(p, id) or ""
    end
  end
  return found
end)
