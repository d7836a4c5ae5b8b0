"""Filters with many parts: nothing is lost, and what would keep Redis busy for too long is refused."""

from math import ceil

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import apply, find, ids_of, message, named, page

from conversations.errors import FilterTooBroadError
from conversations.filters import compile_filter
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


COSTLY = " OR ".join(f"(last_message_at:[{n} TO *] AND NOT display_name:w{n})" for n in range(1, 40))


async def test_what_a_filter_may_cost_depends_on_how_many_conversations_there_are(opened: OpenStore) -> None:
    store = await opened(max_filter_cost=1)
    for number in range(1, 31):
        await apply(store, message(number, number), named(number, f"w{number}"))
    assert await find(store, COSTLY) == set(range(1, 31))
    pipeline = store._client.redis.pipeline(transaction=False)
    for number in range(3000):
        pipeline.zadd("recent:{0}", {f"{number:036d}": number})
    await pipeline.execute()
    with pytest.raises(FilterTooBroadError) as caught:
        await find(store, COSTLY)
    cost = compile_filter(COSTLY).query({}, 0).cost
    assert caught.value.metadata == {"position": "0", "cost": str(ceil(cost * 3030 / 100_000)), "limit": "1"}
    assert "the filter asks too much at once" in caught.value.message
    assert (await find(store, "display_name:w7")) == {7}


async def test_what_is_expensive_to_count_is_counted_by_a_call_of_its_own(opened: OpenStore) -> None:
    store = await opened(max_filter_cost=10**6)
    for number in range(1, 31):
        await apply(store, message(number, number, number), named(number, f"w{number}"))
    pipeline = store._client.redis.pipeline(transaction=False)
    for number in range(30_000):
        pipeline.zadd("recent:{0}", {f"{number:036d}": -number})
    await pipeline.execute()
    calls = []
    for _ in range(2):
        await store._client.redis.config_resetstat()
        first = await page(store, COSTLY, "", 3)
        assert (first.filtered_total, len(ids_of(first))) == (30, 3)
        calls.append((await store._client.redis.info("commandstats"))["cmdstat_fcall_ro"]["calls"])
    assert calls == [2, 1]


async def test_the_phrases_of_a_filter_share_a_limit(opened: OpenStore) -> None:
    store = await opened(max_phrase_candidates=10)
    for number in range(1, 8):
        await apply(store, message(number, number), named(number, "a b c d"))
    one, other = 'display_name:"c a b"~3', 'display_name:"d b a"~4'
    assert await find(store, one) == set(range(1, 8))
    with pytest.raises(FilterTooBroadError) as caught:
        await find(store, f"{one} AND {other}")
    assert caught.value.metadata["limit"] == "10"
