"""Serializes changes of the same subject.

A change that needs Unicode or JSON reads, computes, and commits if there was no other change meanwhile. Of many at
once, all but one would fail each time. Within a worker they take turns; between workers the losers retry.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from conversations.errors import OverloadedError

__all__ = ["Turns", "tries"]

# With sixteen workers that keep changing one subject, one call in a hundred thousand loses this often.
_MAX_TRIES = 200


class Turns:
    """Turns by name, first come, first served."""

    def __init__(self) -> None:
        # The waiting callers of each turn that is taken.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
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
        """Take a turn if it is free; return whether it was."""
        if name in self._waiting:
            return False
        self._waiting[name] = deque()
        return True

    def give(self, name: str) -> None:
        """Give a turn to the next waiting caller."""
        waiting = self._waiting[name]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[name]


def tries() -> Iterator[int]:
    """Yield once for each try of a change that may conflict with others.

    Raises:
        OverloadedError: The last try failed too.
    """
    yield from range(_MAX_TRIES)
    raise OverloadedError("too many others are changing the same thing; try again")
