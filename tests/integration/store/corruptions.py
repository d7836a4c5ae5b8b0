"""Ways to damage what Redis holds, one at a time, and to bring back what was there."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["ENDLESS", "Corruption", "Snapshot", "corruptions", "take_snapshot"]

JUNK = b"\xff\x00 junk\n\xfe"
HUGE = b"99999999999999999999"
NEGATIVE = b"-7"
# More digits than Python makes a number of.
ENDLESS = b"9" * 5000


@dataclass(frozen=True, slots=True)
class Corruption:
    """One damage of one key."""

    key: str
    what: str
    apply: Callable[[Any], Awaitable[Any]]
    """Does it, given a Redis client."""

    def __str__(self) -> str:
        return f"{self.key} {self.what}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys of a Redis, by name."""

    values: dict[bytes, bytes]

    async def restore(self, redis: Any) -> None:
        """Make everything as it was."""
        async with redis.pipeline(transaction=False) as pipeline:
            for key in await redis.keys("*"):
                if key not in self.values:
                    pipeline.delete(key)
            for key, value in self.values.items():
                pipeline.restore(key, 0, value, replace=True)
            await pipeline.execute()


async def take_snapshot(redis: Any) -> Snapshot:
    return Snapshot({key: await redis.dump(key) for key in sorted(await redis.keys("*"))})


async def corruptions(redis: Any) -> list[Corruption]:
    """Return every corruption of every key."""
    found: list[Corruption] = []
    for name in sorted(await redis.keys("*")):
        key = name.decode()
        kind = (await redis.type(key)).decode()
        found += _of_key(key, kind)
        match kind:
            case "hash":
                for field, value in sorted((await redis.hgetall(key)).items()):
                    found += _of_field(key, field, value)
            case "zset":
                for member, _ in await redis.zrange(key, 0, -1, withscores=True):
                    found += _of_member(key, member)
            case "set":
                for member in sorted(await redis.smembers(key)):
                    found.append(Corruption(key, f"without {member!r}", _command("SREM", key, member)))
            case "list":
                for place in range(await redis.llen(key)):
                    found.append(Corruption(key, f"junk at {place}", _command("LSET", key, place, JUNK)))
            case "string":
                value = await redis.get(key)
                if key.startswith("column:"):
                    found += _of_lines(key, value)
                found += [
                    Corruption(key, f"is {what}", _command("SET", key, bad)) for what, bad in _bad_values(value).items()
                ]
    return found


def _command(*words: Any) -> Callable[[Any], Awaitable[Any]]:
    async def run(redis: Any) -> None:
        await redis.execute_command(*words)

    return run


def _commands(*commands: tuple[Any, ...]) -> Callable[[Any], Awaitable[Any]]:
    async def run(redis: Any) -> None:
        for command in commands:
            await redis.execute_command(*command)

    return run


def _bad_values(value: bytes) -> dict[str, bytes]:
    half = len(value) // 2
    flipped = bytearray(value)
    if flipped:
        flipped[half] ^= 0x80
    bad = {
        "empty": b"",
        "junk": JUNK,
        "half of it": value[:half],
        "all but the last byte": value[:-1],
        "flipped": bytes(flipped),
        "huge": HUGE,
        "endless": ENDLESS,
        "negative": NEGATIVE,
    }
    return {what: other for what, other in bad.items() if other != value}


def _of_key(key: str, kind: str) -> Iterator[Corruption]:
    yield Corruption(key, "deleted", _command("DEL", key))
    others: dict[str, tuple[Any, ...]] = {
        "string": ("SET", key, JUNK),
        "hash": ("HSET", key, JUNK, JUNK),
        "list": ("RPUSH", key, JUNK),
        "set": ("SADD", key, JUNK),
        "zset": ("ZADD", key, 1, JUNK),
        "stream": ("XADD", key, "*", JUNK, JUNK),
    }
    for other, command in others.items():
        if other != kind:
            yield Corruption(key, f"a {other}", _commands(("DEL", key), command))
        elif other != "string":
            yield Corruption(key, "with junk", _command(*command))
    if kind == "zset":
        for text in (b"", b"a b", b"-" * 36, b"0" * 46):
            for score in ("5", "-7.5", "inf", "-inf", "1e300"):
                yield Corruption(key, f"with {text!r} at {score}", _command("ZADD", key, score, text))
    if kind == "stream":
        yield Corruption(key, "emptied", _command("XTRIM", key, "MAXLEN", 0))
        yield Corruption(key, "at its last id", _command("XADD", key, f"{2**64 - 1}-{2**64 - 1}", "key", "x"))


def _of_lines(key: str, value: bytes) -> Iterator[Corruption]:
    """Damage of a block of lines that leaves it readable."""
    lines = value[1:-1].split(b"\n")
    others = {
        "without its first line": lines[1:],
        "with its first line twice": [lines[0], *lines],
        "with its lines reversed": lines[::-1],
        "with its last line twice": [*lines, lines[-1]],
        "with a line for a long value": [b"\xff", *lines[1:]],
    }
    for what, some in others.items():
        yield Corruption(key, what, _command("SET", key, b"\n" + b"\n".join(some) + b"\n"))


def _of_field(key: str, field: bytes, value: bytes) -> Iterator[Corruption]:
    name = field.decode(errors="backslashreplace")
    if field in (b"row", b"rows"):
        for other in (0, 1, 2, 300):
            yield Corruption(key, f"{name} is {other}", _command("HSET", key, field, other))
    yield Corruption(key, f"without {name}", _command("HDEL", key, field))
    for what, bad in _bad_values(value).items():
        yield Corruption(key, f"{name} is {what}", _command("HSET", key, field, bad))


def _of_member(key: str, member: bytes) -> Iterator[Corruption]:
    yield Corruption(key, f"without {member!r}", _command("ZREM", key, member))
    for score in ("0", "-7", "12.5", "inf", "-inf", "1e300", "99999999999999999999"):
        yield Corruption(key, f"{member!r} at {score}", _command("ZADD", key, score, member))
