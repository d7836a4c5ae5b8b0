-- For filters that match much. A part of two letters has no trigram, so each name is looked at: here in an index of them,
-- which is smaller than the table.

CREATE INDEX conversations_newest_words ON conversations (last_message_at_ms DESC, id DESC) INCLUDE (words);
CREATE INDEX conversations_unread_words ON conversations (last_message_at_ms DESC, id DESC) INCLUDE (words)
    WHERE unread_count > 0;
CREATE INDEX conversations_unread_source ON conversations (source, last_message_at_ms DESC, id DESC)
    WHERE unread_count > 0;
CREATE INDEX conversations_order_total ON conversations (order_total, last_message_at_ms DESC, id DESC);
CREATE INDEX conversations_last_seen ON conversations (last_seen, last_message_at_ms DESC, id DESC);
