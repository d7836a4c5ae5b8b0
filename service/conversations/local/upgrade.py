"""Brings the data of an earlier version up to this one, before the workers start."""

from collections.abc import Callable

from conversations.settings import Settings
from conversations.store import open_store

__all__ = ["upgrade_store"]


async def upgrade_store(settings: Settings, tell: Callable[[str], None]) -> None:
    """Rebuild the index where it was made by another version.

    Args:
        settings: Which Redis.
        tell: Called with each whole percent that is done.
    """
    store = await open_store(settings, any_schema=True)
    try:
        if await store.is_current():
            return
        told = ""
        async for part in store.rebuild_index():
            progress = f"the index is made anew for this version: {100 * part:.0f} %"
            if progress != told:
                tell(told := progress)
    finally:
        await store.close()
