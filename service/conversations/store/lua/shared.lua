-- What the functions of the library share. Loaded first; the others follow as one chunk.
--
-- Every function takes KEYS[1] = the partition's hash tag, "{0}", and touches keys of that partition only, so that
-- one call is atomic on a cluster as well. Conversation hashes hold:
--
--   version           changes of the document so far
--   document          JSON of the metadata save tags and state
--   contact_name      Contact.display_name as protobuf bytes; absent while the contact has no name of its own
--   contact_avatar    Contact.avatar_url as protobuf bytes; may be absent
--   user_data         ConversationMetadata.user_data as protobuf bytes; may be absent
--   name_terms        index terms of the display name; absent without a name of its own
--   metadata_terms    index terms of the document's leaves
--   state             OPEN or CLOSED; may be absent
--   tags              ids, sorted, with commas between; may be absent
--   read_at           milliseconds; absent until read
--   arrivals          messages that took a place in the order so far
--   created_at, last_at, last, channel_id, source, unread
--                     times in milliseconds, the latest message's place, and what comes from it; absent until
--                     the first message: that is how a conversation that waits differs from one that exists
--   tail              the answer's bytes save id and channel

local function conversation_key(p, id) return "conversation:" .. p .. ":" .. id end
local function index_prefix(p) return "index:" .. p .. ":" end
local function index_alias(p) return "conversations:" .. p end
local function messages_key(p, id) return "messages:" .. p .. ":" .. id end
local function order_key(p, id) return "order:" .. p .. ":" .. id end
local function unread_key(p, id) return "unread:" .. p .. ":" .. id end
local function message_key(p, id) return "message:" .. p .. ":" .. id end
local function recent_key(p) return "recent:" .. p end
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

-- Writes the index document. Any HSET there indexes the whole document again, so nothing is written when nothing
-- that is indexed changed.
local function write_index(p, id, c)
  local key = index_prefix(p) .. id
  local terms = { NAME_EXISTS }
  if c.name_terms then
    terms[2] = c.name_terms
  else
    local first, second = default_name(c.source, id)
    terms[2] = name_term(string.lower(first)) .. " " .. name_term(second)
  end
  terms[#terms + 1] = c.metadata_terms
  if c.tags then terms[#terms + 1] = TAGS_EXIST end
  if c.state then terms[#terms + 1] = STATE_TERMS[c.state] end
  local first_48_bits = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
  local new = { id = id, ih = integer(first_48_bits), x = table.concat(terms, " "), ch = c.channel_id, src = string.lower(c.source), ca = c.created_at,
    lm = c.last_at, un = c.unread, st = c.state and string.lower(c.state), tg = c.tags }
  local old = read_hash(key)
  local changes, removals = {}, {}
  for name, value in pairs(new) do
    if value and old[name] ~= value then
      changes[#changes + 1] = name
      changes[#changes + 1] = value
    end
  end
  for _, name in ipairs({ "st", "tg" }) do
    if old[name] and not new[name] then removals[#removals + 1] = name end
  end
  if #removals > 0 then redis.call("HDEL", key, unpack(removals)) end
  if #changes > 0 then redis.call("HSET", key, unpack(changes)) end
end

-- Counts the conversation as unread or not, and notes its unread messages.
local function count_unread(p, id, c)
  local unread = redis.call("ZCARD", unread_key(p, id))
  local was = tonumber(c.unread or "0")
  if unread > 0 and was == 0 then redis.call("HINCRBY", counts_key(p), "unread", 1) end
  if unread == 0 and was > 0 then redis.call("HINCRBY", counts_key(p), "unread", -1) end
  c.unread = integer(unread)
end

-- Renders the part of the answer that is stored, and brings hash and index up to date. `c` holds the whole hash;
-- a field that goes is deleted from the hash by the caller.
local function save(p, id, c)
  if c.last then
    local name = c.contact_name
    if not name then
      local first, second = default_name(c.source, id)
      name = field(1, first .. " " .. second)
      add_word(p, "display_name", string.lower(first))
      add_word(p, "display_name", second)
    end
    local metadata = { field(1, name .. (c.contact_avatar or "")) }
    if c.tags then
      for tag in string.gmatch(c.tags, "[^,]+") do
        metadata[#metadata + 1] = field(2, field(1, tag) .. field(2, ""))
      end
    end
    if c.unread ~= "0" then metadata[#metadata + 1] = "\24" .. varint(tonumber(c.unread)) end
    if c.state then metadata[#metadata + 1] = c.state == "OPEN" and "\32\1" or "\32\2" end
    metadata[#metadata + 1] = c.user_data
    local message = redis.call("HGET", messages_key(p, id), string.sub(c.last, 11))
    message = string.sub(message, string.find(message, "\n", 1, true) + 1)
    c.tail = field(3, timestamp(tonumber(c.created_at))) .. field(4, table.concat(metadata)) .. field(5, message)
  end
  local flat = {}
  for name, value in pairs(c) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  redis.call("HSET", conversation_key(p, id), unpack(flat))
  if c.last then
    write_index(p, id, c)
  else
    redis.call("SADD", waiting_key(p), id)
  end
end

-- The channel's bytes as kept in this partition; an empty one where only the id is known.
local function channel_bytes(p, id)
  local parts = redis.call("HMGET", channel_key(p, id), "head", "metadata")
  return (parts[1] or field(1, id)) .. (parts[2] or field(5, ""))
end

-- The whole Conversation as protobuf bytes, or nil. `channels` caches channels within one call.
local function conversation_bytes(p, id, channels)
  local parts = redis.call("HMGET", conversation_key(p, id), "channel_id", "tail")
  if not parts[2] then return nil end
  local channel = channels[parts[1]]
  if not channel then
    channel = field(2, channel_bytes(p, parts[1]))
    channels[parts[1]] = channel
  end
  return field(1, id) .. channel .. parts[2]
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
local function change_state(p, id, c, change)
  if change == "-" then
    if c.state then redis.call("HDEL", conversation_key(p, id), "state") end
    c.state = nil
  elseif change ~= "" then
    c.state = change
    add_word(p, "state", string.lower(change))
    add_word(p, "metadata.state", string.lower(change))
  end
end

-- Adds tags, save deleted ones, then removes tags; "*" stands for all of them.
local function change_tags(p, id, c, added, removed)
  local set = {}
  for tag in string.gmatch(c.tags or "", "[^,]+") do set[tag] = true end
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
  if #tags > 0 then
    c.tags = table.concat(tags, ",")
  elseif c.tags then
    c.tags = nil
    redis.call("HDEL", conversation_key(p, id), "tags")
  end
end
