-- Sets the unread count of a conversation to zero.
--
-- KEYS: conversation
-- Returns 1; 0 if there is no such conversation.

local document, unread = unpack(redis.call('HMGET', KEYS[1], 'document', 'unread_count'))
if not document then
    return 0
end
if unread ~= '0' then
    document = cjson.decode(document)
    document.metadata.unread_count = 0
    redis.call('HSET', KEYS[1], 'document', cjson.encode(document), 'unread_count', 0)
end
return 1
