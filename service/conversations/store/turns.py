"""Changes of one thing, one after the other.

A change that needs Unicode or JSON reads, computes, and commits if nobody was faster. Of many at once, all but one
would have worked in vain each time. Within a worker they take turns; between workers the losers try again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from conversations.errors import OverloadedError

__all__ = ["Turns", "tries"]

# With sixteen workers that change one thing all the time, a call loses so often once in a hundred thousand times.
_MAX_TRIES = 200


class Turns:
    """Turns by name, first come first served."""

    def __init__(self) -> None:
        # Of each turn that somebody has, those who wait for it.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it."""
        if not self.take(name):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[name].append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self.give(name)
                raise
        try:
            yield
        finally:
            self.give(name)

    def take(self, name: str) -> bool:
        """Take a turn that nobody has; return whether that is so."""
        if name in self._waiting:
            return False
        self._waiting[name] = deque()
        return True

    def give(self, name: str) -> None:
        """Give a turn to the next."""
        waiting = self._waiting[name]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[name]


def tries() -> Iterator[int]:
    """Yield for each try of a change that others may get ahead of.

    Raises:
        OverloadedError: The last one failed too.
    """
    yield from range(_MAX_TRIES)
    raise OverloadedError("too many others change the same thing at the same time; try again")
