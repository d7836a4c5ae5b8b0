"""Long work of one call, cut into slices, so that the calls beside it hardly notice."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import TypeVar

__all__ = ["Slices"]

_T = TypeVar("_T")
_FIRST_SECONDS = 0.0005
_SLICE_SECONDS = 0.002


class Slices:
    """Shares one event loop: between two of its turns there is one slice, however many calls have long work.

    Only the first slice of each, a short one, waits for nobody, so that short work does not stand behind long work.
    """

    def __init__(self) -> None:
        self._next = asyncio.Lock()

    async def over(self, items: Iterable[_T]) -> AsyncIterator[_T]:
        """Yield the items, with a pause for others whenever the work on them has taken two milliseconds."""
        ends = monotonic() + _FIRST_SECONDS
        for item in items:
            yield item
            if monotonic() > ends:
                async with self._next:
                    await asyncio.sleep(0)
                ends = monotonic() + _SLICE_SECONDS
