"""Filters with many parts, and with patterns that match much: nothing is lost."""

import pytest
from tests.integration.store.events import apply, find, message, named

from conversations.store import Store

COUNT = 60


@pytest.fixture
async def names(any_store: Store) -> Store:
    """Conversation n has the words wN and, for every third, `x`."""
    for number in range(1, COUNT + 1):
        await apply(any_store, message(number, number), named(number, f"w{number}" + (" x" if number % 3 == 0 else "")))
    return any_store


@pytest.mark.parametrize("parts", [1, 5, 18, 19, 20, 21, 22, 30, 50])
async def test_a_union_with_a_negation_loses_nothing(names: Store, parts: int) -> None:
    """From 21 parts on the engine takes them from a heap, and loses hits where one is negated."""
    words = " OR ".join(f"display_name:w{number}" for number in range(1, parts + 1))
    without_x = {number for number in range(1, COUNT + 1) if number % 3}
    expected = without_x | set(range(1, parts + 1))
    assert await find(names, f"{words} OR (NOT display_name:x)") == expected
    assert await find(names, f"(NOT display_name:x) OR {words}") == expected
    assert await find(names, f"unread_count:1 AND ({words} OR (display_name:w* AND NOT display_name:x))") == expected
    assert await find(names, f"NOT ({words} OR (NOT display_name:x))") == set(range(1, COUNT + 1)) - expected


async def test_many_clauses_that_match_nearly_everything(names: Store) -> None:
    everything = set(range(1, COUNT + 1))
    parts = [f"(last_message_at:[{n} TO *] AND NOT display_name:w{n})" for n in range(1, 40)]
    assert await find(names, " OR ".join(parts)) == everything
    assert await find(names, " AND ".join(parts)) == everything - set(range(1, 40))
    assert await find(names, f"NOT ({' OR '.join(parts)})") == set()


async def test_patterns_that_match_every_word(names: Store) -> None:
    everything = set(range(1, COUNT + 1))
    thirds = {number for number in everything if number % 3 == 0}
    for pattern in ("w*", "*w*", "?*", "[w TO x}", "/w.+/", "*"):
        assert await find(names, f"display_name:{pattern}") == everything, pattern
        assert await find(names, f"NOT display_name:{pattern}") == set(), pattern
        assert await find(names, f"display_name:{pattern} AND display_name:x*") == thirds, pattern
        assert await find(names, f"display_name:{pattern} AND NOT display_name:x*") == everything - thirds, pattern


async def test_many_patterns_of_one_filter(names: Store) -> None:
    either = " OR ".join(f"display_name:*{number}" for number in range(10))
    assert await find(names, either) == set(range(1, COUNT + 1))
    assert await find(names, f"NOT ({either})") == set()
    both = " AND ".join(f"NOT display_name:*{number}" for number in range(1, 10))
    assert await find(names, both) == set(range(10, COUNT + 1, 10))


async def test_loose_phrases_of_one_filter(any_store: Store) -> None:
    for number in range(1, 8):
        await apply(any_store, message(number, number), named(number, "a b c d" if number % 2 else "d c b a"))
    one, other = 'display_name:"c a b"~3', 'display_name:"d b a"~4'
    assert await find(any_store, one) == {1, 3, 5, 7}
    assert await find(any_store, f"{one} AND {other}") == {1, 3, 5, 7}
    assert await find(any_store, f"{other} AND NOT {one}") == {2, 4, 6}
