-- What the functions of the library share. Loaded first; the others follow as one chunk.
--
-- Every function takes KEYS[1] = the partition's hash tag, "{0}", and touches keys of that partition only, so that
-- one call is atomic on a cluster as well. The hash of a conversation is also the document that is indexed. Names are
-- short, as each conversation has them:
--
--   id         its id
--   ih         the first 48 bits of the id as a number
--   x          index terms: of the name, of the metadata's leaves, and of tags and state, with " | " between the three
--   ch, src    channel id and source of the latest message
--   st         OPEN or CLOSED; may be absent
--   tg         tag ids, sorted, with commas between; may be absent
--   ca, lm     times of the earliest and of the latest message in milliseconds
--   un         unread messages
--   tail       the answer's bytes save id and channel
--   name       Contact.display_name as protobuf bytes; absent while the contact has no name of its own
--   avatar     Contact.avatar_url as protobuf bytes; may be absent
--   data       ConversationMetadata.user_data as protobuf bytes; may be absent
--   doc        JSON of the metadata save tags and state
--   ver        changes of that document so far
--   read       time up to which it was read, in milliseconds; absent until read
--   seq        messages that took a place in the order so far
--
-- An empty field is as good as none: that takes one command less than to delete it, and each indexes the document.
--
-- What is known of a conversation before its first message waits in a hash of its own, which is not indexed and has
-- no lm: that is how the two are told apart.

local function conversation_key(p, id) return "conversation:" .. p .. ":" .. id end
local function early_key(p, id) return "early:" .. p .. ":" .. id end
local function index_alias(p) return "conversations:" .. p end
local function order_key(p, id) return "order:" .. p .. ":" .. id end
local function unread_key(p, id) return "unread:" .. p .. ":" .. id end
local function message_key(p, id) return "message:" .. p .. ":" .. id end
local function recent_key(p) return "recent:" .. p end
local function changes_key(p) return "changes:" .. p end
local function counts_key(p) return "counts:" .. p end
local function words_key(p, field) return "words:" .. p .. ":" .. field end
local function channel_key(p, id) return "channel:" .. p .. ":" .. id end
local function channels_key(p) return "channels:" .. p end
local function tag_key(p, id) return "tag:" .. p .. ":" .. id end
local function tags_key(p) return "tags:" .. p end
local function deleted_tags_key(p) return "deleted_tags:" .. p end
local function waiting_key(p) return "waiting:" .. p end
local function waiting_messages_key(p) return "waiting_messages:" .. p end

