-- What the functions of the library share. Loaded first; the others follow as one chunk.
--
-- Every function takes KEYS[1] = the partition's hash tag, "{0}", and touches keys of that partition only, so that
-- one call is atomic on a cluster as well. The hash of a conversation is also the document that is indexed. Names are
-- short, as each conversation has them:
--
--   id         its id
--   ih         the first 48 bits of the id as a number
--   x          index terms: of the name, of the metadata's leaves, and of tags and state, with " | " between the three
--   ch, src    channel of the latest message, and the channel's source: the message's while the channel is not known
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
--
-- Stored data is not trusted: any key may hold anything.
--
--   - A function reads and checks the records that a change stands on before it writes anything. What it cannot build
--     upon ends it, with {"damaged", kind, id}: see `damaged`.
--   - What a whole partition shares and could be made again from its records (the list, counts, words, sets of ids, the
--     log of changes) is no reason to refuse a change: see `shared`.
--   - Lists pass over records that they cannot show, and name them.

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

-- Ends a function that has written nothing: it returns {"damaged", kind, id}.
local function damaged(kind, id) error({ damaged = { "damaged", kind, id } }) end

local function register(name, flags, callback)
  redis.register_function{
    function_name = name,
    flags = flags,
    callback = function(keys, argv)
      local ok, reply = pcall(callback, keys, argv)
      if ok then return reply end
      if type(reply) == "table" and reply.damaged then return reply.damaged end
      error(reply, 0)
    end,
  }
end

local function reading_function(name, callback) register(name, { "no-writes" }, callback) end
local function writing_function(name, callback) register(name, {}, callback) end

-- One that takes away, or replaces what is there by as much: it works where Redis is out of memory, so that there is a way
-- out. What may add more than a note is a writing function.
local function freeing_function(name, callback) register(name, { "allow-oom" }, callback) end

-- What Redis answers to a command, or nil and an error: the key holds something else.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == "table" and reply.err then return nil, reply.err end
  return reply
end

-- Says in Redis' log that a key that a whole partition shares is damaged, once a minute.
local said_at = {}
local function complain(key, what)
  local now = tonumber(redis.call("TIME")[1])
  if now - (said_at[key] or 0) < 60 then return end
  said_at[key] = now
  redis.log(redis.LOG_WARNING, key .. " is damaged, run `conversations doctor`: " .. what)
end

-- Asks or changes a key that the whole partition shares. Where it holds something else it stays as it is until the
-- doctor makes it again, and the answer is nil.
local function shared(command, key, ...)
  local reply, problem = try(command, key, ...)
  if problem then complain(key, problem) end
  return reply
end

local function is_id(text) return text and #text == 36 and string.find(text, "^[0-9a-f%-]+$") ~= nil end

-- Whether a text is a whole number that can be a time: the largest that cursors hold has 15 digits.
local function is_time(text) return text and #text < 16 and string.find(text, "^%-?%d+$") ~= nil end

-- Whether a text is a whole number that can count things.
local function is_count(text) return text and #text < 11 and string.find(text, "^%d+$") ~= nil end

-- A hash as a table; an empty one where there is none.
local function read_hash(key)
  local flat = try("HGETALL", key) or {}
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

-- Where such a field ends that begins at a place; nil where there is none, or not all of it.
local function field_end(number, bytes, at)
  if string.byte(bytes, at) ~= number * 8 + 2 then return nil end
  local size, scale = 0, 1
  repeat
    at = at + 1
    local byte = string.byte(bytes, at)
    if not byte or scale > 2 ^ 28 then return nil end
    size = size + byte % 128 * scale
    scale = scale * 128
  until byte < 128
  return at + size <= #bytes and at + size or nil
end

local function is_field(number, bytes) return field_end(number, bytes, 1) == #bytes end

-- Whether bytes have the parts of an answer that tail_of puts together.
local function is_tail(bytes)
  if not bytes or field_end(3, bytes, 1) ~= 26 then return false end
  local metadata_end = field_end(4, bytes, 27)
  return metadata_end ~= nil and field_end(5, bytes, metadata_end + 1) == #bytes
