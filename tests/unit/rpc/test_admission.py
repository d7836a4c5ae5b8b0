"""The bounds of a worker, and who is refused when they are reached."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from conversations.callers import Caller
from conversations.errors import OutOfTimeError, OverloadedError, ServiceError
from conversations.rpc import admission
from conversations.rpc.admission import Admission, Admitted, Limits

LIMITS = Limits(max_arriving=10, max_waiting=4, max_running=2, max_streams=3, arrival_seconds=0.2)
A, B = Caller("a", "a:1"), Caller("b", "b:1")


class Call:
    """A call as a handler makes it: told when to go on."""

    def __init__(self, bounds: Admission, caller: Caller, steps: Callable[["Call"], Awaitable[None]]) -> None:
        self.bounds = bounds
        self.caller = caller
        self.request = asyncio.Event()
        self.answer = asyncio.Event()
        self.state = "arriving"
        self.admitted: Admitted | None = None
        self.task = asyncio.create_task(self._run(steps))

    async def _run(self, steps: Callable[["Call"], Awaitable[None]]) -> None:
        try:
            with self.bounds.arrive(self.caller) as self.admitted:
                await self.request.wait()
                await steps(self)
                self.state = "answered"
        except ServiceError as error:
            self.state = type(error).__name__
            await asyncio.sleep(0)  # to say so: nothing interrupts it any more


async def unary(call: Call) -> None:
    assert call.admitted is not None
    call.state = "waiting"
    call.bounds.add_bytes(call.admitted, 100)
    await call.bounds.wait_for_turn(call.admitted)
    call.state = "running"
    await call.answer.wait()


async def stream(call: Call) -> None:
    assert call.admitted is not None
    call.bounds.stream(call.admitted)
    call.state = "streaming"
    await call.answer.wait()


@pytest.fixture
def bounds() -> Admission:
    return Admission(LIMITS)


async def turns() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def calls(
    bounds: Admission, callers: list[Caller], steps: Callable[[Call], Awaitable[None]] = unary, *, arrived: bool = True
) -> list[Call]:
    """Return calls that came one after the other."""
    made = []
    for caller in callers:
        made.append(Call(bounds, caller, steps))
        if arrived:
            made[-1].request.set()
        await turns()
    return made


def states(made: list[Call]) -> list[str]:
    return [call.state for call in made]


async def finish(made: list[Call]) -> None:
    for call in made:
        call.request.set()
        call.answer.set()
    await asyncio.gather(*(call.task for call in made))


async def test_as_many_run_as_may_and_the_others_wait_for_their_turn(bounds: Admission) -> None:
    made = await calls(bounds, [A] * 4)
    assert states(made) == ["running", "running", "waiting", "waiting"]
    made[0].answer.set()
    await turns()
    assert states(made) == ["answered", "running", "running", "waiting"]
    await finish(made)
    assert states(made) == ["answered"] * 4


async def test_turns_are_shared_between_callers(bounds: Admission) -> None:
    made = await calls(bounds, [A] * 5 + [B])
    made[0].answer.set()
    made[1].answer.set()
    await turns()
    assert states(made) == ["answered", "answered", "running", "waiting", "waiting", "running"]
    await finish(made)


async def test_beyond_the_bound_whoever_has_the_most_is_refused_at_once(bounds: Admission) -> None:
    made = await calls(bounds, [A] * 7)
    assert states(made) == ["running"] * 2 + ["waiting"] * 4 + ["OverloadedError"]
    made += await calls(bounds, [B])
    assert states(made) == ["running"] * 2 + ["waiting"] * 3 + ["OverloadedError"] * 2 + ["waiting"]
    await finish(made)


async def test_a_caller_that_goes_gives_its_turn_to_the_next(bounds: Admission) -> None:
    made = await calls(bounds, [A] * 6)
    made[2].task.cancel()
    made[0].answer.set()
    await turns()
    assert states(made)[3:] == ["running", "waiting", "waiting"]
    # A turn that was given a moment ago, to one that goes.
    made[1].answer.set()
    await asyncio.sleep(0)
    made[4].task.cancel()
    await turns()
    assert states(made)[5] == "running"
    await finish([call for call in made if not call.task.done()])


async def test_large_requests_have_a_bound_in_bytes(bounds: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MAX_BYTES", 300_000)

    def arriving(caller: Caller) -> Call:
        return Call(bounds, caller, unary)

    made = [arriving(caller) for caller in (A, A, B, A, B)]
    await turns()
    for call, size in zip(made, (100_000, 90_000, 80_000, 20_000, 5_000), strict=True):
        assert call.admitted is not None
        bounds.add_bytes(call.admitted, size)
    await turns()
    assert states(made) == ["arriving"] * 5
    assert made[2].admitted is not None
    # B asks for more, A has the most: its largest goes, though it is not the one that comes.
    bounds.add_bytes(made[2].admitted, 20_000)
    await turns()
    assert states(made) == ["OverloadedError", *["arriving"] * 4]
    # Small ones are not counted so closely.
    assert made[4].admitted is not None
    bounds.add_bytes(made[4].admitted, 20_000)
    with pytest.raises(OverloadedError):
        bounds.add_bytes(made[2].admitted, 120_000)
    await finish(made)


async def test_requests_that_do_not_arrive_are_out_of_time(bounds: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_CHECK_SECONDS", 0.02)
    made = await calls(bounds, [A, B], arrived=False)
    await asyncio.sleep(0.1)
    assert states(made) == ["arriving", "arriving"]
    await asyncio.sleep(0.2)
    assert states(made) == [OutOfTimeError.__name__] * 2


async def test_of_many_that_arrive_slowly_those_of_the_heaviest_are_refused(
    bounds: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(admission, "_SLOW_SECONDS", 0.04)
    monkeypatch.setattr(admission, "_MAX_SLOW", 3)
    made = await calls(bounds, [A] * 6 + [B], arrived=False)
    await asyncio.sleep(0.1)
    assert states(made) == ["arriving"] * 2 + ["OverloadedError"] * 4 + ["arriving"]
    await finish(made)


async def test_of_too_many_that_arrive_those_of_the_heaviest_are_refused(bounds: Admission) -> None:
    made = await calls(bounds, [A] * 9 + [B, B], arrived=False)
    assert states(made) == ["arriving"] * 7 + ["OverloadedError"] * 2 + ["arriving"] * 2
    await finish(made)
    assert states(made)[9:] == ["answered", "answered"]


async def test_streams_have_a_bound_too(bounds: Admission) -> None:
    made = await calls(bounds, [A] * 3 + [B], stream)
    assert states(made) == ["streaming", "streaming", "OverloadedError", "streaming"]
    made += await calls(bounds, [B] * 2, stream)
    assert states(made)[4:] == ["OverloadedError"] * 2
    await finish(made)


async def test_everything_that_was_taken_is_given_back() -> None:
    bounds = Admission(replace(LIMITS, max_arriving=50))
    for number in range(300):
        steps = stream if number % 3 == 0 else unary
        made = await calls(bounds, [A, B, A, B, A, B, A, B], steps, arrived=number % 5 != 0)
        for call in made[number % 8 :: 2]:
            call.task.cancel()
        await turns()
        for call in made:
            call.request.set()
            call.answer.set()
        await asyncio.gather(*(call.task for call in made), return_exceptions=True)
    assert (bounds._running, bounds._bytes) == (0, 0)
    assert not bounds._arriving
    assert not len(bounds._waiting)
    assert not len(bounds._streaming)
