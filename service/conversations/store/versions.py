"""The libraries in Redis, one for each version: noted while workers call it, and removed after long disuse.

A library without a note gets one when it is found, so it stays as long as if its workers had just stopped. The library
of releases before there were versions, `conversations`, is never removed here: its workers note nothing.
"""

from contextlib import suppress
from typing import Any

from redis import exceptions

from conversations.store.library import LIBRARY_PREFIX, library_code, library_name

__all__ = ["VERSIONS_KEY", "has_library", "load_library", "note_version", "remove_unused"]

VERSIONS_KEY = "conversations:versions"
"""A sorted set: names of libraries, by the time of the last note, in milliseconds of Redis' clock."""


async def has_library(redis: Any) -> bool:
    """Return whether Redis has the library of this version."""
    return bool(await redis.function_list(library_name()))


async def load_library(redis: Any) -> None:
    """Load the library of this version if it is missing."""
    await note_version(redis)
    if await has_library(redis):
        return
    try:
        await redis.function_load(library_code())
    except exceptions.ResponseError as error:
        # Another worker was faster.
        if "already exists" not in str(error):
            raise


async def note_version(redis: Any) -> None:
    """Note that the library of this version is in use.

    A Redis that rejects writes rejects this too, and workers have to start on it.
    """
    with suppress(exceptions.ResponseError):
        if await redis.type(VERSIONS_KEY) not in (b"zset", b"none"):
            await redis.delete(VERSIONS_KEY)
        await redis.zadd(VERSIONS_KEY, {library_name(): await _now_ms(redis)})


async def remove_unused(redis: Any, unused_ms: int) -> None:
    """Remove the libraries of other versions that have not been noted for some time.

    Args:
        redis: The client.
        unused_ms: That time: well above the interval between two notes of a worker.
    """
    with suppress(exceptions.ResponseError):
        libraries = await redis.function_list(f"{LIBRARY_PREFIX}*")
        for name in {_name(library) for library in libraries} - {library_name()}:
            await _remove_unused(redis, name, unused_ms)


async def _remove_unused(redis: Any, name: str, unused_ms: int) -> None:
    async with redis.pipeline() as transaction:
        # A starting worker notes its version before it relies on the library.
        await transaction.watch(VERSIONS_KEY)
        noted_ms = await transaction.zscore(VERSIONS_KEY, name)
        now_ms = await _now_ms(transaction)
        transaction.multi()
        if noted_ms is None:
            transaction.zadd(VERSIONS_KEY, {name: now_ms})
        elif noted_ms < now_ms - unused_ms:
            transaction.function_delete(name)
            transaction.zrem(VERSIONS_KEY, name)
        with suppress(exceptions.WatchError):
            await transaction.execute()


async def _now_ms(redis: Any) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def _name(library: Any) -> str:
    """Return the name of a library from its description, a list in RESP2, a map in RESP3."""
    facts = library if isinstance(library, dict) else dict(zip(library[::2], library[1::2], strict=True))
    name: bytes = facts[b"library_name"]
    return name.decode()
