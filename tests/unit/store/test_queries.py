"""The cache of queries: what is asked often stays."""

from conversations.filters import compile_filter
from conversations.store.queries import QueryCache


async def test_what_was_asked_last_stays_longest() -> None:
    cache = QueryCache(10)
    filters = [compile_filter(f"id:{number}") for number in range(300)]
    kept = await cache.get(filters[0], 0)
    seen = [kept]
    for compiled in filters[1:]:
        seen.append(await cache.get(compiled, 0))
        assert await cache.get(filters[0], 0) is kept
    # 256 in all; what is asked for anew is another object.
    for number in range(299, 44, -1):
        assert await cache.get(filters[number], 0) is seen[number]
    assert await cache.get(filters[44], 0) is not seen[44]
    assert await cache.get(filters[0], 0) is not kept


async def test_partitions_have_queries_of_their_own() -> None:
    cache, compiled = QueryCache(10), compile_filter("id:1")
    first, second = await cache.get(compiled, 0), await cache.get(compiled, 1)
    assert first is not second
    assert [await cache.get(compiled, partition) for partition in (0, 1)] == [first, second]
    cache.clear()
    assert await cache.get(compiled, 0) is not first
