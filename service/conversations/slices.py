"""Long work of one call, cut into slices, so that concurrent calls hardly notice."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import TypeVar

from conversations.callers import CALLER, FairQueue

__all__ = ["Slices"]

_T = TypeVar("_T")
_SHORT_SECONDS = 0.0005
_SLICE_SECONDS = 0.002
# A turn of the loop in which nothing else ran.
_ALONE_SECONDS = 0.0001
_MAX_PAUSE_SECONDS = 0.005


class Slices:
    """Shares one event loop: one slice of work at a time, then a pause for all work that isn't sliced.

    A call takes about ten turns of the loop from its arrival to its answer. With a slice in each turn it would take
    ten slices longer. So a pause is as long as the slice before it, a few milliseconds at most; if the loop is idle,
    there is none. Slices are shared fairly between callers.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    async def over(self, items: Iterable[_T]) -> AsyncIterator[_T]:
        """Yield the items, working on them in slices. The first half millisecond does not wait."""
        began, allowed, is_taken = monotonic(), _SHORT_SECONDS, False
        try:
            for item in items:
                yield item
                if monotonic() - began > allowed:
                    if is_taken:
                        self.give(began)
                        is_taken = False
                    await self.take()
                    began, allowed, is_taken = monotonic(), _SLICE_SECONDS, True
        finally:
            if is_taken:
                self.give(began)

    async def take(self) -> float:
        """Wait for a slice; return when it began. The caller then has to call `give`."""
        if self._is_taken:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            caller = CALLER.get()
            self._waiting.push(caller, turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not self._waiting.remove(caller, turn) and not turn.cancelled():
                    self._next()
                raise
        self._is_taken = True
        return monotonic()

    def give(self, began: float) -> None:
        """End a slice; the next one begins after a pause, or at once if this one was short."""
        now = monotonic()
        if now - began < _SHORT_SECONDS:
            self._next()
        else:
            asyncio.get_running_loop().call_soon(self._pause, now - began, now)

    def _pause(self, seconds: float, since: float) -> None:
        if monotonic() - since < _ALONE_SECONDS:
            self._next()
        else:
            asyncio.get_running_loop().call_later(min(seconds, _MAX_PAUSE_SECONDS), self._next)

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
