"""Broad filters over so many conversations that a page is looked for in windows of time."""

from collections.abc import Callable
from itertools import chain
from random import Random

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import apply, conversation_id, ids_of, message, metadata, page

from conversations.store import Store

COUNT = 1500


def second_of(number: int) -> int:
    """Some hundred share each of the first seconds, the rest have few or none beside them."""
    random = Random(number)
    return random.randrange(5) if number % 3 == 0 else random.randrange(5, 1000)


def is_open(number: int) -> bool:
    """Nearly all of the old ones, a tenth of the new ones: windows are filled, half filled and empty."""
    return Random(-number).random() < (0.9 if second_of(number) < 300 else 0.1)


FILTERS: dict[str, Callable[[int], bool]] = {
    "source:facebook": lambda _: True,
    "NOT display_name:zzz*": lambda _: True,
    "state:open": is_open,
    "-state:open": lambda number: not is_open(number),
    'created_at:[* TO "2019-01-07T00:00:03Z"]': lambda number: second_of(number) <= 3,
    "state:open AND id:00000*": is_open,
    "id:000000a?-*": lambda number: number >> 4 == 0xA,
}


@pytest.fixture(params=[1, 3], ids=["1 partition", "3 partitions"])
async def inbox(request: pytest.FixtureRequest, opened: OpenStore) -> Store:
    store = await opened(partitions=request.param)
    changes = []
    for number in range(1, COUNT + 1):
        changes.append(message(number, number, second_of(number)))
        if is_open(number):
            changes.append(metadata(number, state="OPEN"))
    await apply(store, *changes)
    return store


async def test_walks_both_ways_see_every_match_once_in_order(inbox: Store) -> None:
    for filters, matches in FILTERS.items():
        order = sorted((second_of(n), conversation_id(n)) for n in range(1, COUNT + 1) if matches(n))
        expected = [id for _, id in reversed(order)]
        for limit in (7, 100):
            pages = [await page(inbox, filters, "", limit)]
            while cursor := pages[-1].next_cursor:
                pages.append(await page(inbox, filters, cursor, limit))
            assert list(chain.from_iterable(map(ids_of, pages))) == expected, filters
            assert {found.filtered_total for found in pages} == {len(expected)}
            back = pages[-1]
            for before in reversed(pages[:-1]):
                back = await page(inbox, filters, back.previous_cursor, limit)
                assert ids_of(back) == ids_of(before)
            assert back.previous_cursor == ""
