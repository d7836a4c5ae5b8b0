"""Lists of conversations: one total order, walked in pages of any size, in both directions."""

from itertools import chain, pairwise

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    apply,
    conversation_id,
    find,
    get,
    ids_of,
    message,
    metadata,
    page,
    receipt,
    walk,
)

from conversations.errors import CursorMismatchError
from conversations.store import Store

# Ties of every length, at the beginning, in the middle and at the end: pages of any size cut through some.
SECONDS = [9, 9, 9, 8, 7, 7, 7, 7, 7, 7, 5, 5, 4, 3, 3, 3, 3]
# Every second one matches the filters below; the numbers are in no order.
NUMBERS = [7, 2, 11, 4, 1, 13, 8, 3, 17, 6, 5, 12, 10, 9, 16, 15, 14]
FILTERS = ["", "source:facebook", "state:open", "-state:open", "created_at:[* TO *]", "state:open OR state:open"]


@pytest.fixture
async def inbox(any_store: Store) -> Store:
    changes = []
    for number, second in zip(NUMBERS, SECONDS, strict=True):
        changes.append(message(number, number, second))
        if number % 2:
            changes.append(metadata(number, state="OPEN"))
    await apply(any_store, *changes)
    return any_store


def expected(filters: str) -> list[str]:
    numbers = [
        (second, number)
        for number, second in zip(NUMBERS, SECONDS, strict=True)
        if (filters[:1] != "s" or "state" not in filters or number % 2) and (filters[:1] != "-" or not number % 2)
    ]
    return [conversation_id(number) for _, number in sorted(numbers, reverse=True)]


@pytest.mark.parametrize("filters", FILTERS)
async def test_pages_of_any_size_walk_through_ties_in_one_order(inbox: Store, filters: str) -> None:
    for limit in (1, 2, 3, 4, 5, 16, 17, 18):
        pages = [found async for found in walk(inbox, filters, limit)]
        assert list(chain.from_iterable(map(ids_of, pages))) == expected(filters)
        assert all(len(ids_of(found)) == limit for found in pages[:-1])
        assert {found.filtered_total for found in pages} == {len(expected(filters))}
        assert {found.total for found in pages} == {len(NUMBERS)}
        assert pages[0].previous_cursor == ""
        assert all(found.previous_cursor for found in pages[1:])


@pytest.mark.parametrize("filters", FILTERS)
async def test_the_way_back_meets_the_same_pages(inbox: Store, filters: str) -> None:
    for limit in (1, 2, 3, 4, 5):
        pages = [found async for found in walk(inbox, filters, limit)]
        for before, after in pairwise(pages):
            back = await page(inbox, filters, after.previous_cursor, limit)
            assert ids_of(back) == ids_of(before)
            assert back.next_cursor
            assert bool(back.previous_cursor) == bool(before.previous_cursor)
            forth = await page(inbox, filters, back.next_cursor, limit)
            assert ids_of(forth) == ids_of(after)


@pytest.mark.parametrize("filters", FILTERS[:4])
async def test_an_offset_starts_anywhere(inbox: Store, filters: str) -> None:
    order = expected(filters)
    for offset in range(len(order) + 2):
        found = await page(inbox, filters, str(offset), 3)
        assert ids_of(found) == order[offset : offset + 3]
        assert found.filtered_total == len(order)
        assert bool(found.next_cursor) == (offset + 3 < len(order))
        assert bool(found.previous_cursor) == (offset > 0)
        if found.previous_cursor:
            back = await page(inbox, filters, found.previous_cursor, 3)
            assert ids_of(back) == order[: min(offset, len(order))][-3:]


@pytest.mark.parametrize("filters", FILTERS[:4])
async def test_an_empty_page_behind_the_last_leads_back(inbox: Store, filters: str) -> None:
    order = expected(filters)
    beyond = await page(inbox, filters, "100000", 4)
    assert (beyond.conversations, beyond.next_cursor) == (b"", "")
    back = await page(inbox, filters, beyond.previous_cursor, 4)
    assert ids_of(back) == order[-4:]
    assert back.next_cursor == ""
    assert back.previous_cursor


@pytest.mark.parametrize("filters", ["", "source:facebook"])
async def test_a_cursor_whose_rest_moved_away_leads_back(inbox: Store, filters: str) -> None:
    """All conversations behind a page get new messages: the next page is empty, and the one before still found."""
    order = expected(filters)
    first = await page(inbox, filters, "", 14)
    await apply(inbox, *(message(int(id[:8], 16), 100 + n, 50 + n) for n, id in enumerate(order[14:])))
    empty = await page(inbox, filters, first.next_cursor, 5)
    assert (empty.conversations, empty.next_cursor) == (b"", "")
    back = await page(inbox, filters, empty.previous_cursor, 5)
    assert ids_of(back) == order[9:14]


