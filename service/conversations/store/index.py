"""The RediSearch indexes, one for each partition, each behind an alias.

Source:
    https://redis.io/docs/latest/commands/ft.create/
"""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

from redis import exceptions

__all__ = ["SCHEMA_VERSION", "create_index", "progress", "rebuild_index"]

_OPTIONS = ("STOPWORDS", 0, "NOHL", "NOFREQS")
_TAG = ("TAG", "CASESENSITIVE", "SEPARATOR")
# One TEXT field for all text: the same term in two TEXT fields makes RediSearch 2.10 lose documents under negation.
_SCHEMA = (
    *("x", "TEXT", "NOSTEM"),
    *("id", *_TAG, "\x01"),
    *("ch", *_TAG, "\x01"),
    *("src", *_TAG, "\x01"),
    *("st", *_TAG, "\x01"),
    *("tg", *_TAG, ","),
    *("ca", "NUMERIC"),
    *("lm", "NUMERIC", "SORTABLE"),
    *("un", "NUMERIC"),
)

SCHEMA_VERSION = sha256(repr((_OPTIONS, _SCHEMA)).encode()).hexdigest()[:12]
"""Changes with the schema: an index of another version has to be rebuilt."""


def _alias(partition: int) -> str:
    return f"conversations:{{{partition}}}"


async def _info(redis: Any, name: str) -> dict[str, Any] | None:
    """Return what RediSearch says of an index or alias, or None where there is none."""
    try:
        reply = await redis.execute_command("FT.INFO", name)
    except exceptions.ResponseError as error:
        # 2.10: "conversations:{0}: no such index"; Redis 8: "Unknown index name".
        if "no such index" in str(error).lower() or "unknown index" in str(error).lower():
            return None
        raise
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(key): value for key, value in pairs}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


async def _create(redis: Any, partition: int, number: int) -> str:
    name = f"{_alias(partition)}:v{number}"
    prefix = f"index:{{{partition}}}:"
    await redis.execute_command("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, *_OPTIONS, "SCHEMA", *_SCHEMA)
    return name


async def create_index(redis: Any, partition: int) -> None:
    """Create a partition's index, unless it is there."""
    if await _info(redis, _alias(partition)) is not None:
        return
    try:
        name = await _create(redis, partition, 1)
        await redis.execute_command("FT.ALIASADD", _alias(partition), name)
    except exceptions.ResponseError as error:
        # Another worker was faster.
        if "already exists" not in str(error).lower():
            raise


async def progress(redis: Any, partition: int) -> float:
    """Return which part of a partition's documents is indexed, 1.0 when all are; 0.0 without an index."""
    return _part_indexed(await _info(redis, _alias(partition)))


def _part_indexed(info: dict[str, Any] | None) -> float:
    if info is None:
        return 0.0
    part = float(_text(info["percent_indexed"]))
    return min(part, 0.999) if int(_text(info["indexing"])) else part


async def rebuild_index(redis: Any, partition: int) -> AsyncIterator[float]:
    """Build a fresh index beside the live one and swap it in; both are fed meanwhile.

    Yields:
        Which part is done, up to 1.0 when the fresh index is live.
    """
    live = await _info(redis, _alias(partition))
    names = [_text(name) for name in await redis.execute_command("FT._LIST")]
    own = [name for name in names if name.startswith(f"{_alias(partition)}:v")]
    number = 1 + max((int(name.rpartition("v")[2]) for name in own), default=0)
    name = await _create(redis, partition, number)
    while (part := _part_indexed(await _info(redis, name))) < 1.0:
        yield part
        await asyncio.sleep(0.1)
    await redis.execute_command("FT.ALIASUPDATE" if live else "FT.ALIASADD", _alias(partition), name)
    for old in own:
        await redis.execute_command("FT.DROPINDEX", old)
    yield 1.0
