"""Upgrades the data of an earlier version before the workers start."""

from collections.abc import Callable

from conversations.settings import Settings
from conversations.store import open_store

__all__ = ["upgrade_store"]


async def upgrade_store(settings: Settings, report: Callable[[str], None]) -> None:
    """Rebuild the index if it was made by another version.

    Args:
        settings: Settings for the Redis.
        report: Called for each percent that is done.
    """
    store = await open_store(settings, any_schema=True)
    try:
        if await store.is_current():
            return
        reported = ""
        async for part in store.rebuild_index():
            progress = f"rebuilding the index for this version: {100 * part:.0f}%"
            if progress != reported:
                report(reported := progress)
    finally:
        await store.close()
