"""The setup record of a Redis: layout of the keys, number of partitions, version of the index's schema."""

from typing import Any

from conversations.errors import ConfigurationError
from conversations.store import index
from conversations.store.damage import read_count

__all__ = ["LAYOUT", "MAX_PARTITIONS", "SETUP_KEY", "claim", "partition_count", "was_set_up", "write_once"]

SETUP_KEY = "conversations:setup"

LAYOUT = b"3"
"""Changes when the meaning of keys or fields does, so that this version cannot read what an earlier one wrote."""

MAX_PARTITIONS = 64
"""Maximum partitions of a Redis."""

_LOST = (
    f"Redis holds conversations, but {SETUP_KEY}, which has the number of partitions, is missing or damaged: run "
    "`conversations doctor --repair`."
)


async def partition_count(redis: Any, wanted: int) -> int:
    """Return the number of partitions that Redis was set up with; an empty one is set up with `wanted`.

    Raises:
        ConfigurationError: It is lost, or another version wrote what is stored.
    """
    kind = await redis.type(SETUP_KEY)
    layout, partitions = await redis.hmget(SETUP_KEY, "layout", "partitions") if kind == b"hash" else (None, None)
    if kind not in (b"hash", b"none") or (partitions is None and await was_set_up(redis)):
        raise ConfigurationError(_LOST)
    if partitions is not None and layout != LAYOUT:
        raise ConfigurationError(
            "Another version wrote what Redis holds, in keys that this one does not read: export it with "
            "that version, and import it into an empty Redis."
        )
    await claim(redis, wanted)
    count = read_count(await redis.hget(SETUP_KEY, "partitions"))
    if count is None or not 0 < count <= MAX_PARTITIONS:
        raise ConfigurationError(_LOST)
    return count


async def was_set_up(redis: Any) -> bool:
    """Return whether there is anything that is only written after the setup record."""
    if await index.partitions(redis):
        return True
    return any([await redis.exists(f"recent:{{{partition}}}") for partition in range(MAX_PARTITIONS)])


async def claim(redis: Any, partitions: int) -> None:
    """Write layout and number of partitions where they are missing."""
    # In this order: a reader that sees the number of partitions sees the layout too.
    await write_once(redis, "layout", LAYOUT)
    await write_once(redis, "partitions", partitions)


async def write_once(redis: Any, name: str, value: bytes | str | int) -> None:
    """Write a field of the setup record if it is missing."""
    # A Redis that rejects writes also rejects those that change nothing, and workers have to start on it.
    if not await redis.hexists(SETUP_KEY, name):
        await redis.hsetnx(SETUP_KEY, name, value)
