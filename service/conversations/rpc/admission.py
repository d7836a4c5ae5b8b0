"""Admission control: how many calls a worker takes on, whose turn it is, and which are refused.

A call arrives (its request is read), waits for its turn and runs, or streams its response. Each state is bounded.
Beyond a bound the newest call of the caller with the most calls is refused at once: whoever asks for too much pays for
it, and the others do not notice.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from conversations.callers import Caller, FairQueue
from conversations.errors import OutOfTimeError, OverloadedError, ServiceError
from conversations.metrics import SHED_CALLS

__all__ = ["Admission", "Admitted", "Limits"]

_CHECK_SECONDS = 0.5
# A request arrives in milliseconds. One that takes longer may hold as much memory as the largest request.
_SLOW_SECONDS = 1.0
_MAX_SLOW = 16
# Maximum for requests in memory; small ones are bounded by their number.
_MAX_BYTES = 128 * 1024 * 1024
_SMALL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker: numbers of calls."""

    max_arriving: int = 1000
    max_waiting: int = 400
    max_running: int = 100
    max_streams: int = 1000
    arrival_seconds: float = 30.0
    """How long a request may take to arrive."""


class Admitted:
    """One call, from its arrival to its end; a context manager, at whose exit the call leaves.

    Raises:
        ServiceError: The call was refused meanwhile.
    """

    __slots__ = ("_admission", "_task", "began", "caller", "refusal", "runs", "size", "turn")

    def __init__(self, admission: "Admission", caller: Caller) -> None:
        self._admission = admission
        self.caller = caller
        self.began = monotonic()
        self.runs = False
        self.size = 0
        """Bytes of the request that have arrived."""
        self.turn: asyncio.Future[None] | None = None
        self.refusal: ServiceError | None = None
        """Why the task was cancelled; None if it was not, or if gRPC cancelled it."""
        self._task = asyncio.current_task()

    def cancel(self, refusal: ServiceError) -> None:
        """Cancel the task, which then fails with the refusal."""
        if self.refusal is None and self._task is not None:
            self.refusal = refusal
            self._task.cancel()

    def __enter__(self) -> "Admitted":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._admission.leave(self)
        if kind is asyncio.CancelledError and self.refusal is not None and self._task is not None:
            self._task.uncancel()
            raise self.refusal from None


class Admission:
    """The bounds of a worker, and the state of each call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # Every call passes through, mostly in less than a millisecond: the callers matter only when there are many.
        self._arriving: dict[Admitted, None] = {}
        self._waiting: FairQueue[Admitted] = FairQueue()
        self._streaming: FairQueue[Admitted] = FairQueue()
        self._running = 0
        self._bytes = 0
        self._watch: asyncio.TimerHandle | None = None

    def arrive(self, caller: Caller) -> Admitted:
        """Admit the call of the current task, whose request is still to be read, until the context exits.

        The task is cancelled if the request does not arrive in time, or if too many are arriving and this caller has
        the most of them.
        """
        call = Admitted(self, caller)
        self._await_request(call)
        return call

    def await_more(self, call: Admitted) -> None:
        """Record that a streaming call waits for its caller's next message."""
        call.began = monotonic()
        self._streaming.remove(call.caller, call)
        self._await_request(call)

    def _await_request(self, call: Admitted) -> None:
        self._arriving[call] = None
        if len(self._arriving) > self._limits.max_arriving:
            self._refuse(self._arriving, self._limits.max_arriving * 9 // 10)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._interrupt_slow)

    def add_bytes(self, call: Admitted, size: int) -> None:
        """Record the arrival of bytes of a call's request.

        If large requests take too much memory, the largest of the address that has the most of it is refused.

        Raises:
            OverloadedError: This call is refused.
        """
        call.size += size
        self._bytes += size
        if self._bytes <= _MAX_BYTES or call.size <= _SMALL_BYTES:
            return
        by_address: dict[str, list[Admitted]] = defaultdict(list)
        for other in self._arriving:
            if other.size > _SMALL_BYTES and other.refusal is None:
                by_address[other.caller.address].append(other)
        heaviest = max(by_address.values(), key=lambda calls: sum(one.size for one in calls))
        refused = max(heaviest, key=lambda one: one.size)
        if refused is call:
            raise _overloaded()
        refused.cancel(_overloaded())

    async def wait_for_turn(self, call: Admitted) -> None:
        """Wait until a call whose request has arrived may run.

        Raises:
            OverloadedError: Too many are waiting, and this caller has the most of them.
        """
        self._arriving.pop(call, None)
        if self._running < self._limits.max_running:
            self._running += 1
            call.runs = True
            return
        call.turn = asyncio.get_running_loop().create_future()
        if refused := _enter(self._waiting, call, self._limits.max_waiting):
            assert refused.turn is not None
            refused.turn.set_exception(_overloaded())
        await call.turn

    def stream(self, call: Admitted) -> None:
        """Record that a call's request has arrived, and that it streams from now on.

        Raises:
            OverloadedError: Too many are streaming, and this caller has the most of them.
        """
        self._arriving.pop(call, None)
        if refused := _enter(self._streaming, call, self._limits.max_streams):
            refused.cancel(_overloaded())

    def skip_turn(self, call: Admitted) -> None:
        """Run a call that is never refused, such as a health check."""
        self._arriving.pop(call, None)

    def leave(self, call: Admitted) -> None:
        """Release a call in any state, and give its turn to the next."""
        self._bytes -= call.size
        if not call.runs:
            self._arriving.pop(call, None)
            self._waiting.remove(call.caller, call)
            self._streaming.remove(call.caller, call)
            return
        self._running -= 1
        while self._waiting and self._running < self._limits.max_running:
            following = self._waiting.pop()
            # It is done if its caller has just gone.
            if following.turn is not None and not following.turn.done():
                following.turn.set_result(None)
                following.runs = True
                self._running += 1

    def _refuse(self, arriving: Iterable[Admitted], most: int) -> None:
        """Refuse calls until `most` are left: each time the newest of the caller with the most."""
        left: FairQueue[Admitted] = FairQueue()
        for call in arriving:
            if call.refusal is None:
                left.push(call.caller, call)
        while len(left) > most:
            call = left.heaviest()
            left.remove(call.caller, call)
            self._arriving.pop(call, None)
            call.cancel(_overloaded())

    def _interrupt_slow(self) -> None:
        """Cancel calls whose requests do not arrive in time, and if many are slow, those of the caller with the
        most."""
        now = monotonic()
        for call in self._arriving:
            if now - call.began > self._limits.arrival_seconds:
                call.cancel(OutOfTimeError("the request did not arrive in time"))
        self._refuse([call for call in self._arriving if now - call.began > _SLOW_SECONDS], _MAX_SLOW)
        self._watch = None
        if self._arriving:
            self._watch = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._interrupt_slow)


def _enter(queue: FairQueue[Admitted], call: Admitted, bound: int) -> Admitted | None:
    """Enter a call into a queue; return another one that had to leave for it.

    Raises:
        OverloadedError: The call itself would have to leave.
    """
    queue.push(call.caller, call)
    if len(queue) <= bound:
        return None
    refused = queue.heaviest(call.caller)
    queue.remove(refused.caller, refused)
    if refused is call:
        raise _overloaded()
    return refused


def _overloaded() -> OverloadedError:
    SHED_CALLS.inc()
    return OverloadedError("the server has more calls than it can answer soon; try again")
