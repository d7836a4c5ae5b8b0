-- Stores messages and brings their conversations up to date, in one step.
--
-- KEYS, for each message: message, conversation, order of the conversation's messages; at last the total
-- ARGV, for each message: id, conversation's JSON if it is new, its channel, source and name, time in ms,
--   1 if from the contact, JSON
-- Returns nothing.

for i = 0, #ARGV / 8 - 1 do
    local message_key, key, order = KEYS[3 * i + 1], KEYS[3 * i + 2], KEYS[3 * i + 3]
    local id, blank, channel, source, name, time, from_contact, message = unpack(ARGV, 8 * i + 1, 8 * i + 8)
    local known = redis.call('SET', message_key, message, 'GET')
    redis.call('ZADD', order, time, id)
    local stored = redis.call('HMGET', key, 'document', 'created_at', 'last_message_at', 'unread_count')
    local unread = tonumber(stored[4] or 0)
    if from_contact == '1' and not known then
        unread = unread + 1
    end
    local document = cjson.decode(stored[1] or blank)
    document.metadata.unread_count = unread
    local created, latest = stored[2], stored[3]
    local parsed = cjson.decode(message)
    if not stored[1] then
        created, latest = time, time
        redis.call('HSET', key, 'channel_id', channel, 'source', source, 'name', name)
        redis.call('INCR', KEYS[#KEYS])
    elseif tonumber(time) < tonumber(created) then
        created = time
        document.created_at = parsed.sent_at
    end
    if tonumber(time) >= tonumber(latest) then
        latest = time
        document.last_message = parsed
    end
    redis.call('HSET', key, 'document', cjson.encode(document),
        'created_at', created, 'last_message_at', latest, 'unread_count', unread)
end
