-- Tables of the inbox in PostgreSQL; indexes are in indexes.sql, since a load without them is faster.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE channels (
    id uuid PRIMARY KEY,
    document text NOT NULL -- JSON
);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    sent_at_ms bigint NOT NULL,
    document text NOT NULL -- JSON
);

-- The JSON of all but channel and last message, without the braces. It depends on its arguments alone, though to_char
-- and array_to_string do not for all of theirs.
CREATE FUNCTION conversation_json(
    id uuid, created_at_ms bigint, name text, tags uuid[], unread_count integer, state text, user_data json
) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN '"id":"' || id
        || '","created_at":"' || to_char(to_timestamp(created_at_ms / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        || '","metadata":{"contact":{"display_name":' || to_json(name)
        || '},"tags":{' || coalesce('"' || nullif(array_to_string(tags, '":"","'), '') || '":""', '')
        || '},"unread_count":' || unread_count
        || coalesce(',"state":"' || state || '"', '')
        || coalesce(',"user_data":' || user_data, '') || '}';
END
$$;

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    channel_id uuid NOT NULL,
    created_at_ms bigint NOT NULL,
    last_message_at_ms bigint NOT NULL,
    unread_count integer NOT NULL,
    state text,
    source text NOT NULL,
    name text NOT NULL,
    tags uuid[] NOT NULL,
    last_message text NOT NULL, -- JSON
    user_data json,
    -- Lower case, a blank around each word: LIKE finds words by beginning and end.
    words text NOT NULL GENERATED ALWAYS AS (' ' || lower(name) || ' ') STORED,
    -- As they are compared, in columns: PostgreSQL does not look at an index alone for an expression.
    order_total text GENERATED ALWAYS AS (user_data ->> 'order_total') STORED,
    last_seen text GENERATED ALWAYS AS (lower(user_data ->> 'last_seen')) STORED,
    document text NOT NULL GENERATED ALWAYS AS (
        conversation_json(id, created_at_ms, name, tags, unread_count, state, user_data)
    ) STORED
);

-- The tags once more: an index over this table counts a tag's conversations without a look at them, which an index over
-- arrays cannot. Conversations hold them too, for filters of several clauses.
CREATE TABLE conversation_tags (
    tag_id uuid NOT NULL,
    conversation_id uuid NOT NULL
);

CREATE FUNCTION copy_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM conversation_tags WHERE conversation_id = NEW.id AND tag_id <> ALL (NEW.tags);
    END IF;
    INSERT INTO conversation_tags SELECT unnest(NEW.tags), NEW.id ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- The number of conversations, as the sum of several rows: with a single one, writers would wait for each other.
CREATE TABLE totals (slot integer PRIMARY KEY, conversations bigint NOT NULL);
INSERT INTO totals SELECT slot, 0 FROM generate_series(0, 15) AS slot;

CREATE FUNCTION count_new_conversations() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n bigint := (SELECT count(*) FROM added);
BEGIN
    IF n > 0 THEN
        UPDATE totals SET conversations = conversations + n WHERE slot = pg_backend_pid() % 16;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER conversations_added AFTER INSERT ON conversations
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_new_conversations();
