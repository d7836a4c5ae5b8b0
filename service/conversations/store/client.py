"""The Redis client: sends calls, returns replies, translates errors."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis

from conversations.slices import Slices
from conversations.store.functions import Call, Steps
from conversations.store.lanes import Lane
from conversations.store.redis_errors import translated_errors
from conversations.store.redis_url import open_redis
from conversations.store.turns import Turns

__all__ = ["Client", "connect"]

_T = TypeVar("_T")
_CALLS_AT_ONCE = 64


def connect(url: str, timeout_ms: int) -> "Client":
    """Return a client for a Redis URL, as `open_redis` reads it; nothing is sent yet.

    Args:
        url: The Redis URL.
        timeout_ms: Maximum wait for a connection, and for an answer.
    """
    seconds = timeout_ms / 1000
    # The lanes time out by themselves: redis-py would start a task for each pipeline to do so.
    return Client(open_redis(url, seconds, seconds), open_redis(url, seconds, None), seconds)


class Client:
    """Sends function calls. A cancelled caller never leaves an exchange with Redis half done."""

    def __init__(self, redis: "Redis", redis_of_lanes: "Redis", timeout_seconds: float) -> None:
        self.redis: Any = redis
        """For commands other than function calls: set-up, health."""
        self.slices = Slices()
        self.turns = Turns()
        self._redis_of_lanes = redis_of_lanes
        pool = redis_of_lanes.connection_pool
        # When Redis blocks writes, as in a failover, reads go on: so a write probes the lane of writes.
        self._writes = Lane(pool, ("DEL", "conversations:none"), timeout_seconds)
        self._reads = Lane(pool, ("PING",), timeout_seconds)
        self._long_reads = Lane(pool, ("PING",), timeout_seconds)

    async def call(self, call: Call) -> Any:
        """Return the reply of one call.

        Raises:
            StoreUnavailableError: Redis cannot be reached, is loading or rejects writes.
            OutOfTimeError: The search inside the call ran out of time.
        """
        return (await self.call_all([call]))[0]

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Return the replies of several calls, made in one round trip."""
        if not calls:
            return []
        if not all(call.is_read for call in calls):
            lane = self._writes
        else:
            # Long reads have their own lane, so that they don't delay others.
            lane = self._long_reads if any(call.cost_ms for call in calls) else self._reads
        with translated_errors():
            return await lane.submit(calls)

    async def run(self, steps: Steps[_T]) -> _T:
        """Return the outcome of one task."""
        reply = None
        while True:
            began = await self.slices.take()
            try:
                call = steps.send(reply)
            except StopIteration as stop:
                outcome: _T = stop.value
                return outcome
            finally:
                self.slices.give(began)
            reply = await self.call(call)

    async def run_in_turn(self, subject: str, steps: Steps[_T]) -> _T:
        """Return the outcome of a task that reads and then changes its subject, after earlier ones of that subject."""
        async with self.turns.of(subject):
            return await self.run(steps)

    async def run_all(self, tasks: Sequence[Steps[None]]) -> None:
        """Run tasks concurrently: each round sends the next call of every task, many in one pipeline."""
        pending: list[tuple[Steps[None], Any]] = [(task, None) for task in tasks]
        while pending:
            waiting, calls = [], []
            async for task, reply in self.slices.over(pending):
                try:
                    calls.append(task.send(reply))
                    waiting.append(task)
                except StopIteration:
                    pass
            replies: list[Any] = []
            for start in range(0, len(calls), _CALLS_AT_ONCE):
                replies += await self.call_all(calls[start : start + _CALLS_AT_ONCE])
            pending = list(zip(waiting, replies, strict=True))

    async def guard(self, exchange: Coroutine[Any, Any, _T]) -> _T:
        """Return the outcome of an exchange that is not a call; errors of Redis are translated.

        It is shielded from the caller's cancellation, which redis-py may swallow while it connects.
        """
        task = asyncio.ensure_future(exchange)
        # If the caller is gone, nobody retrieves an error, and asyncio would log that.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        with translated_errors():
            return await asyncio.shield(task)

    async def close(self) -> None:
        """Close all connections."""
        for lane in (self._writes, self._reads, self._long_reads):
            await lane.close()
        await self._redis_of_lanes.aclose()
        await self.redis.aclose()