-- A hash as a table.
local function read_hash(key)
  local flat = redis.call("HGETALL", key)
  local hash = {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

-- Integers as text without an exponent: tostring(1e15) is "1e+15".
local function integer(n) return string.format("%.0f", n) end

local function varint(n)
  if n < 128 then return string.char(n) end
  if n < 16384 then return string.char(n % 128 + 128, math.floor(n / 128)) end
  local bytes = {}
  while n >= 128 do
    bytes[#bytes + 1] = string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  bytes[#bytes + 1] = string.char(n)
  return table.concat(bytes)
end

-- A length-delimited protobuf field with a number below 16.
local function field(number, bytes) return string.char(number * 8 + 2) .. varint(#bytes) .. bytes end

-- Milliseconds since 1970 as "2019-01-07T09:01:44.000Z". Days to a date of the proleptic Gregorian calendar as in
-- https://howardhinnant.github.io/date_algorithms.html (civil_from_days).
local function timestamp(ms)
  local days = math.floor(ms / 86400000)
  local rest = ms - days * 86400000
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day, math.floor(rest / 3600000),
    math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

-- The same term as terms.name_term in Python, for a word of visible ASCII in lower case.
local function name_term(word)
  local encoded = word
  if not string.find(word, "^[a-z0-9]+$") then
    encoded = "_" .. string.gsub(word, ".", function(c) return string.format("%02x", string.byte(c)) end)
  end
  if #encoded > 100 then encoded = "__" .. redis.sha1hex(word) end
  return "n" .. encoded
end

-- What a contact without a name is called: the source's last dotted part with its first letter in upper case, and
-- the end of the conversation's id. Returns the two words.
local function default_name(source, id)
  local part = string.match(source, "([^.]*)$")
  if part == "" then part = source end
  return string.upper(string.sub(part, 1, 1)) .. string.sub(part, 2), string.sub(id, -5)
end

-- Enters a word into a field's dictionary: a sorted set in the order of arrival, so that readers fetch only what they
-- do not know yet. The score is the time in microseconds, unique within the set: by the score of the last word that it
-- knows, a reader sees that the set was lost or restored. A word stays when its last document goes; such a word finds
-- nothing.
local function add_word(p, name, word)
  local key = words_key(p, name)
  if redis.call("ZSCORE", key, word) then return end
  local now = redis.call("TIME")
  local score = tonumber(now[1]) * 1000000 + tonumber(now[2])
  local last = redis.call("ZRANGE", key, -1, -1, "WITHSCORES")[2]
  if last and tonumber(last) >= score then score = tonumber(last) + 1 end
  redis.call("ZADD", key, integer(score), word)
end

-- What is known of a conversation, to be changed and saved, and as it is stored.
local function open_conversation(p, id)
  local flat = redis.call("HGETALL", conversation_key(p, id))
  if #flat == 0 then flat = redis.call("HGETALL", early_key(p, id)) end
  local c, stored = {}, {}
  for i = 1, #flat, 2 do
    if flat[i + 1] ~= "" then
      c[flat[i]] = flat[i + 1]
      stored[flat[i]] = flat[i + 1]
    end
  end
  return c, stored
end

-- The index terms of name and metadata in a conversation's text.
local function own_terms(c)
  return string.match(c.x or "", "^%S+ ([^|]*) | ([^|]*) |")
end

-- Puts the index terms of a conversation together. The stops are no terms, and no term has one.
local function write_terms(c, name_terms, metadata_terms)
  local others = {}
  if c.tg then others[1] = TAGS_EXIST end
  if c.st then others[#others + 1] = STATE_TERMS[c.st] end
  c.x = NAME_EXISTS .. " " .. name_terms .. " | " .. metadata_terms .. " | " .. table.concat(others, " ")
end

-- Counts the conversation as unread or not, and notes its unread messages.
local function count_unread(p, id, c)
  local unread = redis.call("ZCARD", unread_key(p, id))
  local was = tonumber(c.un or "0")
  if unread > 0 and was == 0 then redis.call("HINCRBY", counts_key(p), "unread", 1) end
  if unread == 0 and was > 0 then redis.call("HINCRBY", counts_key(p), "unread", -1) end
  c.un = integer(unread)
end

-- A message of a conversation: a line of facts, and the Message as protobuf bytes.
local function read_message(p, id, message_id)
  local line = redis.call("HGET", message_key(p, message_id), id)
  if not line then return nil end
  local ends = string.find(line, "\n", 1, true)
  return string.sub(line, 1, ends), string.sub(line, ends + 1)
end

-- The id of the latest message, and its place with id in front.
local function latest_message(p, id)
  local place = redis.call("ZRANGE", order_key(p, id), -1, -1)[1]
  return string.sub(place, 11), place
end

local function tail_of(p, id, c, name)
  local metadata = { field(1, name .. (c.avatar or "")) }
  for tag in string.gmatch(c.tg or "", "[^,]+") do
    metadata[#metadata + 1] = field(2, field(1, tag) .. field(2, ""))
  end
  if c.un ~= "0" then metadata[#metadata + 1] = "\24" .. varint(tonumber(c.un)) end
  if c.st then metadata[#metadata + 1] = c.st == "OPEN" and "\32\1" or "\32\2" end
  metadata[#metadata + 1] = c.data
  local _, message = read_message(p, id, (latest_message(p, id)))
  return field(3, timestamp(tonumber(c.ca))) .. field(4, table.concat(metadata)) .. field(5, message)
end

-- A longer text is not noted: a thousand entries have to stay small.
local MAX_LOGGED = 4096

local INDEXED = { "id", "ih", "x", "ch", "src", "st", "tg", "ca", "lm", "un" }

-- Notes how a conversation was indexed before it changes, for those who know of a search how many it found: see
-- carry_on in list_conversations.lua.
local function log_change(p, id, stored)
  if #(stored.x or "") > MAX_LOGGED then
    redis.call("XADD", changes_key(p), "MAXLEN", "~", 1000, "*", "key", id, "lost", "1")
    return
  end
  local entry = { "key", id }
  for _, name in ipairs(INDEXED) do
    if stored[name] then
      entry[#entry + 1] = name
      entry[#entry + 1] = stored[name]
    end
  end
  redis.call("XADD", changes_key(p), "MAXLEN", "~", 1000, "*", unpack(entry))
end

-- Renders what is stored of an answer, and writes what changed. Any HSET indexes the whole document again.
local function save(p, id, c, stored)
  local key = early_key(p, id)
  if c.lm then
    key = conversation_key(p, id)
    if not stored.lm then
      -- Its first message.
      if next(stored) then
        redis.call("DEL", early_key(p, id))
        redis.call("SREM", waiting_key(p), id)
        stored = {}
      end
      redis.call("RPUSH", words_key(p, "id"), id)
    end
    c.id, c.ih = id, integer(tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16))
    local name_terms, metadata_terms = own_terms(c)
    local name = c.name
    if not name then
      local first, second = default_name(c.src, id)
      name = field(1, first .. " " .. second)
      name_terms = name_term(string.lower(first)) .. " " .. name_term(second)
      add_word(p, "display_name", string.lower(first))
      add_word(p, "display_name", second)
    end
    write_terms(c, name_terms, metadata_terms or "")
    c.tail = tail_of(p, id, c, name)
  else
    redis.call("SADD", waiting_key(p), id)
  end
  local changes, is_indexed = {}, false
  for name, value in pairs(c) do
    if stored[name] ~= value then
      changes[#changes + 1] = name
      changes[#changes + 1] = value
    end
  end
  for name in pairs(stored) do
    if not c[name] then
      changes[#changes + 1] = name
      changes[#changes + 1] = ""
    end
  end
  if c.lm then
    for _, name in ipairs(INDEXED) do is_indexed = is_indexed or stored[name] ~= c[name] end
    if is_indexed then log_change(p, id, stored) end
  end
  if #changes > 0 then redis.call("HSET", key, unpack(changes)) end
end

-- The channel's bytes as kept in this partition; an empty one where only the id is known.
local function channel_bytes(p, id)
  local parts = redis.call("HMGET", channel_key(p, id), "head", "metadata")
  return (parts[1] or field(1, id)) .. (parts[2] or field(5, ""))
end

-- The parts of a Conversation as protobuf bytes: id, channel, the rest; nil where there is none. `channels` keeps
-- channels within one call.
local function conversation_parts(p, id, channels)
  local stored = redis.call("HMGET", conversation_key(p, id), "ch", "tail")
  if not stored[2] then return nil end
  local channel = channels[stored[1]]
  if not channel then
    channel = field(2, channel_bytes(p, stored[1]))
    channels[stored[1]] = channel
  end
  return field(1, id), channel, stored[2]
end

-- How many members of a sorted set stand before (score, member), in ascending order.
local function rank_of(key, score, member)
  local found = redis.call("ZSCORE", key, member)
  if found and tonumber(found) == tonumber(score) then return redis.call("ZRANK", key, member) end
  local low = redis.call("ZCOUNT", key, "-inf", "(" .. score)
  local high = low + redis.call("ZCOUNT", key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call("ZRANGE", key, middle, middle)[1] < member then low = middle + 1 else high = middle end
  end
  return low
end

-- Changes the state: "" keeps it, "-" removes it.
local function change_state(p, c, change)
  if change == "-" then
    c.st = nil
  elseif change ~= "" then
    c.st = change
    add_word(p, "state", string.lower(change))
    add_word(p, "metadata.state", string.lower(change))
  end
end

-- Adds tags, save deleted ones, then removes tags; "*" stands for all of them.
local function change_tags(p, c, added, removed)
  local set = {}
  for tag in string.gmatch(c.tg or "", "[^,]+") do set[tag] = true end
  for _, tag in ipairs(added) do
    if redis.call("SISMEMBER", deleted_tags_key(p), tag) == 0 then
      set[tag] = true
      add_word(p, "tag_ids", tag)
    end
  end
  for _, tag in ipairs(removed) do
    if tag == "*" then set = {} else set[tag] = nil end
  end
  local tags = {}
  for tag in pairs(set) do tags[#tags + 1] = tag end
  table.sort(tags)
  c.tg = #tags > 0 and table.concat(tags, ",") or nil
end
