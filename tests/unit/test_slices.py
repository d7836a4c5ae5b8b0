"""Long work leaves room for others, however many calls have some. Time is what the work says that it took."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from conversations import slices as slices_module
from conversations.callers import CALLER, Caller
from conversations.slices import Slices

ITEM_SECONDS = 0.0002


class Loop:
    """Counts the turns of the event loop, and how much work was done in each."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.turn = 0
        self.work: Counter[int] = Counter()
        self.others_have_work = True
        self._tick()

    def _tick(self) -> None:
        self.turn += 1
        if self.others_have_work:
            self.now += 0.00015
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def stop(self) -> None:
        self._handle.cancel()

    def item(self) -> None:
        self.work[self.turn] += 1
        self.now += ITEM_SECONDS


@pytest.fixture
async def loop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loop]:
    loop = Loop()
    monkeypatch.setattr(slices_module, "monotonic", lambda: loop.now)
    # Pauses too, so that a busy machine makes no difference.
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: loop.now)
    yield loop
    loop.stop()


async def work(loop: Loop, slices: Slices, items: int) -> list[int]:
    """Work through items; return the turns in which each was worked on."""
    turns = []
    async for _ in slices.over(range(items)):
        loop.item()
        turns.append(loop.turn)
    return turns


async def test_all_items_come_in_order(loop: Loop) -> None:
    assert [item async for item in Slices().over("abc")] == ["a", "b", "c"]
    assert len(await work(loop, Slices(), 50)) == 50


async def test_there_is_one_slice_in_a_turn_and_then_a_pause(loop: Loop) -> None:
    slices = Slices()
    await asyncio.gather(*(work(loop, slices, 80) for _ in range(20)))
    first, *others = (count for _, count in sorted(loop.work.items()))
    # Half a millisecond for each without waiting, and the first slice.
    assert first == 20 * 3 + 11
    assert max(others) == 11
    turns = sorted(loop.work)[1:]
    assert min(after - before for before, after in pairwise(turns)) > 5


async def test_alone_there_is_no_pause(loop: Loop) -> None:
    loop.others_have_work = False
    turns = await work(loop, Slices(), 1000)
    assert turns[-1] - turns[0] < 3 * 1000 / 11


async def test_short_work_does_not_wait_behind_long_work(loop: Loop) -> None:
    slices = Slices()
    long_work = asyncio.gather(*(work(loop, slices, 400) for _ in range(5)))
    await asyncio.sleep(0)
    turns = await work(loop, slices, 2)
    assert turns[0] == turns[-1]
    long_work.cancel()
    await asyncio.gather(long_work, return_exceptions=True)


async def test_slices_are_shared_between_callers(loop: Loop) -> None:
    slices = Slices()

    async def call(address: str) -> list[int]:
        CALLER.set(Caller(address, address))
        return await work(loop, slices, 100)

    many = [asyncio.create_task(call("a")) for _ in range(9)]
    one = asyncio.create_task(call("b"))
    ends = [(await task)[-1] for task in many]
    # Of two callers each has every other slice.
    assert (await one)[-1] < sorted(ends)[3]


async def test_who_is_cancelled_keeps_no_slice(loop: Loop) -> None:
    slices = Slices()
    tasks = [asyncio.create_task(work(loop, slices, 100)) for _ in range(6)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in tasks[:5]:
        task.cancel()
    assert len(await tasks[5]) == 100
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):
        began = await asyncio.wait_for(slices.take(), 1)
        slices.give(began)
