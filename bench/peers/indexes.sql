-- Every list is ordered by last_message_at_ms DESC, id DESC: an index per clause that leaves many conversations holds
-- them in that order, and counts them without a look at the table. With pg_trgm, a LIKE finds words by their parts.

CREATE INDEX conversations_newest ON conversations (last_message_at_ms DESC, id DESC)
    INCLUDE (state, source, channel_id, unread_count, created_at_ms);
CREATE INDEX conversations_unread ON conversations (last_message_at_ms DESC, id DESC)
    INCLUDE (state, source, channel_id, created_at_ms) WHERE unread_count > 0;
CREATE INDEX conversations_state ON conversations (state, last_message_at_ms DESC, id DESC);
CREATE INDEX conversations_source ON conversations (source, last_message_at_ms DESC, id DESC);
CREATE INDEX conversations_state_source ON conversations (state, source, last_message_at_ms DESC, id DESC);
CREATE INDEX conversations_channel ON conversations (channel_id, last_message_at_ms DESC, id DESC);
CREATE INDEX conversations_created ON conversations (created_at_ms, last_message_at_ms DESC, id DESC);
CREATE INDEX conversations_tags ON conversations USING gin (tags);
CREATE INDEX conversations_words ON conversations USING gin (words gin_trgm_ops);
INSERT INTO conversation_tags SELECT unnest(tags), id FROM conversations;
ALTER TABLE conversation_tags ADD PRIMARY KEY (tag_id, conversation_id);
CREATE INDEX conversation_tags_conversation ON conversation_tags (conversation_id);
CREATE TRIGGER conversations_tagged AFTER INSERT ON conversations
    FOR EACH ROW WHEN (NEW.tags <> '{}') EXECUTE FUNCTION copy_tags();
CREATE TRIGGER conversations_retagged AFTER UPDATE OF tags ON conversations
    FOR EACH ROW EXECUTE FUNCTION copy_tags();
CREATE INDEX messages_conversation ON messages (conversation_id, sent_at_ms);
