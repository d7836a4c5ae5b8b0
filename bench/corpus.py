"""A seeded corpus of conversations as an inbox has them: most are closed, few are unread, some tags are everywhere,
nearly all contacts have names of their own.

It is the same in every run. The service gets it as events.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate, count, islice
from uuid import UUID

from bench.names import contact_name

from conversations.times import format_time
from conversations.v1.event_pb2 import Event

__all__ = ["CHANNELS", "TAGS", "Row", "events", "message_event", "new_messages", "rows"]

_SOURCES = ("facebook", "instagram", "google", "chatplugin", "twilio.sms", "whatsapp", "viber")
_CITIES = ("Berlin", "San Perro", "Port Veln", "New Aldmoor", "Zürn", "Bad Hollen", "Lake Fenwick", "São Pedro")
_TEXT = "hello is my order lost the parcel was never here please call me back about this invoice thank you".split()

_START_MS = 1_700_000_000_000
_SPREAD_MS = 2 * 365 * 86_400_000
_AFTER_ALL_MS = _START_MS + _SPREAD_MS
_RECEIVERS = 50_000

_TOTALS, _TOTAL_STEP = 10_000_000, 7_654_321
_SEEN_FROM_MS = int(datetime(2020, 7, 1, tzinfo=UTC).timestamp() * 1000)
_SEEN_SPREAD_MS, _SEEN_STEP_MS = 549 * 86_400_000, 31_415_926_537


def _uuid(generator: random.Random) -> str:
    return str(UUID(int=generator.getrandbits(128), version=4))


def _fixed(kind: str, number: int) -> str:
    return _uuid(random.Random(f"{kind} {number}"))


CHANNELS = [(_fixed("channel", i), _SOURCES[i % len(_SOURCES)]) for i in range(20)]
"""Ids and sources of the channels; the first ones have most conversations."""

TAGS = [_fixed("tag", i) for i in range(40)]
"""Ids of the tags; how often they are used falls as 1 / rank."""

_TAG_WEIGHTS = list(accumulate(1 / rank for rank in range(1, len(TAGS) + 1)))
_CHANNEL_WEIGHTS = list(accumulate(1 / rank for rank in range(1, len(CHANNELS) + 1)))


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation with its one message."""

    id: str
    message_id: str
    channel_id: str
    source: str
    name: str
    sent_at_ms: int
    from_contact: bool
    unread: bool
    state: str | None
    tags: tuple[str, ...]
    user_data: dict[str, object]
    text: str


def rows(count: int, seed: int = 7, *, user_data: bool = True) -> Iterator[Row]:
    """Yield conversations: 70% closed, 20% open, 10% without a state; 10% unread; three tags, a message of 100 bytes.

    No two conversations have the same `order_total` or `last_seen`. Without user data the rows are otherwise the same.
    """
    generator = random.Random(seed)
    data_generator = random.Random(seed + 1)
    for number in range(count):
        channel_id, source = generator.choices(CHANNELS, cum_weights=_CHANNEL_WEIGHTS)[0]
        unread = generator.random() < 0.1
        yield Row(
            id=_uuid(generator),
            message_id=_uuid(generator),
            channel_id=channel_id,
            source=source,
            name=contact_name(generator),
            sent_at_ms=_START_MS + generator.randrange(_SPREAD_MS),
            from_contact=unread or generator.random() < 0.5,
            unread=unread,
            state=generator.choices(("CLOSED", "OPEN", None), cum_weights=(70, 90, 100))[0],
            tags=_three_tags(generator),
            user_data=_user_data(data_generator, number) if user_data else {},
            text=" ".join(generator.choices(_TEXT, k=40))[:100],
        )


def _three_tags(generator: random.Random) -> tuple[str, ...]:
    tags: dict[str, None] = {}  # in the order drawn, so that every run has the same rows
    while len(tags) < 3:
        tags[generator.choices(TAGS, cum_weights=_TAG_WEIGHTS)[0]] = None
    return tuple(tags)


def _user_data(generator: random.Random, position: int) -> dict[str, object]:
    number = generator.randrange(10**9)
    # A step that has no divisor in common with the number of values comes to each of them once.
    cents = position * _TOTAL_STEP % _TOTALS
    seen_ms = _SEEN_FROM_MS + position * _SEEN_STEP_MS % _SEEN_SPREAD_MS
    return {
        "city": generator.choice(_CITIES),
        "erp": {"id": f"C-{number:09d}", "seats": generator.randrange(300)},
        "email": f"user{number}@example.com",
        "notes": " ".join(generator.choices(_TEXT, k=5)),
        # Written as the service reads it: a whole number has no point.
        "order_total": cents / 100 if cents % 100 else cents // 100,
        "last_seen": format_time(seen_ms),
    }


def new_messages(conversations: int, seed: int = 11) -> Iterator[Row]:
    """Yield messages without end, of up to 50,000 of the conversations, each later than the one before."""
    generator = random.Random(seed)
    receivers = list(islice(rows(conversations, user_data=False), _RECEIVERS))
    for sent_at_ms in count(_AFTER_ALL_MS):
        yield replace(generator.choice(receivers), message_id=_uuid(generator), sent_at_ms=sent_at_ms)


def events(conversations: int, *, user_data: bool) -> Iterator[Event]:
    """Yield what makes the corpus: tags, channels, then all of one conversation after the other."""
    for number, tag in enumerate(TAGS):
        yield Event(tag={"id": tag, "name": f"tag {number}", "color": "tag-red"})
    for channel, source in CHANNELS:
        details = {"source_channel_id": channel[:8], "connected": True}
        yield Event(channel={"id": channel, "source": source, **details})
    for row in rows(conversations, user_data=user_data):
        yield message_event(row)
        metadata: dict[str, object] = {"contact": {"display_name": row.name}, "tags": dict.fromkeys(row.tags, "")}
        metadata |= {"state": row.state} if row.state else {}
        metadata |= {"user_data": row.user_data} if row.user_data else {}
        yield Event(metadata={"subject": "conversation", "id": row.id, "metadata": metadata})
        if not row.unread:
            yield Event(read_receipt={"conversation_id": row.id, "read_at": format_time(row.sent_at_ms)})


def message_event(row: Row) -> Event:
    """Return the event of a message."""
    return Event(
        message={
            "id": row.message_id,
            "conversation_id": row.id,
            "channel_id": row.channel_id,
            "sender": {"id": "sender", "name": row.name},
            "content": {"struct_value": {"text": row.text}},
            "from_contact": row.from_contact,
            "delivery_state": "DELIVERED",
            "sent_at": format_time(row.sent_at_ms),
            "source": row.source,
            "metadata": {},
        }
    )
