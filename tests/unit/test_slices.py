"""Long work leaves room for others, however many calls have some."""

import asyncio
import time

from conversations.slices import Slices


async def longest_pause(work: "asyncio.Future[list[None]]") -> float:
    """Return how long the loop was away at most, in seconds, until some work was done."""
    longest = 0.0
    while not work.done():
        began = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - began)
    return longest


async def work(slices: Slices, items: int, done: list[int]) -> None:
    async for item in slices.over(range(items)):
        time.sleep(0.0002)  # noqa: ASYNC251 - stands for work
        done.append(item)


async def test_all_items_come_in_order() -> None:
    done: list[int] = []
    await work(Slices(), 20, done)
    assert done == list(range(20))


async def test_the_loop_is_never_away_for_long() -> None:
    slices, done = Slices(), list[list[int]]([[] for _ in range(20)])
    everything = asyncio.gather(*(work(slices, 80, part) for part in done))
    # Two milliseconds for a slice and room for a noisy machine; without turns it would be 400.
    pauses = await longest_pause(everything)
    assert [len(part) for part in done] == [80] * 20
    assert pauses < 0.03


async def test_short_work_does_not_wait_behind_long_work() -> None:
    slices = Slices()
    long_work = asyncio.gather(*(work(slices, 200, []) for _ in range(5)))
    await asyncio.sleep(0)
    began = time.monotonic()
    await work(slices, 1, [])
    assert time.monotonic() - began < 0.02
    long_work.cancel()
    await asyncio.gather(long_work, return_exceptions=True)
