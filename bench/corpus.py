"""A seeded corpus of conversations as an inbox has them: most are closed, few are unread, some tags are everywhere."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
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

    Without user data the rows are otherwise the same.
    """
    generator = random.Random(seed)
    data_generator = random.Random(seed + 1)
    for _ in range(count):
        channel_id, source = generator.choices(CHANNELS, cum_weights=_CHANNEL_WEIGHTS)[0]
        unread = generator.random() < 0.1
        yield Row(
            id=_uuid(generator),
            message_id=_uuid(generator),
            channel_id=channel_id,
            source=source,
            name=f"{_first_name(generator)} {_last_name(generator)}",
            sent_at_ms=_START_MS + generator.randrange(_SPREAD_MS),
            from_contact=unread or generator.random() < 0.5,
            unread=unread,
            state=generator.choices(("CLOSED", "OPEN", None), cum_weights=(70, 90, 100))[0],
            tags=_three_tags(generator),
            user_data=_user_data(data_generator) if user_data else {},
            text=" ".join(generator.choices(_TEXT, k=40))[:100],
        )


def _three_tags(generator: random.Random) -> tuple[str, ...]:
    tags: dict[str, None] = {}  # in the order drawn, so that every run has the same rows
    while len(tags) < 3:
        tags[generator.choices(TAGS, cum_weights=_TAG_WEIGHTS)[0]] = None
    return tuple(tags)


def _user_data(generator: random.Random) -> dict[str, object]:
    number = generator.randrange(10**9)
    return {
        "city": generator.choice(_CITIES),
        "erp": {"id": f"C-{number:09d}", "seats": generator.randrange(300)},
        "email": f"user{number}@example.com",
        "notes": " ".join(generator.choices(_TEXT, k=5)),
    }


def _first_name(generator: random.Random) -> str:
    return (generator.choice(_FIRST) if generator.random() < 0.5 else _made_up(generator, 2)).title()


def _last_name(generator: random.Random) -> str:
    return (generator.choice(_LAST) if generator.random() < 0.3 else _made_up(generator, 3)).title()


def _made_up(generator: random.Random, syllables: int) -> str:
    return "".join(generator.choices(_SYLLABLES, k=syllables))
