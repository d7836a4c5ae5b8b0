"""Loads the corpus into a store."""

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

_AT_ONCE = 1000


async def load(store: Store, count: int) -> None:
    """Fill an empty store with so many conversations."""
    happenings = _happenings(count)
    while batch := list(islice(happenings, _AT_ONCE)):
        refused = await store.ingest.apply(batch)
        if refused:
            raise RuntimeError(f"the store refuses the corpus: {refused}")


def _happenings(count: int) -> Iterator[Happening]:
    for number, tag in enumerate(TAGS):
        yield tag_pb2.Tag(id=tag, name=f"tag {number}", color="tag-red")
    for channel, source in CHANNELS:
        yield channel_pb2.Channel(id=channel, source=source, source_channel_id=channel[:8], connected=True)
    for row in rows(count):
        yield _message(row)
        document = {"contact": {"display_name": row.name}, "user_data": row.user_data}
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