end

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
  local score, problem = try("ZSCORE", key, word)
  if problem then complain(key, problem) end
  if score or problem then return end
  local now = redis.call("TIME")
  local score = tonumber(now[1]) * 1000000 + tonumber(now[2])
  local last = tonumber(redis.call("ZRANGE", key, -1, -1, "WITHSCORES")[2] or "0")
  -- A score that cannot be counted on from is no time; those who know the set notice that it is another.
  if last >= score and last < 2 ^ 53 then score = last + 1 end
  redis.call("ZADD", key, integer(score), word)
end

-- A line of a message's hash: when it was sent, its place, "1" from the contact or "0", channel, source, and the
-- Message as protobuf bytes; nil where it is not such a line.
local function parse_message(line)
  if not line then return nil end
  local at, place, from_contact, channel, source, ends =
    string.match(line, "^(%-?%d+) (%d%d%d%d%d%d%d%d%d%d) ([01]) (%S+) (%S+)\n()")
  if not (ends and is_time(at) and is_id(channel)) then return nil end
  return at, place, from_contact, channel, source, string.sub(line, ends)
end

-- The same of a message of a conversation, as it is stored.
local function read_message(p, id, message_id)
  return parse_message(try("HGET", message_key(p, message_id), id))
end

-- The id of a message, from its member of the order set.
local function message_of(place) return string.sub(place, 11) end

