-- The hash of a conversation is also the indexed document. Field names are short, as every conversation repeats them:
--
--   id         its id
--   ih         the first 48 bits of the id as a number
--   x          index terms: of the name, of the metadata's leaves, and of tags and state, separated by " | "
--   ch, src    channel of the latest message, and the channel's source: the message's while the channel is unknown
--   st         OPEN or CLOSED; may be absent
--   tg         tag ids, sorted, separated by commas; may be absent
--   ca, lm     times of the earliest and of the latest message in milliseconds
--   un         unread messages
--   tail       the rendered conversation without id and channel
--   name       Contact.display_name as protobuf bytes; absent while the contact has no name
--   avatar     Contact.avatar_url as protobuf bytes; may be absent
--   data       ConversationMetadata.user_data as protobuf bytes; may be absent
--   doc        JSON of the metadata except tags and state
--   ver        number of changes of that document
--   read       time up to which it was read, in milliseconds; absent until read
--   seq        number of places given to messages
--   row        its row in the columns, see columns.lua
--
-- An empty field counts as absent: writing it with the others saves a command to delete it, and each command indexes
-- the document again.
--
-- What is known of a conversation before its first message waits in a separate hash, which is not indexed and has no
-- lm, unlike a conversation with messages, and no row: `values` has the values for the columns, in MessagePack.
local schema = require("schema")
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local protobuf = require("protobuf")
local terms = require("terms")
local columns = require("columns")
local changes = require("changes")
local rendering = require("rendering")

local conversation = {}

-- Every change uses these: locals are faster.
local try, shared, damaged = access.try, access.shared, access.damaged
local is_count, is_time = checks.is_count, checks.is_time
local integer = format.integer

-- More than a conversation has: Lua cannot pass thousands of arguments to one command.
local MAX_FIELDS = 100

-- Bounded, as each change of a conversation's tags looks at all of them, and every answer has all of them.
local MAX_TAGS = 1000

-- The values that wait for a conversation's first message; nil if they are damaged: one with a line feed would be the
-- next one's too.
function conversation.waiting_values(packed)
  local is_read, values = pcall(cmsgpack.unpack, packed)
  if not is_read or type(values) ~= "table" then return nil end
  for name, value in pairs(values) do
    if type(name) ~= "string" or type(value) ~= "string" or string.find(value, "[\n\255]") then return nil end
    if name ~= "display_name" and string.sub(name, 1, 9) ~= "metadata." then return nil end
  end
  return values
end

