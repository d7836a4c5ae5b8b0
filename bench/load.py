"""Loads the corpus into a store."""

import asyncio
from collections.abc import Iterator
from itertools import islice

from bench.corpus import CHANNELS, TAGS, Row, rows

from conversations.store import (
    ConversationChanged,
    ConversationPatch,
    Happening,
    IncomingMessage,
    Read,
    Store,
)
from conversations.store.documents import to_struct
from conversations.times import format_time
from conversations.v1 import channel_pb2, message_pb2, tag_pb2

__all__ = ["load"]

_ROWS_AT_ONCE = 300
# While Redis works on one batch, the next one is made.
_BATCHES_UNDER_WAY = 2


async def load(store: Store, count: int, *, user_data: bool = True) -> None:
    """Fill an empty store with so many conversations."""
    await _apply(store, list(_tags_and_channels()))
    remaining = rows(count, user_data=user_data)

    async def go_on() -> None:
        while batch := list(islice(remaining, _ROWS_AT_ONCE)):
            await _apply(store, [happening for row in batch for happening in _happenings(row)])

    await asyncio.gather(*(go_on() for _ in range(_BATCHES_UNDER_WAY)))


async def _apply(store: Store, happenings: list[Happening]) -> None:
    refused = await store.ingest.apply(happenings)
    if refused:
        raise RuntimeError(f"the store refuses the corpus: {refused}")


def _tags_and_channels() -> Iterator[Happening]:
    for number, tag in enumerate(TAGS):
        yield tag_pb2.Tag(id=tag, name=f"tag {number}", color="tag-red")
    for channel, source in CHANNELS:
        yield channel_pb2.Channel(id=channel, source=source, source_channel_id=channel[:8], connected=True)


def _happenings(row: Row) -> Iterator[Happening]:
    """All of one conversation, to be applied in their order."""
    yield _message(row)
    document = {"contact": {"display_name": row.name}, **({"user_data": row.user_data} if row.user_data else {})}
    yield ConversationChanged(row.id, ConversationPatch(document, row.state or "", row.tags))
    if not row.unread:
        yield Read(row.id, row.sent_at_ms)


def _message(row: Row) -> IncomingMessage:
    message = message_pb2.Message(
        id=row.message_id,
        content=to_struct({"text": row.text}),
        delivery_state=message_pb2.Message.DELIVERED,
        state=message_pb2.Message.DELIVERED,
        from_contact=row.from_contact,
        sent_at=format_time(row.sent_at_ms),
        source=row.source,
        sender=message_pb2.Sender(id="sender", name=row.name),
        metadata={},
    )
    return IncomingMessage(row.message_id, row.id, row.channel_id, row.source, row.sent_at_ms, message)