-- Whether the hash of a conversation can be built upon, going by what belongs to it alone.
local function is_sound(id, c)
  if c.doc and not is_count(c.ver) or c.ver and not c.doc then return false end
  if c.read and not is_time(c.read) then return false end
  if c.st and not STATE_TERMS[c.st] then return false end
  if c.tg and (#c.tg % 37 ~= 36 or not string.find(c.tg, "^[0-9a-f%-,]+$")) then return false end
  if c.name and not is_field(1, c.name) or c.avatar and not is_field(2, c.avatar) then return false end
  if c.data and not is_field(5, c.data) then return false end
  if c.lm then
    return c.id == id and is_id(c.ch) and is_time(c.lm) and is_time(c.ca) and is_count(c.un) and is_count(c.seq)
      and c.src ~= nil and not string.find(c.src, "[^!-~]") and is_tail(c.tail)
  end
  return true
end

-- The index terms of name and metadata in a conversation's text.
local function own_terms(c)
  return string.match(c.x or "", "^%S+ ([^|]*) | ([^|]*) |")
end

-- More than a conversation has: Lua cannot hand thousands of them to one command.
local MAX_FIELDS = 100

-- What is known of a conversation, to be changed and saved, and as it is stored; where it has messages, also `last`:
-- the place and the time of the latest one, and how many are unread. `replaces_terms`: its index terms may be missing.
local function open_conversation(p, id, replaces_terms)
  local key = conversation_key(p, id)
  local flat, last = try("HGETALL", key), nil
  local exists = flat and #flat > 0
  if exists then
    local latest = try("ZRANGE", order_key(p, id), -1, -1, "WITHSCORES")
    local unread = try("ZCARD", unread_key(p, id))
    if not (latest and latest[1] and unread) then damaged("conversation", id) end
    last = { place = latest[1], at = latest[2], unread = unread }
  elseif flat then
    -- Messages without a conversation are what is left of one.
    if redis.call("EXISTS", order_key(p, id), unread_key(p, id)) > 0 then damaged("conversation", id) end
    flat = try("HGETALL", early_key(p, id))
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
    or (exists or c.doc) and not (replaces_terms or own_terms(c)) then
    damaged("conversation", id)
  end
  return c, stored, last
end

-- Calls a function that may find something damaged; returns whether it did not.
local function attempt(callback, ...)
  local ok, problem = pcall(callback, ...)
  if not ok and not (type(problem) == "table" and problem.damaged) then error(problem, 0) end
  return ok
end

-- The bytes of a conversation's latest message, which its answer has.
local function latest_message(p, id, last)
  local message_id = message_of(last.place)
  local message = select(6, read_message(p, id, message_id))
  if not message then damaged("message", message_id) end
  return message
end

-- Puts the index terms of a conversation together. The stops are no terms, and no term has one.
local function write_terms(c, name_terms, metadata_terms)
  local others = {}
  if c.tg then others[1] = TAGS_EXIST end
  if c.st then others[#others + 1] = STATE_TERMS[c.st] end
  c.x = NAME_EXISTS .. " " .. name_terms .. " | " .. metadata_terms .. " | " .. table.concat(others, " ")
end

-- Notes how many messages are unread, and counts the conversation as unread or not.
local function count_unread(p, c, unread)
  local was, is = tonumber(c.un or "0") > 0, unread > 0
  -- The first time also where there is nothing to count: then a count is there wherever conversations are.
  if was ~= is or not c.un then shared("HINCRBY", counts_key(p), "unread", (is and 1 or 0) - (was and 1 or 0)) end
  c.un = integer(unread)
end

-- The answer's bytes save id and channel.
local function tail_of(c, name, message)
  local metadata = { field(1, name .. (c.avatar or "")) }
  for tag in string.gmatch(c.tg or "", "[^,]+") do
    metadata[#metadata + 1] = field(2, field(1, tag) .. field(2, ""))
  end
  if c.un ~= "0" then metadata[#metadata + 1] = "\24" .. varint(tonumber(c.un)) end
  if c.st then metadata[#metadata + 1] = c.st == "OPEN" and "\32\1" or "\32\2" end
  metadata[#metadata + 1] = c.data
  return field(3, timestamp(tonumber(c.ca))) .. field(4, table.concat(metadata)) .. field(5, message)
end

-- A longer text is not noted: a thousand entries have to stay small.
local MAX_LOGGED = 4096

local INDEXED = { "id", "ih", "x", "ch", "src", "st", "tg", "ca", "lm", "un" }

-- Notes that a conversation changes, without how it was indexed: nothing can be carried on over that.
local function log_lost_change(p, id)
  shared("XADD", changes_key(p), "MAXLEN", "~", 1000, "*", "key", id, "lost", "1")
end

-- Notes how a conversation was indexed before it changes, for those who know of a search how many it found: see
-- carry_on in list_conversations.lua.
local function log_change(p, id, stored)
  if #(stored.x or "") > MAX_LOGGED then
    log_lost_change(p, id)
    return
  end
  local entry = { "key", id }
  for _, name in ipairs(INDEXED) do
    if stored[name] then
      entry[#entry + 1] = name
      entry[#entry + 1] = stored[name]
    end
  end
  shared("XADD", changes_key(p), "MAXLEN", "~", 1000, "*", unpack(entry))
end

-- Makes what follows from the facts of a conversation with messages: its index terms and what is stored of its answer.
-- Returns the words of its name where it has none of its own.
local function render(id, c, message)
  c.id, c.ih = id, integer(tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16))
  local name_terms, metadata_terms = own_terms(c)
  local name, words = c.name, {}
  if not name then
    local first, second = default_name(c.src, id)
    name, words = field(1, first .. " " .. second), { string.lower(first), second }
    name_terms = name_term(words[1]) .. " " .. name_term(second)
  end
  write_terms(c, name_terms, metadata_terms or "")
  c.tail = tail_of(c, name, message)
  return words
end

-- Renders a conversation, with the bytes of its latest message where there is one, and writes what changed. Any HSET
-- indexes the whole document again.
local function save(p, id, c, stored, message)
  local key = early_key(p, id)
  if c.lm then
    key = conversation_key(p, id)
    if not stored.lm then
      -- Its first message.
      if next(stored) then
        redis.call("DEL", early_key(p, id))
        shared("SREM", waiting_key(p), id)
        stored = {}
      end
      shared("RPUSH", words_key(p, "id"), id)
    end
    for _, word in ipairs(render(id, c, message)) do add_word(p, "display_name", word) end
  else
    shared("SADD", waiting_key(p), id)
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

-- More bytes than a record has, all that is taken for it together: pages of what is larger would fit in no answer. As in
-- validation.py.
local MAX_RECORD = 512 * 1024

-- The source of a channel, or nil while only messages of it are known.
local function channel_source(p, id) return shared("HGET", channel_key(p, id), "source") end

-- The bytes of a channel with the name that it has without one of its own.
local function named_channel(id, head, metadata)
  local source_at = #field(1, id) + 2
  local source = string.sub(head, source_at + 1, source_at + (string.byte(head, source_at) or 0))
  if source == "" then return head .. metadata end
  local first, second = default_name(source, id)
  local name = field(1, field(1, "name") .. field(2, field(3, first .. " " .. second)))
  return head .. field(5, name .. (string.match(metadata, "^.[\128-\255]*[%z\1-\127](.*)$") or ""))
end

-- The channel's bytes as kept in this partition; an empty one where only the id is known. `careful`: they begin with
-- the id and end with the metadata, whatever is stored.
local function channel_bytes(p, id, careful)
  local key = channel_key(p, id)
  local parts = redis.pcall("HMGET", key, "head", "metadata", "unnamed")
  local own = field(1, id)
  local head, metadata = parts[1] or own, parts[2] or field(5, "")
  if #head + #metadata > MAX_RECORD then
    complain(key, "it is larger than a channel can be")
    return own .. field(5, "")
  end
  if careful and (parts.err or string.sub(head, 1, #own) ~= own or not is_field(5, metadata)) then
    complain(key, parts.err or "it is not a channel of that id")
    return own .. field(5, "")
  end
  if not parts[2] or parts[3] == "1" then return named_channel(id, head, metadata) end
  return head .. metadata
end

-- The parts of a Conversation as protobuf bytes: id, channel, the rest. `channels` keeps channels within one call.
-- Nil where there are none that could be shown; `careful` finds that of more.
local function conversation_parts(p, id, channels, careful)
  local stored = redis.pcall("HMGET", conversation_key(p, id), "ch", "tail")
  local tail = stored[2]
  if not tail or tail == "" or #tail > MAX_RECORD or careful and not (is_id(id) and is_id(stored[1])) then return nil end
  local channel = channels[stored[1]]
  if not channel then
    channel = field(2, channel_bytes(p, stored[1] or "", careful))
    channels[stored[1]] = channel
  end
  return field(1, id), channel, tail
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

-- The most entries of a sorted set that are passed over at once.
local MAX_PASSED = 10000

-- Entries of a sorted set from a rank on, in ascending order (ZRANGE) or in descending (ZREVRANGE): at most so many
-- members, their scores, and whether there are more. Passes over those that are no places: members of another length,
-- and scores that are no times.
local function entries(key, command, rank, limit, length)
  local members, times, last = {}, {}, rank + limit + MAX_PASSED
  repeat
    local wanted = limit + 1 - #members
    local found = redis.call(command, key, rank, rank + wanted - 1, "WITHSCORES")
    for i = 1, #found, 2 do
      if #found[i] == length and is_time(found[i + 1]) then
        members[#members + 1] = found[i]
        times[#times + 1] = found[i + 1]
      end
    end
    rank = rank + wanted
  until #members > limit or #found < 2 * wanted or rank > last
  local more = #members > limit
  if more then
    members[limit + 1], times[limit + 1] = nil, nil
  end
  return members, times, more
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

-- Each change of a conversation's tags looks at all of them, and its answer has all of them.
local MAX_TAGS = 1000

-- Adds tags, save deleted ones, then removes tags; "*" stands for all of them. Returns whether it did: not where there
-- would be too many.
local function change_tags(p, c, added, removed)
  local set, fresh = {}, {}
  for tag in string.gmatch(c.tg or "", "[^,]+") do set[tag] = true end
  for _, tag in ipairs(added) do
    if not set[tag] and shared("SISMEMBER", deleted_tags_key(p), tag) ~= 1 then
      set[tag] = true
      fresh[#fresh + 1] = tag
    end
  end
  for _, tag in ipairs(removed) do
    if tag == "*" then set = {} else set[tag] = nil end
  end
  local tags = {}
  for tag in pairs(set) do tags[#tags + 1] = tag end
  if #fresh > 0 and #tags > MAX_TAGS then return false end
  for _, tag in ipairs(fresh) do add_word(p, "tag_ids", tag) end
  table.sort(tags)
  c.tg = #tags > 0 and table.concat(tags, ",") or nil
  return true
end