-- Whether the fields of a conversation's hash are valid by themselves.
local function is_sound(id, c)
  if c.doc and not is_count(c.ver) or c.ver and not c.doc then return false end
  if c.read and not is_time(c.read) then return false end
  if c.st and not schema.STATE_TERMS[c.st] then return false end
  if c.tg and (#c.tg % 37 ~= 36 or not string.find(c.tg, "^[0-9a-f%-,]+$")) then return false end
  if c.name and not protobuf.is_field(1, c.name) then return false end
  if c.avatar and not protobuf.is_field(2, c.avatar) then return false end
  if c.data and not protobuf.is_field(5, c.data) then return false end
  if c.values and not conversation.waiting_values(c.values) then return false end
  if c.lm then
    return c.id == id and checks.is_id(c.ch) and is_time(c.lm) and is_time(c.ca) and is_count(c.un)
      and is_count(c.seq) and c.src ~= nil and not string.find(c.src, "[^!-~]") and rendering.is_tail(c.tail)
  end
  return true
end

-- The fields of a conversation, to change and save, and as they are stored; if it has messages, also `last`: place and
-- time of the latest one, and the number of unread ones. `replaces_terms`: its index terms may be missing.
function conversation.open(p, id, replaces_terms)
  local key = keys.conversation(p, id)
  local flat, last = try("HGETALL", key), nil
  local exists = flat and #flat > 0
  if exists then
    local latest = try("ZRANGE", keys.order(p, id), -1, -1, "WITHSCORES")
    local unread = try("ZCARD", keys.unread(p, id))
    if not (latest and latest[1] and unread) then damaged("conversation", id) end
    last = { place = latest[1], at = latest[2], unread = unread }
  elseif flat then
    -- Messages without a conversation remain from one that was lost.
    if redis.call("EXISTS", keys.order(p, id), keys.unread(p, id)) > 0 then damaged("conversation", id) end
    flat = try("HGETALL", keys.early(p, id))
  end
  if not flat or #flat > 2 * MAX_FIELDS then damaged("conversation", id) end
  local c, stored = {}, {}
  for i = 1, #flat, 2 do
    if flat[i + 1] ~= "" then
      c[flat[i]] = flat[i + 1]
      stored[flat[i]] = flat[i + 1]
    end
  end
  if not is_sound(id, c) or not exists and c.lm then damaged("conversation", id) end
  if exists and not (c.lm == last.at and tonumber(c.un) == last.unread)
    or (exists or c.doc) and not (replaces_terms or terms.parts(c)) then
    damaged("conversation", id)
  end
  return c, stored, last
end

-- Writes the values of a conversation's columns: those that a change gave, by column, those that waited for the first
-- message, and its default name, if it has no own name.
local function write_values(p, c, stored, values, waiting, default_name)
  for name, value in pairs(waiting) do values[name] = values[name] or value end
  if default_name and not (stored.lm and not stored.name and stored.src == c.src) then
    values.display_name = default_name
  end
  for key, name in pairs(schema.COLUMNS) do
    if c[key] ~= stored[key] then values[name] = columns.value_of(c[key]) end
  end
  if not next(values) then return end
  if not columns.is_row_of(p, c.row, c.id) then
    access.warn(keys.conversation(p, c.id), "its row is not its own")
    return
  end
  for name, value in pairs(values) do columns.write(p, name, tonumber(c.row), value) end
end

-- Renders a conversation, with the bytes of its latest message if there is one, and writes what changed in one HSET,
-- since each indexes the whole document again. `values`: the columns that change, may be nil.
function conversation.save(p, id, c, stored, message, values)
  local key, waiting = keys.early(p, id), c.values and cmsgpack.unpack(c.values) or {}
  if c.lm then
    key = keys.conversation(p, id)
    c.values = nil
    if not stored.lm then
      if next(stored) then
        redis.call("DEL", keys.early(p, id))
        shared("SREM", keys.waiting(p), id)
        stored = {}
      end
      c.row = columns.add_row(p, id)
    end
    local default_name = rendering.render(id, c, message)
    if c.row then write_values(p, c, stored, values or {}, waiting, default_name) end
  else
    shared("SADD", keys.waiting(p), id)
    for name, value in pairs(values or {}) do waiting[name] = value end
    c.values = next(waiting) and cmsgpack.pack(waiting)
  end
  local changed = {}
  for name, value in pairs(c) do
    if stored[name] ~= value then
      changed[#changed + 1] = name
      changed[#changed + 1] = value
    end
  end
  for name in pairs(stored) do
    if not c[name] then
      changed[#changed + 1] = name
      changed[#changed + 1] = ""
    end
  end
  if c.lm and changes.is_index_changed(c, stored) then changes.log(p, id, stored, c) end
  if #changed > 0 then redis.call("HSET", key, unpack(changed)) end
end

-- Sets the number of unread messages, and updates the count of unread conversations.
function conversation.count_unread(p, c, unread)
  local was, is = tonumber(c.un or "0") > 0, unread > 0
  -- A new conversation creates the count even if it is read, so that wherever there are conversations there is one.
  if was ~= is or not c.un then
    shared("HINCRBY", keys.counts(p), "unread", (is and 1 or 0) - (was and 1 or 0))
  end
  c.un = integer(unread)
end

-- Changes the state: "" keeps it, "-" removes it.
function conversation.change_state(c, change)
  if change == "-" then c.st = nil elseif change ~= "" then c.st = change end
end

-- Adds tags, except deleted ones, then removes tags; "*" means all of them. Changes nothing and returns false if there
-- would be too many.
function conversation.change_tags(p, c, added, removed)
  local set, is_more = {}, false
  for tag in string.gmatch(c.tg or "", "[^,]+") do set[tag] = true end
  for _, tag in ipairs(added) do
    if not set[tag] and shared("SISMEMBER", keys.deleted_tags(p), tag) ~= 1 then
      set[tag], is_more = true, true
    end
  end
  for _, tag in ipairs(removed) do
    if tag == "*" then set = {} else set[tag] = nil end
  end
  local tags = {}
  for tag in pairs(set) do tags[#tags + 1] = tag end
  if is_more and #tags > MAX_TAGS then return false end
  table.sort(tags)
  c.tg = #tags > 0 and table.concat(tags, ",") or nil
  return true
end

return conversation
