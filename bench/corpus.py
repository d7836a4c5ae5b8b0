"""A seeded corpus of conversations as an inbox has them: most are closed, few are unread, some tags are everywhere."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

__all__ = ["CHANNELS", "TAGS", "Row", "rows"]

_SOURCES = ("facebook", "instagram", "google", "chatplugin", "twilio.sms", "twilio.whatsapp", "viber")
_FIRST = "ada alan grace linus margaret dennis barbara ken radia edsger frances john karen tim joan guido".split()
_LAST = "lovelace turing hopper torvalds hamilton ritchie liskov thompson perlman dijkstra allen backus jones".split()
_SYLLABLES = "ka re mi no la ti so ve da lu pe ri ga to shi en or an el is um ber ton son wal ner gar".split()
_CITIES = ("Berlin", "San Perro", "Port Veln", "New Aldmoor", "Zürn", "Bad Hollen", "Lake Fenwick", "São Pedro")
_TEXT = "hello is my order lost the parcel was never here please call me back about this invoice thank you".split()

_START_MS = 1_700_000_000_000
_SPREAD_MS = 2 * 365 * 86_400_000


def _uuid(generator: random.Random) -> str:
    return str(UUID(int=generator.getrandbits(128), version=4))


def _fixed(kind: str, number: int) -> str:
    return _uuid(random.Random(f"{kind} {number}"))


CHANNELS = [(_fixed("channel", i), _SOURCES[i % len(_SOURCES)]) for i in range(20)]
"""Ids and sources of the channels; the first ones have most conversations."""

TAGS = [_fixed("tag", i) for i in range(40)]
"""Ids of the tags; how often they are used falls as 1 / rank."""

_TAG_WEIGHTS = [1 / rank for rank in range(1, len(TAGS) + 1)]
_CHANNEL_WEIGHTS = [1 / rank for rank in range(1, len(CHANNELS) + 1)]


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


def rows(count: int, seed: int = 7) -> Iterator[Row]:
    """Yield conversations: 70% closed, 20% open, 10% without a state; 10% unread; three tags each at the most."""
    generator = random.Random(seed)
    for _ in range(count):
        channel_id, source = generator.choices(CHANNELS, _CHANNEL_WEIGHTS)[0]
        unread = generator.random() < 0.1
        number = generator.randrange(10**9)
        yield Row(
            id=_uuid(generator),
            message_id=_uuid(generator),
            channel_id=channel_id,
            source=source,
            name=f"{_first_name(generator)} {_last_name(generator)}",
            sent_at_ms=_START_MS + generator.randrange(_SPREAD_MS),
            from_contact=unread or generator.random() < 0.5,
            unread=unread,
            state=generator.choices(("CLOSED", "OPEN", None), (70, 20, 10))[0],
            tags=tuple(set(generator.choices(TAGS, _TAG_WEIGHTS, k=3))),
            user_data={
                "city": generator.choice(_CITIES),
                "erp": {"id": f"C-{number:09d}", "seats": generator.randrange(300)},
                "email": f"user{number}@example.com",
                "notes": " ".join(generator.choices(_TEXT, k=5)),
            },
            text=" ".join(generator.choices(_TEXT, k=20))[:100],
        )


def _first_name(generator: random.Random) -> str:
    return (generator.choice(_FIRST) if generator.random() < 0.5 else _made_up(generator, 2)).title()


def _last_name(generator: random.Random) -> str:
    return (generator.choice(_LAST) if generator.random() < 0.3 else _made_up(generator, 3)).title()


def _made_up(generator: random.Random, syllables: int) -> str:
    return "".join(generator.choices(_SYLLABLES, k=syllables))
