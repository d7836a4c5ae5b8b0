"""Keys and index of the peer on Redis, and the corpus in it: a hash per conversation, with its JSON ready."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from bench.corpus import CHANNELS, Row
from bench.peers.documents import channel_json, conversation_json, row_message_json
from redis.asyncio import Redis
from redis.commands.search.field import NumericField, TagField, TextField
from redis.commands.search.index_definition import IndexDefinition, IndexType

__all__ = ["INDEX", "TOTAL", "conversation_key", "load", "message_key", "order_key"]

INDEX = "conversations"
TOTAL = "total"
"""Key of the number of conversations."""

_AT_ONCE = 1000
_FIELDS = [
    TagField("state"),
    TagField("source"),
    TagField("channel_id"),
    TagField("tags"),
    # Names are found by the beginning and the end of a word: as they are, no stems.
    TextField("name", no_stem=True, withsuffixtrie=True),
    NumericField("unread_count", sortable=True),
    NumericField("created_at", sortable=True),
    NumericField("last_message_at", sortable=True),
]


def conversation_key(conversation_id: str) -> str:
    """Return the key of a conversation, a hash: the fields of the index, and `document`."""
    return f"conversation:{conversation_id}"


def message_key(message_id: str) -> str:
    """Return the key of a message, its JSON."""
    return f"message:{message_id}"


def order_key(conversation_id: str) -> str:
    """Return the key of a sorted set: ids of a conversation's messages by their time."""
    return f"messages:{conversation_id}"


async def load(url: str, rows: Iterable[Row]) -> None:
    """Create the index, and write the corpus into it."""
    definition = IndexDefinition(  # type: ignore[no-untyped-call]
        prefix=[conversation_key("")], index_type=IndexType.HASH
    )
    async with Redis.from_url(url, protocol=2) as redis:
        await redis.ft(INDEX).create_index(_FIELDS, definition=definition, stopwords=[])
        channels = {id_: channel_json(id_, source) for id_, source in CHANNELS}
        remaining = iter(rows)
        while batch := list(islice(remaining, _AT_ONCE)):
            pipeline = redis.pipeline(transaction=False)
            for row in batch:
                message = row_message_json(row)
                pipeline.set(message_key(row.message_id), message)
                pipeline.zadd(order_key(row.id), {row.message_id: row.sent_at_ms})
                pipeline.hset(conversation_key(row.id), mapping=_fields(row, channels[row.channel_id], message))
            pipeline.incrby(TOTAL, len(batch))
            await pipeline.execute()


def _fields(row: Row, channel: str, message: str) -> dict[Any, Any]:
    document = conversation_json(
        row.id,
        channel,
        row.sent_at_ms,
        row.name,
        message,
        tags=row.tags,
        unread_count=int(row.unread),
        state=row.state,
    )
    return {
        "document": document,
        "source": row.source,
        "channel_id": row.channel_id,
        "tags": ",".join(row.tags),
        "name": row.name,
        "unread_count": int(row.unread),
        "created_at": row.sent_at_ms,
        "last_message_at": row.sent_at_ms,
    } | ({"state": row.state} if row.state else {})
