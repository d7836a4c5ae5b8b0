-- What the doctor looks at and mends: see store/doctor. Each function comes twice, as check_... and as mend_...: the
-- second sets right what the first finds. Every call takes one record, or a slice of a long one, and is atomic: what
-- others write at the same time is no fault. Where a function returns faults, each is a word, followed by what it is
-- about.
--
-- What cannot be read is set aside and never lost: a key as damaged:<p>:<key>, a field of a hash in the hash
-- damaged:<p>:<key>:fields.

local function both(name, callback)
  reading_function("check_" .. name, function(keys, argv) return callback(keys[1], argv, false) end)
  writing_function("mend_" .. name, function(keys, argv) return callback(keys[1], argv, true) end)
end

local KEYS = {
  conversation = conversation_key, early = early_key, order = order_key, unread = unread_key, message = message_key,
  channel = channel_key, tag = tag_key, recent = recent_key, changes = changes_key, counts = counts_key,
  channels = channels_key, tags = tags_key, deleted_tags = deleted_tags_key, waiting = waiting_key,
  waiting_messages = waiting_messages_key, words = words_key,
}

-- Keys that there is one of in each partition.
local SHARED = {
  recent = "zset", changes = "stream", counts = "hash", channels = "set", tags = "set", deleted_tags = "set",
  waiting = "set", waiting_messages = "set",
}

local function set_key_aside(p, key)
  local aside = "damaged:" .. p .. ":" .. key
  if redis.call("EXISTS", aside) == 1 then aside = aside .. ":" .. table.concat(redis.call("TIME"), ".") end
  redis.call("RENAME", key, aside)
end

local function set_field_aside(p, key, field, value)
  local aside = "damaged:" .. p .. ":" .. key .. ":fields"
  if redis.call("HEXISTS", aside, field) == 1 then field = field .. ":" .. table.concat(redis.call("TIME"), ".") end
  redis.call("HSET", aside, field, value)
end

-- Whether a key is there and holds another type of value. A mended one is not there any more.
local function is_misplaced(p, key, wanted, mends)
  local kind = redis.call("TYPE", key).ok
  if kind == "none" or kind == wanted then return false end
  if mends then set_key_aside(p, key) end
  return true
end

