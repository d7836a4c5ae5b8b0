"""Sends calls to Redis in pipelines: calls that arrive while others are in flight are sent together.

Redis is single-threaded anyway, and a pipeline of many calls costs both sides less than as many exchanges. A lane is a
queue and, normally, one connection with one pipeline at a time. When a reply is overdue, waiting calls use another
connection. A reply that does not come although Redis answers a probe is lost, and its calls are sent again. That may
apply a call twice, which every function of the library has to tolerate.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from redis import exceptions

from conversations.callers import CALLER, Caller, FairQueue
from conversations.store.functions import Call

__all__ = ["Lane"]

# Limits of one pipeline; they bound how long its first caller waits, and, as Redis runs what it has read of a pipeline
# before it turns to others, how long these do.
_MAX_CALLS = 64
_MAX_COST_MS = 20
# With fewer turns of the loop, many callers fill pipelines half as much; each turn costs a lone caller microseconds.
_TURNS_TO_JOIN = 4

_CHECK_SECONDS = 0.25
_OVERDUE_SECONDS = 0.25
_SILENT_SECONDS = 1.0
_PROBE_SECONDS = 1.0
_GRACE_SECONDS = 0.1
_MAX_SENDERS = 4
_MAX_TRIES = 2


class _LostError(exceptions.TimeoutError):
    """Raised when a reply is lost on its way."""


@dataclass(slots=True, eq=False)
class _Request:
    """Calls of one caller, which may have been cancelled."""

    calls: Sequence[Call]
    answered: "asyncio.Future[list[Any]]"
    caller: Caller = field(default_factory=CALLER.get)
    queued_at: float = field(default_factory=monotonic)
    tries: int = 0

    def answer(self, replies: list[Any]) -> None:
        error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if error is not None:
            self.fail(error)
        elif not self.answered.done():
            self.answered.set_result(replies)

    def fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


@dataclass(slots=True, eq=False)
class _Exchange:
    """A pipeline in flight."""

    requests: Sequence[_Request]
    task: "asyncio.Task[None]"
    replied_at: float = field(default_factory=monotonic)
    """Time of the last reply; at first, of the start."""
    interruption: Exception | None = None

    def interrupt(self, why: Exception) -> None:
        if self.interruption is None:
            self.interruption = why
            self.task.cancel()


class Lane:
    """Requests in a queue, and pipelines in flight."""

    def __init__(self, pool: Any, probe: Sequence[str], timeout_seconds: float) -> None:
        """Start empty.

        Args:
            pool: Connection pool of redis-py.
            probe: A command that Redis answers whenever it answers the calls of this lane.
            timeout_seconds: Maximum wait of a request for its replies.
        """
        self._pool = pool
        self._probe = probe
        self._timeout_seconds = timeout_seconds
        self._waiting: FairQueue[_Request] = FairQueue()
        self._exchanges: set[_Exchange] = set()
        # Takes requests from the queue; other senders only finish their overdue exchange.
        self._sender: asyncio.Task[None] | None = None
        self._senders: set[asyncio.Task[None]] = set()
        self._connections: list[Any] = []
        self._prober: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, calls: Sequence[Call]) -> "asyncio.Future[list[Any]]":
        """Send calls together with others; return the future of their replies."""
        request = _Request(calls, asyncio.get_running_loop().create_future())
        self._queue(request)
        return request.answered

    async def close(self) -> None:
        """Cancel all waiting requests."""
        for task in [*self._senders, *([self._prober] if self._prober else [])]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()

    def _queue(self, request: _Request) -> None:
        self._waiting.push(request.caller, request)
        if self._sender is None:
            self._start_sender()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_overdue)

    def _start_sender(self) -> None:
        self._sender = asyncio.create_task(self._send())
        self._senders.add(self._sender)
        self._sender.add_done_callback(self._senders.discard)

    async def _send(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = None
        try:
            while self._waiting and self._sender is task:
                # Lets callers that are ready to run join.
                for _ in range(_TURNS_TO_JOIN):
                    await asyncio.sleep(0)
                if requests := self._take():
                    connection = await self._exchange(_Exchange(requests, task), connection)
        finally:
            if connection is not None:
                self._connections.append(connection)
            if self._sender is task:
                self._sender = None
                # Only when the loop ends: no request waits forever.
                while self._waiting:
                    self._waiting.pop().answered.cancel()

    def _take(self) -> list[_Request]:
        """Return the requests for the next pipeline: with too many in one, none is answered in time."""
        taken: list[_Request] = []
        calls = cost_ms = 0
        while self._waiting and calls < _MAX_CALLS and cost_ms < _MAX_COST_MS:
            request = self._waiting.pop()
            if not request.answered.done():
                taken.append(request)
                calls += len(request.calls)
                cost_ms += sum(call.cost_ms for call in request.calls)
        return taken

    async def _exchange(self, exchange: _Exchange, connection: Any) -> Any:
        """Send requests and answer each as its replies come; return the connection, or None if it was lost."""
        requests = exchange.requests
        self._exchanges.add(exchange)
        is_connected = False
        try:
            if connection is None:
                connection = self._connections.pop() if self._connections else await self._pool.get_connection()
            is_connected = True
            commands = [call.command() for request in requests for call in request.calls]
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for request in requests:
                replies: list[Any] = []
                for _ in request.calls:
                    try:
                        replies.append(await connection.read_response(timeout=math.inf))
                    except exceptions.ResponseError as error:
                        replies.append(error)
                    exchange.replied_at = monotonic()
                request.answer(replies)
        except BaseException as error:
            if connection is not None:
                await self._discard(connection)
            cause = exchange.interruption
            if cause is not None:
                exchange.task.uncancel()
            elif isinstance(error, Exception):
                cause = error
            else:
                for request in requests:
                    request.answered.cancel()
                raise
            is_lost = isinstance(cause, _LostError) or (is_connected and not isinstance(cause, exceptions.TimeoutError))
            for request in requests:
                self._retry(request, cause, is_lost=is_lost)
            return None
        finally:
            self._exchanges.discard(exchange)
        if exchange.interruption is not None:
            # It came too late, with the last reply: the cancellation must not hit the task's next exchange.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                exchange.task.uncancel()
        return connection

    def _retry(self, request: _Request, error: Exception, *, is_lost: bool) -> None:
        request.tries += 1
        if not is_lost or request.tries == _MAX_TRIES:
            request.fail(error)
        elif not request.answered.done():
            self._queue(request)

    async def _discard(self, connection: Any) -> None:
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)

    def _check_overdue(self) -> None:
        """Handle exchanges and requests that have waited too long."""
        now = monotonic()
        for exchange in self._exchanges:
            silent = now - exchange.replied_at
            if silent > self._timeout_seconds:
                exchange.interrupt(exceptions.TimeoutError("Redis did not answer in time"))
            elif silent > _SILENT_SECONDS and self._prober is None:
                self._prober = asyncio.create_task(self._find_lost())
            if silent > _OVERDUE_SECONDS and exchange.task is self._sender and len(self._senders) < _MAX_SENDERS:
                self._sender = None
        if self._waiting and self._sender is None:
            self._start_sender()
        for request in [request for request in self._waiting if now - request.queued_at > self._timeout_seconds]:
            self._waiting.remove(request.caller, request)
            request.fail(exceptions.TimeoutError("Redis did not answer in time"))
        self._timer = None
        if self._senders:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_overdue)

    async def _find_lost(self) -> None:
        """Interrupt the exchanges that stay silent although Redis answers."""
        now = monotonic()
        silent = {one: one.replied_at for one in self._exchanges if now - one.replied_at > _SILENT_SECONDS}
        connection = None
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                connection = await self._pool.get_connection()
                await connection.send_command(*self._probe)
                await connection.read_response(timeout=math.inf)
                await self._pool.release(connection)
            await asyncio.sleep(_GRACE_SECONDS)
            for exchange, replied_at in silent.items():
                if exchange in self._exchanges and exchange.replied_at == replied_at:
                    exchange.interrupt(_LostError("the reply of Redis was lost"))
        except (exceptions.RedisError, OSError):
            # Redis does not answer, or is busy: the replies may still come.
            if connection is not None:
                await self._discard(connection)
        finally:
            self._prober = None
