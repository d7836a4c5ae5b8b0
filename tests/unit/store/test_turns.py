"""Changes of one thing come one after the other, first come first served."""

import asyncio
from itertools import islice

import pytest

from conversations.errors import OverloadedError
from conversations.store.turns import Turns, tries


async def test_turns_come_in_order_and_one_at_a_time() -> None:
    turns, log = Turns(), list[str]()

    async def change(name: str) -> None:
        async with turns.of("a"):
            log.append(f"{name} begins")
            await asyncio.sleep(0)
            log.append(f"{name} ends")

    await asyncio.gather(*(change(str(number)) for number in range(10)))
    assert log == [f"{number} {what}" for number in range(10) for what in ("begins", "ends")]
    assert not turns._waiting


async def test_other_things_do_not_wait() -> None:
    turns = Turns()
    async with turns.of("a"), turns.of("b"):
        assert not turns.take("a")
        assert turns.take("c")
    turns.give("c")
    assert not turns._waiting


async def test_who_goes_does_not_keep_the_turn() -> None:
    turns = Turns()

    async def change() -> str:
        async with turns.of("a"):
            return "changed"

    assert turns.take("a")
    waiting = [asyncio.create_task(change()) for _ in range(4)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    turns.give("a")
    # The turn is that of the second by now, which goes too.
    waiting[1].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(one) for one in found] == ["", "", "changed", "changed"]
    assert not turns._waiting


def test_tries_end() -> None:
    left = tries()
    assert len(list(islice(left, 200))) == 200
    with pytest.raises(OverloadedError, match="try again"):
        next(left)
