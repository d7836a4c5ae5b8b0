"""New messages of known conversations, as each server takes them."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from uuid import UUID

from bench.corpus import Row, rows

from conversations.store.documents import to_struct
from conversations.times import format_time
from conversations.v1 import event_pb2, ingest_service_pb2, message_pb2

__all__ = ["NewMessage", "events_request", "messages_body", "new_messages", "written_meanwhile"]

_AFTER_CORPUS_MS = 1_765_000_000_000
_RECEIVERS = 50_000


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message of the corpus' future."""

    id: str
    row: Row
    sent_at_ms: int
    """Each one is later than the one before."""


def new_messages(conversations: int, seed: int = 11) -> Iterator[NewMessage]:
    """Yield messages without end, of up to 50,000 of the conversations."""
    generator = random.Random(seed)
    receivers = list(islice(rows(conversations, user_data=False), _RECEIVERS))
    for number in count():
        message_id = str(UUID(int=generator.getrandbits(128), version=4))
        yield NewMessage(message_id, generator.choice(receivers), _AFTER_CORPUS_MS + number)


def events_request(messages: Sequence[NewMessage]) -> bytes:
    """Return IngestEventsRequest, serialised."""
    return ingest_service_pb2.IngestEventsRequest(
        events=[event_pb2.Event(message=_event(message)) for message in messages]
    ).SerializeToString()


def _event(message: NewMessage) -> event_pb2.MessageEvent:
    row = message.row
    return event_pb2.MessageEvent(
        id=message.id,
        conversation_id=row.id,
        channel_id=row.channel_id,
        sender=message_pb2.Sender(id="sender", name=row.name),
        content=to_struct({"text": row.text}),
        from_contact=row.from_contact,
        delivery_state=message_pb2.Message.DELIVERED,
        sent_at=format_time(message.sent_at_ms),
        source=row.source,
        metadata={},
    )


def messages_body(messages: Sequence[NewMessage]) -> dict[str, object]:
    """Return the body of the peers' `/messages.ingest`."""
    return {
        "messages": [
            {
                "id": message.id,
                "conversation_id": message.row.id,
                "channel_id": message.row.channel_id,
                "source": message.row.source,
                "sent_at": message.sent_at_ms,
                "from_contact": message.row.from_contact,
                "text": message.row.text,
            }
            for message in messages
        ]
    }


@contextmanager
def written_meanwhile(write: Callable[[], object], per_second: int) -> Iterator[None]:
    """Call a function at a steady rate, as long as the block.

    Raises:
        Exception: What the function raised.
    """
    stopped = threading.Event()
    failures: list[Exception] = []

    def run() -> None:
        next_at = time.monotonic()
        while not stopped.wait(max(0.0, next_at - time.monotonic())):
            next_at += 1 / per_second
            try:
                write()
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    if failures:
        raise failures[0]