-- The types of the keys that there is one of. ARGV: nothing. Returns: the names of those of another type.
both("shared_keys", function(p, _, mends)
  local found = {}
  for name, kind in pairs(SHARED) do
    if is_misplaced(p, KEYS[name](p), kind, mends) then found[#found + 1] = name end
  end
  if not is_misplaced(p, changes_key(p), "stream", false) and redis.call("EXISTS", changes_key(p)) == 1 then
    -- Behind an entry of the far future none can be added.
    local last = redis.call("XREVRANGE", changes_key(p), "+", "-", "COUNT", 1)[1]
    local at = tonumber(last and string.match(last[1], "^%d+") or "0")
    if at > tonumber(redis.call("TIME")[1]) * 1000 + 86400000 then
      found[#found + 1] = "changes"
      if mends then set_key_aside(p, changes_key(p)) end
    end
  end
  return found
end)

-- Sets a key aside. ARGV: the key, which begins with a kind and the partition. Returns: {"ok"}, or {"gone"}.
writing_function("mend_key", function(keys, argv)
  if redis.call("EXISTS", argv[1]) == 0 then return { "gone" } end
  set_key_aside(keys[1], argv[1])
  return { "ok" }
end)

-- Reads a record as it is stored. ARGV: kind, id. Returns: {type, field, value, ... or the value of a string}.
reading_function("read_record", function(keys, argv)
  local key = KEYS[argv[1]](keys[1], argv[2])
  local kind = redis.call("TYPE", key).ok
  local found = { kind }
  if kind == "string" then found[2] = redis.call("GET", key) end
  if kind == "hash" then
    for i, part in ipairs(redis.call("HGETALL", key)) do found[1 + i] = part end
  end
  return found
end)

-- Replaces fields of a hash that are still as they were read; what was there is set aside.
--
-- ARGV: kind, id, then field, old and new value of each, "" for one that is absent
-- Returns: {"ok"} or {"conflict"}.
writing_function("mend_fields", function(keys, argv)
  local p, key = keys[1], KEYS[argv[1]](keys[1], argv[2])
  for i = 3, #argv, 3 do
    if (try("HGET", key, argv[i]) or "") ~= argv[i + 1] then return { "conflict" } end
  end
  for i = 3, #argv, 3 do
    if argv[i + 1] ~= "" then set_field_aside(p, key, argv[i], argv[i + 1]) end
    if argv[i + 2] == "" then
      redis.call("HDEL", key, argv[i])
    else
      redis.call("HSET", key, argv[i], argv[i + 2])
    end
  end
  return { "ok" }
end)

-- Up to when a conversation was read, or waits to be; nil where that is not known.
local function time_of_reading(p, id)
  local key = redis.call("EXISTS", conversation_key(p, id)) == 1 and conversation_key(p, id) or early_key(p, id)
  local read = try("HGET", key, "read")
  return is_time(read) and tonumber(read) or nil
end

local function is_unread(at, from_contact, read) return from_contact == "1" and tonumber(at) > (read or -math.huge) end

-- Whether a message stands in the order of its conversations and among their unread ones as its facts say, and waits
-- where it has none; and whether its channel is known.
--
-- ARGV: message id
-- Returns: faults with the conversation: "order", "unread"; "waiting" with the message, "channel" with the channel.
both("message", function(p, argv, mends)
  local id, faults, conversations = argv[1], {}, 0
  local message = read_hash(message_key(p, id))
  for conversation, line in pairs(message) do
    local at, place, from_contact, channel, source = parse_message(line)
    if #conversation == 36 then conversations = conversations + 1 end
    if is_id(conversation) and at then
      local order, unread = order_key(p, conversation), unread_key(p, conversation)
      local is_misplaced_order = is_misplaced(p, order, "zset", mends)
      if is_misplaced_order or try("ZSCORE", order, place .. id) ~= at then
        faults[#faults + 1], faults[#faults + 2] = "order", conversation
        if mends then redis.call("ZADD", order, at, place .. id) end
      end
      local wanted = is_unread(at, from_contact, time_of_reading(p, conversation)) and at or false
      if is_misplaced(p, unread, "zset", mends) or try("ZSCORE", unread, id) ~= wanted then
        faults[#faults + 1], faults[#faults + 2] = "unread", conversation
        if mends and wanted then redis.call("ZADD", unread, at, id) end
        if mends and not wanted then redis.call("ZREM", unread, id) end
      end
      local key = channel_key(p, channel)
      if try("HEXISTS", key, "head") == 0 then
        faults[#faults + 1], faults[#faults + 2] = "channel", channel
        if mends then
          redis.call("HSET", key, "head", field(1, channel) .. field(2, source))
          shared("SADD", channels_key(p), channel)
        end
      end
    end
  end
  local waits = next(message) ~= nil and conversations == 0
  if next(message) and (try("SISMEMBER", waiting_messages_key(p), id) == 1) ~= waits then
    faults[#faults + 1], faults[#faults + 2] = "waiting", id
    if mends then redis.call(waits and "SADD" or "SREM", waiting_messages_key(p), id) end
  end
  return faults
end)

-- Whether what stands in a slice of a conversation's sets of messages is there.
--
-- ARGV: conversation id, "order" or "unread", rank of the first, how many
-- Returns: {rank of the next one, or "" at the end, the highest place of those looked at, then the members that stand
--          for no message}, which are removed.
both("places", function(p, argv, mends)
  local id, is_order, first, limit = argv[1], argv[2] == "order", tonumber(argv[3]), tonumber(argv[4])
  local key = KEYS[argv[2]](p, id)
  local found = try("ZRANGE", key, first, first + limit - 1, "WITHSCORES") or {}
  local read = not is_order and time_of_reading(p, id)
  local highest, strays = "0", {}
  for i = 1, #found, 2 do
    local member, score = found[i], found[i + 1]
    local at, place, from_contact = read_message(p, id, is_order and message_of(member) or member)
    if at == score and (is_order and place .. message_of(member) == member
      or not is_order and is_unread(at, from_contact, read)) then
      if is_order and place > highest then highest = place end
    else
      strays[#strays + 1] = member
      if mends then redis.call("ZREM", key, member) end
    end
  end
  local next_rank = first + limit - (mends and #strays or 0)
  return { #found < 2 * limit and "" or integer(next_rank), highest, unpack(strays) }
end)

-- What a conversation has of its own: everything else follows from these and from its messages.
local FACTS = { "ver", "doc", "st", "tg", "read" }

-- Reads the facts of a conversation.
--
-- ARGV: conversation id
-- Returns: {"conversation", "early" or "none", FACTS, name, avatar, data}, "" for what is absent.
reading_function("read_facts", function(keys, argv)
  local p, id, found = keys[1], argv[1], { "conversation" }
  local stored = read_hash(conversation_key(p, id))
  if not next(stored) then
    stored = read_hash(early_key(p, id))
    found[1] = next(stored) and "early" or "none"
  end
  for _, name in ipairs(FACTS) do found[#found + 1] = stored[name] or "" end
  for _, name in ipairs({ "name", "avatar", "data" }) do found[#found + 1] = stored[name] or "" end
  return found
end)

-- The words that a conversation needs beside those of its document.
local function words_of(c, name_words)
  local words = { "channel_id", c.ch, "source", string.lower(c.src) }
  local function add(field, word) words[#words + 1], words[#words + 2] = field, word end
  for _, word in ipairs(name_words) do add("display_name", word) end
  for tag in string.gmatch(c.tg or "", "[^,]+") do add("tag_ids", tag) end
  if c.st then
    add("state", string.lower(c.st))
    add("metadata.state", string.lower(c.st))
  end
  return words
end

-- Names of the fields that differ, without those of the facts: who asks knows of them.
local function differing(stored, wanted)
  local names, is_fact = {}, {}
  for _, name in ipairs(FACTS) do is_fact[name] = true end
  for name, value in pairs(stored) do
    if not is_fact[name] and value ~= (wanted[name] or "") then names[#names + 1] = name end
  end
  for name in pairs(wanted) do
    if not is_fact[name] and stored[name] == nil then names[#names + 1] = name end
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

-- Whether a conversation is stored, listed and indexed as its facts and its messages say.
--
-- ARGV: conversation id, FACTS as read_facts returned them, FACTS as they should be, Contact.display_name,
--       Contact.avatar_url and ConversationMetadata.user_data as protobuf bytes, index terms of the name and of the
--       document's leaves, the highest place of its messages, then words of the document, each behind its field's name
-- Returns: {"conflict"} where the facts are others by now; else {"ok", then faults, each with "" or, for "shown", the
--          names of the fields}: "lost" its hash is gone, its messages are there; "empty" it has no message; "latest"
--          the latest message cannot be read; "type", "shown", "facts", "listed", "waiting", "early", "words".
both("conversation", function(p, argv, mends)
  local id, faults = argv[1], { "ok" }
  local function fault(name, about) faults[#faults + 1], faults[#faults + 2] = name, about or "" end
  local key, early = conversation_key(p, id), early_key(p, id)
  if is_misplaced(p, key, "hash", mends) then fault("type", key) end
  if is_misplaced(p, early, "hash", mends) then fault("type", early) end
  local stored, waiting = read_hash(key), read_hash(early)
  local known = next(stored) and stored or waiting
  local c, facts_differ = {}, false
  for i, name in ipairs(FACTS) do
    local old, new = argv[1 + i], argv[6 + i]
    if (known[name] or "") ~= old then return { "conflict" } end
    if new ~= "" then c[name] = new end
    if old ~= new then facts_differ = true end
  end
  -- Tags that were deleted are left out.
  local tags = {}
  for tag in string.gmatch(c.tg or "", "[^,]+") do
    if try("SISMEMBER", deleted_tags_key(p), tag) ~= 1 then tags[#tags + 1] = tag end
  end
  local tg = #tags > 0 and table.concat(tags, ",") or nil
  facts_differ = facts_differ or tg ~= c.tg
  c.tg = tg
  for i, name in ipairs({ "name", "avatar", "data" }) do
    if argv[11 + i] ~= "" then c[name] = argv[11 + i] end
  end
  if c.doc then write_terms(c, argv[15], argv[16]) end
  if facts_differ then
    fault("facts")
    for i, name in ipairs(FACTS) do
      if mends and argv[1 + i] ~= argv[6 + i] and argv[1 + i] ~= "" then
        set_field_aside(p, next(stored) and key or early, name, argv[1 + i])
      end
    end
  end

  local order = order_key(p, id)
  if (try("ZCARD", order) or 0) == 0 then
    if next(stored) then fault("empty") end
    if mends and next(stored) then
      log_lost_change(p, id)
      redis.call("DEL", key, order, unread_key(p, id))
      shared("ZREM", recent_key(p), id)
    end
    if not next(c) then
      if mends then redis.call("DEL", early) end
      return faults
    end
    -- The terms of tags and state are written with the first message.
    local name_terms, metadata_terms = own_terms(c)
    local own_name_terms, own_metadata_terms = own_terms(waiting)
    if name_terms == own_name_terms and metadata_terms == own_metadata_terms then c.x = waiting.x end
    if not next(stored) and #differing(waiting, c) > 0 then fault("shown", table.concat(differing(waiting, c), " ")) end
    if try("SISMEMBER", waiting_key(p), id) ~= 1 then fault("waiting") end
    if mends then
      write_hash(early, waiting, c)
      shared("SADD", waiting_key(p), id)
    end
    return faults
  end

  local first = redis.call("ZRANGE", order, 0, 0, "WITHSCORES")
  local last = redis.call("ZRANGE", order, -1, -1, "WITHSCORES")
  local _, _, _, channel, source, message = read_message(p, id, message_of(last[1]))
  if not message then
    fault("latest")
    return faults
  end
  c.ca, c.lm, c.ch, c.src = first[2], last[2], channel, channel_source(p, channel) or source
  c.un = integer(try("ZCARD", unread_key(p, id)) or 0)
  local seq = is_count(stored.seq) and tonumber(stored.seq) or 0
  c.seq = integer(math.max(seq, tonumber(argv[17])))
  local words = words_of(c, render(id, c, message))
  for i = 18, #argv do words[#words + 1] = argv[i] end

  local names = next(stored) and differing(stored, c) or {}
  if not next(stored) then fault("lost") end
  if #names > 0 then fault("shown", table.concat(names, " ")) end
  if try("ZSCORE", recent_key(p), id) ~= c.lm then fault("listed") end
  if next(waiting) and next(stored) then fault("early") end
  if try("SISMEMBER", waiting_key(p), id) == 1 then fault("waiting") end
  local lacking = {}
  for i = 1, #words, 2 do
    if not try("ZSCORE", words_key(p, words[i]), words[i + 1]) then
      lacking[#lacking + 1], lacking[#lacking + 2] = words[i], words[i + 1]
    end
  end
  if #lacking > 0 then fault("words") end
  if not mends or #faults == 1 then return faults end

  if facts_differ or #names > 0 or not next(stored) then
    log_lost_change(p, id)
    write_hash(key, stored, c)
  end
  if next(waiting) then
    if next(stored) then set_key_aside(p, early) else redis.call("DEL", early) end
  end
  shared("SREM", waiting_key(p), id)
  shared("ZADD", recent_key(p), c.lm, id)
  for i = 1, #lacking, 2 do add_word(p, lacking[i], lacking[i + 1]) end
  return faults
end)

-- What a member of a set stands for.
local RECORDS = {
  recent = order_key, waiting = early_key, waiting_messages = message_key, channels = channel_key, tags = tag_key,
}

-- Members of a set that stand for nothing. ARGV: name of the set, members. Returns: those that do, which are removed.
both("members", function(p, argv, mends)
  local set, strays = KEYS[argv[1]](p), {}
  for i = 2, #argv do
    local member, record = argv[i], RECORDS[argv[1]]
    local is_there = is_id(member) and (not record or redis.call("EXISTS", record(p, member)) == 1)
    local is_member
    if argv[1] == "recent" then is_member = try("ZSCORE", set, member) else is_member = try("SISMEMBER", set, member) == 1 end
    if not is_there and is_member then
      strays[#strays + 1] = member
      if mends then redis.call(argv[1] == "recent" and "ZREM" or "SREM", set, member) end
    end
  end
  return strays
end)

-- Whether the ids of records are in the set of them. ARGV: name of the set, ids. Returns: those that are missing.
both("membership", function(p, argv, mends)
  local set, missing = KEYS[argv[1]](p), {}
  for i = 2, #argv do
    if redis.call("EXISTS", RECORDS[argv[1]](p, argv[i])) == 1 and try("SISMEMBER", set, argv[i]) ~= 1 then
      missing[#missing + 1] = argv[i]
      if mends then redis.call("SADD", set, argv[i]) end
    end
  end
  return missing
end)

-- Reads a slice of a dictionary. ARGV: field, rank of the first, how many. Returns: {type, words with their scores, or
-- ids}.
reading_function("read_words", function(keys, argv)
  local key, first, last = words_key(keys[1], argv[1]), tonumber(argv[2]), tonumber(argv[2]) + tonumber(argv[3]) - 1
  local kind = redis.call("TYPE", key).ok
  local found = { kind }
  local words = {}
  if kind == "zset" then words = redis.call("ZRANGE", key, first, last, "WITHSCORES") end
  if kind == "list" then words = redis.call("LRANGE", key, first, last) end
  for i, word in ipairs(words) do found[1 + i] = word end
  return found
end)

-- Takes words out of a dictionary, or gives them other scores. ARGV: field, then word and "" or "again" of each.
writing_function("mend_words", function(keys, argv)
  for i = 2, #argv, 2 do
    redis.call("ZREM", words_key(keys[1], argv[1]), argv[i])
    if argv[i + 1] == "again" then add_word(keys[1], argv[1], argv[i]) end
  end
  return { "ok" }
end)

-- Adds ids to the dictionary of ids, some in place of what stands there and is none. ARGV: place or "", id of each.
writing_function("mend_ids", function(keys, argv)
  local key = words_key(keys[1], "id")
  for i = 1, #argv, 2 do
    if argv[i] == "" then redis.call("RPUSH", key, argv[i + 1]) else redis.call("LSET", key, argv[i], argv[i + 1]) end
  end
  return { "ok" }
end)

local function is_indexed(p, ids)
  local escaped = {}
  for i, id in ipairs(ids) do escaped[i] = (string.gsub(id, "-", "\\-")) end
  local found = redis.call("FT.SEARCH", index_alias(p), "@id:{" .. table.concat(escaped, "|") .. "}", "NOCONTENT",
    "LIMIT", 0, 0, "DIALECT", 2)
  return found[1] == #ids
end

-- Whether the index finds conversations. ARGV: ids. Returns: those that are there and that it does not find, which are
-- indexed again.
both("indexed", function(p, argv, mends)
  local there, lost = {}, {}
  for _, id in ipairs(argv) do
    if try("HEXISTS", conversation_key(p, id), "lm") == 1 then there[#there + 1] = id end
  end
  if #there == 0 or is_indexed(p, there) then return lost end
  for _, id in ipairs(there) do
    if not is_indexed(p, { id }) then
      lost[#lost + 1] = id
      if mends then redis.call("HSET", conversation_key(p, id), "id", id) end
    end
  end
  return lost
end)

-- Whether the count of unread conversations is that of the index. Returns: {}, or {the count, how many there are}.
both("counts", function(p, _, mends)
  local stored = try("HGET", counts_key(p), "unread") or ""
  local unread = redis.call("FT.SEARCH", index_alias(p), "@un:[1 +inf]", "NOCONTENT", "LIMIT", 0, 0, "DIALECT", 2)[1]
  if stored == integer(unread) or stored == "" and redis.call("EXISTS", recent_key(p)) == 0 then return {} end
  if mends then redis.call("HSET", counts_key(p), "unread", integer(unread)) end
  return { stored, integer(unread) }
end)

-- Counts what has to be as many, without looking at each. Returns: {conversations in the list, ids in the dictionary of
-- ids, the count of unread conversations}, "" for what cannot be read.
reading_function("count_sets", function(keys)
  local p = keys[1]
  return { try("ZCARD", recent_key(p)) or "", try("LLEN", words_key(p, "id")) or "",
    try("HGET", counts_key(p), "unread") or "" }
end)