@pytest.mark.parametrize("filters", ["", "source:facebook"])
async def test_a_cursor_whose_way_back_is_empty_leads_forth(inbox: Store, filters: str) -> None:
    order = expected(filters)
    second = await page(inbox, filters, "3", 5)
    # What was before the page moves to the end of the list.
    for id in order[:3]:
        number = int(id[:8], 16)
        await apply(inbox, message(number, number, 0))
    empty = await page(inbox, filters, second.previous_cursor, 5)
    assert (empty.conversations, empty.previous_cursor) == (b"", "")
    forth = await page(inbox, filters, empty.next_cursor, 5)
    assert ids_of(forth) == ids_of(second)


@pytest.mark.parametrize("filters", ["", "state:open"])
async def test_a_walk_meets_what_stands_still_exactly_once(inbox: Store, filters: str) -> None:
    order = expected(filters)
    met: list[str] = []
    moved = set()
    cursor, step = "", 0
    while True:
        found = await page(inbox, filters, cursor, 2)
        met += ids_of(found)
        cursor = found.next_cursor
        if not cursor:
            break
        # One conversation jumps to the top, from before or behind the place of the walk.
        mover = order[(step * 5) % len(order)]
        moved.add(mover)
        await apply(inbox, message(int(mover[:8], 16), 1000 + step, 100 + step))
        step += 1
    assert step > 2
    still = [id for id in order if id not in moved]
    assert [id for id in met if id not in moved] == still
    assert len(met) == len(set(met))


async def test_times_before_1970_and_at_both_ends_of_the_calendar(any_store: Store) -> None:
    times = ["0001-01-01T00:00:00Z", "1959-12-31T23:59:59.999Z", "1960-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z"]
    times += ["1970-01-01T00:00:00Z", "2019-01-07T09:01:44Z", "9999-12-31T23:59:59.999Z"]
    await apply(any_store, *(message(n, n, sent_at=times[n // 2]) for n in range(2 * len(times))))
    order = [conversation_id(n) for n in reversed(range(2 * len(times)))]
    for filters in ("", "source:facebook"):
        for limit in (1, 3):
            pages = [found async for found in walk(any_store, filters, limit)]
            assert list(chain.from_iterable(map(ids_of, pages))) == order
            back = await page(any_store, filters, pages[-1].previous_cursor, limit)
            assert ids_of(back) == ids_of(pages[-2])
    assert [(await get(any_store, 2 * n)).created_at for n in (0, 3)] == [
        "0001-01-01T00:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
    ]
    assert await find(any_store, "created_at:[* TO 1959-12-31T23\\:59\\:59.999Z]") == {0, 1, 2, 3}
    assert await find(any_store, "last_message_at:{-1 TO *]") == {8, 9, 10, 11, 12, 13}


async def test_an_empty_store_has_one_empty_page(any_store: Store) -> None:
    for filters in ("", "source:facebook", "ada*"):
        for cursor in ("", "0", "5"):
            found = await page(any_store, filters, cursor)
            assert (found.conversations, found.previous_cursor, found.next_cursor) == (b"", "", "")
            assert (found.filtered_total, found.total, found.unread) == (0, 0, 0)


async def test_unread_conversations_are_counted_whatever_the_filter(inbox: Store) -> None:
    await apply(inbox, receipt(1, 60), receipt(2, 60), message(3, 1003, 0, from_contact=False))
    for filters in ("", "state:open", "id:none"):
        assert (await page(inbox, filters, "", 1)).unread == len(NUMBERS) - 2


async def test_a_cursor_is_good_for_its_filter_only(inbox: Store) -> None:
    cursor = (await page(inbox, "state:open", "", 2)).next_cursor
    for filters in ("", "state:closed", "state:open "):
        with pytest.raises(CursorMismatchError):
            await page(inbox, filters, cursor, 2)


async def test_any_number_of_partitions_gives_the_same_pages(opened: OpenStore) -> None:
    """Redis keeps the number it was set up with, whatever a later worker is told."""
    store = await opened(partitions=4)
    await apply(store, *(message(n, n, n % 3) for n in range(20)))
    other = await opened(partitions=1)
    for filters in ("", "source:facebook"):
        assert ids_of(await page(store, filters)) == ids_of(await page(other, filters))
        assert len(ids_of(await page(other, filters))) == 20
