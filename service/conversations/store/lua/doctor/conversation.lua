-- Compares conversations with their facts and their messages.
local schema = require("schema")
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local terms = require("terms")
local columns = require("columns")
local conversation = require("conversation")
local message = require("message")
local channel = require("channel")
local changes = require("changes")
local rendering = require("rendering")
local register = require("register")
local doctor = require("doctor")

-- A conversation's own fields are its facts: everything else is derived from these and from its messages.
local IS_FACT = schema.IS_FACT

-- Reads the facts of a conversation, and its user data.
--
-- ARGV: conversation id
-- Returns: {"conversation", "early" or "none", then name and value of each field}
register.reading("read_facts", function(p, argv)
  local kind, stored = "conversation", access.read_hash(keys.conversation(p, argv[1]))
  if not next(stored) then
    stored = access.read_hash(keys.early(p, argv[1]))
    kind = next(stored) and "early" or "none"
  end
  local found = { kind }
  for name, value in pairs(stored) do
    if IS_FACT[name] or name == "data" then found[#found + 1], found[#found + 2] = name, value end
  end
  return found
end)

-- The names of the fields that differ, except facts, which are compared elsewhere.
local function differing(stored, wanted)
  local names = {}
  for name, value in pairs(stored) do
    if not IS_FACT[name] and value ~= (wanted[name] or "") then names[#names + 1] = name end
  end
  for name in pairs(wanted) do
    if not IS_FACT[name] and stored[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function write_hash(key, stored, wanted)
  for name in pairs(stored) do
    if wanted[name] == nil then redis.call("HDEL", key, name) end
  end
  local flat = {}
  for name, value in pairs(wanted) do
    if stored[name] ~= value then flat[#flat + 1], flat[#flat + 2] = name, value end
  end
  if #flat > 0 then redis.call("HSET", key, unpack(flat)) end
end

-- The tags that aren't deleted.
local function existing_tags(p, tg)
  local tags = {}
  for tag in string.gmatch(tg or "", "[^,]+") do
    if access.try("SISMEMBER", keys.deleted_tags(p), tag) ~= 1 then tags[#tags + 1] = tag end
  end
  return #tags > 0 and table.concat(tags, ",") or nil
end

-- The row of a conversation as text; nil if it has none. `known`: one in which its id stands, or "". To repair it, it
-- gets one, the same if nobody else has that.
local function row_of(p, id, stored_row, known, repairs)
  if columns.is_row_of(p, stored_row, id) then return stored_row end
  if not repairs then return nil end
  for _, row in ipairs({ known, stored_row }) do
    if columns.take_row(p, row, id) then return format.integer(tonumber(row)) end
  end
  return columns.add_row(p, id)
end

-- Whether columns hold the values of a conversation with a row. To repair them, they are written.
local function has_values(p, row, names, values, repairs)
  local is_sound = true
  local function look_at(name)
    local value = values[name] or ""
    local stored = columns.line(p, name, row)
    if stored == columns.LONG and value ~= "" then stored = columns.long_value(p, name, row) end
    if stored == value then return end
    is_sound = false
    if not repairs then return end
    doctor.has_wrong_type(p, keys.long_value(p, name, row), "string", true)
    columns.write(p, name, row, value)
  end
  look_at("display_name")
  for _, name in pairs(schema.COLUMNS) do look_at(name) end
  for _, name in ipairs(names) do look_at(name) end
  return is_sound
end

-- The values that wait for the first message, as they are stored if they are those of the document.
local function waiting_values(stored, values)
  local found = stored and conversation.waiting_values(stored)
  local is_same = found ~= nil
  for name, value in pairs(found or {}) do is_same = is_same and (values[name] or "") == value end
  for name, value in pairs(values) do is_same = is_same and found[name] == value end
  if is_same then return stored end
  return next(values) and cmsgpack.pack(values) or nil
end

-- Checks a conversation without a message: what is known of it waits.
local function check_waiting(p, id, c, stored, waiting, values, fault, repairs)
  local key, early = keys.conversation(p, id), keys.early(p, id)
  if next(stored) then fault("empty") end
  if repairs and next(stored) then
    changes.log_lost(p, id)
    redis.call("DEL", key, keys.order(p, id), keys.unread(p, id))
    access.shared("ZREM", keys.recent(p), id)
  end
  if not next(c) then
    if repairs then redis.call("DEL", early) end
    return
  end
  c.values = waiting_values(waiting.values, values)
  -- The terms of tags and state are written with the first message.
  local name_terms, metadata_terms = terms.parts(c)
  local own_name_terms, own_metadata_terms = terms.parts(waiting)
  if name_terms == own_name_terms and metadata_terms == own_metadata_terms then c.x = waiting.x end
  if not next(stored) and #differing(waiting, c) > 0 then fault("shown", table.concat(differing(waiting, c), " ")) end
  if access.try("SISMEMBER", keys.waiting(p), id) ~= 1 then fault("waiting") end
  if repairs then
    write_hash(early, waiting, c)
    access.shared("SADD", keys.waiting(p), id)
  end
end

-- Adds what is derived from a conversation's messages. Returns whether the latest message can be read, and the default
-- name's words, if it has no own name.
local function add_messages(p, id, c, seq, highest)
  local order = keys.order(p, id)
  local first = redis.call("ZRANGE", order, 0, 0, "WITHSCORES")
  local last = redis.call("ZRANGE", order, -1, -1, "WITHSCORES")
  local _, _, _, channel_id, source, bytes = message.read(p, id, message.id_of(last[1]))
  if not bytes then return false end
  c.ca, c.lm, c.ch, c.src = first[2], last[2], channel_id, channel.source(p, channel_id) or source
  c.un = format.integer(access.try("ZCARD", keys.unread(p, id)) or 0)
  c.seq = format.integer(math.max(checks.is_count(seq) and tonumber(seq) or 0, tonumber(highest)))
  return true, rendering.render(id, c, bytes)
end

-- Whether a conversation is stored, listed and indexed according to its facts and its messages.
--
-- ARGV: conversation id, then a map in MessagePack:
--
--   old, new              facts as read_facts returned them, and as they should be, by name
--   name, avatar, data,   as for commit_document
--   name_terms, terms,
--   values
--   names                 the columns of metadata to look at
--   row                   a row in which its id stands, if it is not in its hash, or ""
--   highest               the highest place of its messages
--
-- Returns: {"conflict"} if the facts have changed; else {"ok", then faults, each with "" or, for "shown", the names of
--          the fields}: "lost" its messages exist but not its hash; "empty" it has no message; "latest" the latest
--          message cannot be read; "type", "shown", "facts", "listed", "waiting", "early", "columns".
doctor.both("conversation", function(p, argv, repairs)
  local id, args, faults = argv[1], cmsgpack.unpack(argv[2]), { "ok" }
  local function fault(name, about) faults[#faults + 1], faults[#faults + 2] = name, about or "" end
  local key, early = keys.conversation(p, id), keys.early(p, id)
  if doctor.has_wrong_type(p, key, "hash", repairs) then fault("type", key) end
  if doctor.has_wrong_type(p, early, "hash", repairs) then fault("type", early) end
  local stored, waiting = access.read_hash(key), access.read_hash(early)
  local known, known_key = stored, key
  if not next(stored) then known, known_key = waiting, early end
  local c, facts_differ = {}, false
  for name in pairs(IS_FACT) do
    if (known[name] or "") ~= (args.old[name] or "") then return { "conflict" } end
    c[name] = args.new[name]
  end
  c.tg = existing_tags(p, c.tg)
  for name in pairs(IS_FACT) do facts_differ = facts_differ or (known[name] or "") ~= (c[name] or "") end
  for _, name in ipairs({ "name", "avatar", "data" }) do
    if args[name] ~= "" then c[name] = args[name] end
  end
  if c.doc then terms.write(c, args.name_terms, args.terms) end
  if facts_differ then fault("facts") end
  for name in pairs(repairs and IS_FACT or {}) do
    local old = args.old[name] or ""
    if old ~= "" and old ~= args.new[name] then doctor.set_field_aside(p, known_key, name, old) end
  end
  if (access.try("ZCARD", keys.order(p, id)) or 0) == 0 then
    check_waiting(p, id, c, stored, waiting, args.values, fault, repairs)
    return faults
  end
  local is_readable, default_name = add_messages(p, id, c, stored.seq, args.highest)
  if not is_readable then
    fault("latest")
    return faults
  end

  local values = args.values
  values.display_name = default_name or values.display_name
  for field, name in pairs(schema.COLUMNS) do values[name] = columns.value_of(c[field]) end
  c.row = stored.row
  local names = next(stored) and differing(stored, c) or {}
  local has_row = columns.is_row_of(p, stored.row, id)
  c.row = row_of(p, id, stored.row, args.row, repairs)
  local has_all_values = c.row and has_values(p, tonumber(c.row), args.names, values, repairs) and has_row
  if not next(stored) then fault("lost") end
  if #names > 0 then fault("shown", table.concat(names, " ")) end
  if access.try("ZSCORE", keys.recent(p), id) ~= c.lm then fault("listed") end
  if next(waiting) and next(stored) then fault("early") end
  if access.try("SISMEMBER", keys.waiting(p), id) == 1 then fault("waiting") end
  if not has_all_values and next(stored) then fault("columns") end
  if not repairs or #faults == 1 then return faults end

  if facts_differ or #names > 0 or not next(stored) or not has_all_values then
    changes.log_lost(p, id)
    write_hash(key, stored, c)
  end
  if next(waiting) then
    if next(stored) then doctor.set_key_aside(p, early) else redis.call("DEL", early) end
  end
  access.shared("SREM", keys.waiting(p), id)
  access.shared("ZADD", keys.recent(p), c.lm, id)
  return faults
end)
