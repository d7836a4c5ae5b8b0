"""The JSON that the peers store ready."""

from collections.abc import Sequence

import orjson
from bench.corpus import Row

from conversations.times import format_time

__all__ = ["channel_json", "conversation_json", "default_name", "message_json", "row_message_json"]


def channel_json(channel_id: str, source: str) -> str:
    """Return a channel."""
    return orjson.dumps(
        {"id": channel_id, "source": source, "source_channel_id": channel_id[:8], "connected": True, "metadata": {}}
    ).decode()


def message_json(
    message_id: str, sent_at_ms: int, from_contact: bool, source: str, text: str, sender: dict[str, str]
) -> str:
    """Return a message."""
    message = {
        "id": message_id,
        "content": {"text": text},
        "delivery_state": "DELIVERED",
        "state": "DELIVERED",
        "from_contact": from_contact,
        "sent_at": format_time(sent_at_ms),
        "source": source,
        "sender": sender,
        "metadata": {},
    }
    return orjson.dumps(message).decode()


def row_message_json(row: Row) -> str:
    """Return the message of a conversation of the corpus."""
    sender = {"id": "sender", "name": row.name}
    return message_json(row.message_id, row.sent_at_ms, row.from_contact, row.source, row.text, sender)


def conversation_json(
    conversation_id: str,
    channel: str,
    created_at_ms: int,
    name: str,
    last_message: str,
    *,
    tags: Sequence[str] = (),
    unread_count: int = 0,
    state: str | None = None,
) -> str:
    """Return a conversation, given the JSON of its channel and of its last message."""
    metadata: dict[str, object] = {
        "contact": {"display_name": name},
        "tags": dict.fromkeys(tags, ""),
        "unread_count": unread_count,
    }
    if state:
        metadata["state"] = state
    conversation = {
        "id": conversation_id,
        "channel": orjson.Fragment(channel),
        "created_at": format_time(created_at_ms),
        "metadata": metadata,
        "last_message": orjson.Fragment(last_message),
    }
    return orjson.dumps(conversation).decode()


def default_name(conversation_id: str, source: str) -> str:
    """Return what a contact without a name is called."""
    return f"{source.rpartition('.')[2].title()} {conversation_id[-5:]}"
