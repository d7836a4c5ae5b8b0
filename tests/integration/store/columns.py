"""What the columns of a Redis hold, read without the service's functions."""

import json
import re
from typing import Any

from conversations import terms
from conversations.schema import FIELDS
from conversations.store.documents import document_parts
from conversations.v1 import conversation_pb2

__all__ = ["check_columns", "stored_values"]

_KEY = re.compile(r"(column|long_value):(\{\d+\}):(\d+):(.*)", re.DOTALL)
_BLOCK_ROWS = 256


async def stored_values(redis: Any) -> dict[tuple[str, int], dict[str, str]]:
    """Return what each row holds, by partition and row: values by column."""
    rows: dict[tuple[str, int], dict[str, str]] = {}
    long_values = {}
    for key in await redis.keys("*"):
        match = _KEY.fullmatch(key.decode(errors="surrogateescape"))
        if match and match[1] == "long_value":
            value = await redis.get(key)
            long_values[match[2], int(match[3]), match[4]] = value.decode(errors="surrogateescape")
        elif match:
            text = await redis.get(key)
            assert text[:1] == text[-1:] == b"\n"
            for line, value in enumerate(text[1:-1].split(b"\n")):
                if value.strip(b" "):
                    place = match[2], _BLOCK_ROWS * int(match[3]) + line
                    rows.setdefault(place, {})[match[4]] = value.rstrip(b" ").decode(errors="surrogateescape")
    for (partition, row), values in rows.items():
        for name, value in values.items():
            if value == b"\xff".decode(errors="surrogateescape"):
                values[name] = long_values.pop((partition, row, name))
    assert long_values == {}
    return rows


async def check_columns(redis: Any) -> None:
    """The columns hold the values of every conversation, in its row, and nothing else; and all of it is counted."""
    rows = await stored_values(redis)
    wanted: dict[tuple[str, int], dict[str, str]] = {}
    for key in await redis.keys("conversation:*"):
        _, partition, id = key.decode().split(":")
        stored = await redis.hgetall(key)
        parts = document_parts(json.loads(stored.get(b"doc", b"") or b"{}"))
        values = {name: value.decode(errors="surrogateescape") for name, value in parts["values"].items()}
        shown = conversation_pb2.Conversation.FromString(stored[b"tail"])
        words = dict.fromkeys(terms.split_words(shown.metadata.contact.display_name))
        own = {"id": id, "display_name": " ".join(words)}
        for column in FIELDS:
            if column.has_column:
                value = stored.get(column.key.encode(), b"").decode()
                own[column.name] = value.lower().replace(",", " ")
        place = partition, int(stored[b"row"])
        assert place not in wanted
        wanted[place] = {name: value for name, value in (values | own).items() if value}
    assert {place for place in rows if rows[place] != wanted.get(place)} == set(), [
        (rows.get(place), wanted.get(place)) for place in rows.keys() | wanted if rows.get(place) != wanted.get(place)
    ]
    assert rows.keys() == wanted.keys()
    for partition in {partition for partition, _ in wanted}:
        numbers = [row for other, row in wanted if other == partition]
        assert await redis.hget(f"counts:{partition}", "rows") == str(max(numbers) + 1).encode()
        sizes: dict[bytes, int] = {}
        for (other, _), values in wanted.items():
            for name in values if other == partition else ():
                sizes[name.encode()] = sizes.get(name.encode(), 0) + 1
        assert {name: int(size) for name, size in (await redis.hgetall(f"columns:{partition}")).items()} == sizes
