"""The search index: written only when something in it changed, complete before it answers, rebuilt beside itself."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.store.conftest import OpenStore, until_set_up
from tests.integration.store.events import (
    apply,
    conversation_id,
    find,
    message,
    message_metadata,
    metadata,
    named,
    page,
    receipt,
    tag,
    tag_id,
)

from conversations.errors import ConfigurationError, StoreUnavailableError
from conversations.settings import Settings
from conversations.store import Store, open_store
from conversations.store import index as index_module
from conversations.store.client import Client
from conversations.store.setup import claim


async def index_info(client: Client, name: str = "conversations:{0}") -> dict[str, Any]:
    reply = await client.redis.execute_command("FT.INFO", name)
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {key.decode() if isinstance(key, bytes) else key: value for key, value in pairs}


async def writes(client: Client) -> int:
    """Return how many times a document was indexed: each time it gets a new internal id."""
    return int((await index_info(client))["max_doc_id"])


async def indexes(client: Client) -> set[str]:
    return {name.decode() for name in await client.redis.execute_command("FT._LIST")}


async def test_nothing_is_indexed_when_nothing_changed(store: Store, client: Client) -> None:
    await apply(store, tag(1), message(1, 1, 1), message(1, 2, 9, from_contact=False), receipt(1, 2))
    await apply(store, metadata(1, state="OPEN", tags={tag_id(1): ""}, user_data={"k": "v"}), named(1, "Ada"))
    before = await writes(client)
    await apply(
        store,
        message(1, 1, 1),
        receipt(1, 2),
        metadata(1, state="OPEN", tags={tag_id(1): "", tag_id(2): None}, user_data={"k": "v"}),
        metadata(1, contact={"display_name": "Ada"}),
    )
    await store.conversations.set_state(conversation_id(1), "OPEN")
    await store.conversations.tag(conversation_id(1), tag_id(1))
    assert await writes(client) == before


async def test_each_change_is_indexed_once(store: Store, client: Client) -> None:
    await apply(store, tag(1), tag(2), message(1, 1, 5))
    changes = [
        message(1, 2, 6),
        message(1, 3, 4, from_contact=False),
        receipt(1, 5.5),
        named(1, "Ada"),
        metadata(1, state="OPEN", contact={"display_name": "Bob"}, tags={tag_id(1): ""}, user_data={"a": {"b": "c"}}),
        metadata(1, user_data=None),
        metadata(1, contact=None),
        metadata(1, state=None, tags=None),
        message(1, 2, 6, content={"text": "edited"}),
        message_metadata(2, k=1),
    ]
    for change in changes:
        before = await writes(client)
        await apply(store, change)
        assert await writes(client) == before + 1, change


async def test_no_document_is_left_out(any_store: Store, client: Client) -> None:
    """RediSearch drops a document with one bad number without an error."""
    times = ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"]
    await apply(any_store, *(message(n, n, sent_at=at) for n, at in enumerate(times)))
    await apply(any_store, *(metadata(n, user_data={"k": "\x00 \x01 'x' \\ é 😀 " + "y" * 5000}) for n in range(3)))
    found = await page(any_store, "created_at:[* TO *] AND metadata.user_data.k:*")
    assert found.filtered_total == 3
    for name in await indexes(client):
        assert int((await index_info(client, name))["hash_indexing_failures"]) == 0


async def test_reindex_while_writing(any_store: Store, client: Client) -> None:
    await apply(any_store, *(message(n, n) for n in range(1, 101)), *(named(n, f"ada{n} old") for n in range(1, 101)))
    before = await indexes(client)
    written = 0

    async def write() -> None:
        nonlocal written
        while not done.is_set():
            written += 1
            number = 101 + written
            await apply(any_store, message(number, number), named(number, f"ada{number} new"), named(1, f"x{number}"))
            assert await find(any_store, f"display_name:ada{number}") == {number}
            assert (await page(any_store, "display_name:old")).filtered_total == 99

    done = asyncio.Event()
    writers = [asyncio.create_task(write())]
    await asyncio.sleep(0)
    try:
        for _ in range(3):
            progress = [part async for part in any_store.rebuild_index()]
            assert progress == sorted(progress)
            assert progress[-1] == 1.0
    finally:
        done.set()
        await asyncio.gather(*writers)
    assert written > 0
    after = await indexes(client)
    assert len(after) == len(before)
    assert not after & before
    assert (await page(any_store, "display_name:ada*")).filtered_total == 99 + written
    assert await any_store.index_progress() == 1.0


async def test_an_index_of_another_version_has_to_be_rebuilt(opened: OpenStore, client: Client) -> None:
    await client.redis.hset("conversations:setup", "schema", "older")
    with pytest.raises(ConfigurationError) as caught:
        await opened()
    assert caught.value.message == "The index was made by another version: run `conversations reindex` first."
    store = await open_any_schema(client)
    try:
        assert [part async for part in store.rebuild_index()][-1] == 1.0
    finally:
        await store.close()
    await opened()


async def test_keys_of_another_layout_are_refused(opened: OpenStore, client: Client) -> None:
    await client.redis.hdel("conversations:setup", "layout")
    with pytest.raises(ConfigurationError) as caught:
        await opened()
    assert "export it with that version" in caught.value.message
    await client.redis.flushall()
    await opened()


async def open_any_schema(client: Client) -> Store:
    path = client.redis.connection_pool.connection_kwargs["path"]
    return await open_store(Settings(redis_url=SecretStr(f"unix://{path}")), any_schema=True)


async def test_a_set_up_that_was_cut_off_is_finished(opened: OpenStore, client: Client) -> None:
    """The index was made, its alias was not."""
    await client.redis.flushall()
    await claim(client.redis, 1)
    await index_module._create(client.redis, 0, 1)
    store = await opened()
    assert await store.index_progress() == 1.0
    await apply(store, message(1, 1))
    assert await find(store, "source:facebook") == {1}


async def test_a_reindex_that_was_cut_off_leaves_nothing_behind_the_next(store: Store, client: Client) -> None:
    await apply(store, message(1, 1))
    await index_module._create(client.redis, 0, 2)
    assert [part async for part in store.rebuild_index()][-1] == 1.0
    assert await indexes(client) == {"conversations:{0}:v3"}
    assert await find(store, "source:facebook") == {1}


async def test_two_workers_set_up_one_redis(opened: OpenStore, client: Client) -> None:
    await client.redis.flushall()
    await client.redis.function_flush()
    stores = await asyncio.gather(*(opened(partitions=4) for _ in range(4)))
    for store in stores:
        assert await store.index_progress() == 1.0
    await apply(stores[0], message(1, 1))
    assert await find(stores[1], "source:facebook") == {1}
    assert len(await indexes(client)) == 4


async def test_no_part_is_answered_while_the_index_builds(store: Store, client: Client) -> None:
    """Either all that matches, or UNAVAILABLE: never some."""
    await apply(store, message(1, 1))
    count = 10_000
    pipeline = client.redis.pipeline(transaction=False)
    copied = await client.redis.hgetall(f"conversation:{{0}}:{conversation_id(1)}")
    for number in range(2, count + 1):
        pipeline.hset(f"conversation:{{0}}:{conversation_id(number)}", mapping=copied)
    [(_, at)] = await client.redis.zrange("recent:{0}", 0, -1, withscores=True)
    pipeline.zadd("recent:{0}", {conversation_id(number): at for number in range(2, count + 1)})
    await pipeline.execute()
    await client.redis.execute_command("FT.DROPINDEX", "conversations:{0}:v1")
    await index_module.create_index(client.redis, 0)
    try:
        total = (await page(store, "source:facebook", "", 1)).filtered_total
    except StoreUnavailableError:
        return
    assert total == count


async def test_a_redis_that_was_emptied_is_set_up_again(any_store: Store, client: Client) -> None:
    await apply(any_store, message(1, 1), named(1, "Ada"))
    await client.redis.flushall()
    with pytest.raises(StoreUnavailableError):
        await page(any_store, "source:facebook")
    await until_set_up(any_store)
    await apply(any_store, message(2, 2))
    assert await find(any_store, "source:facebook") == {2}
    assert await any_store.index_progress() == 1.0


async def test_a_redis_that_lost_everything_is_unavailable_until_it_is_set_up(store: Store, client: Client) -> None:
    """As one that was started again without its data: the functions are gone as well."""
    await client.redis.flushall()
    await client.redis.function_flush()
    with pytest.raises(StoreUnavailableError):
        await page(store)
    await until_set_up(store)
    assert (await page(store)).total == 0


async def test_functions_that_were_lost_alone_are_loaded_again(store: Store, client: Client) -> None:
    await apply(store, message(1, 1))
    await client.redis.function_flush()
    await until_set_up(store)
    assert await find(store, "source:facebook") == {1}


async def test_documents_of_another_version_are_written_anew(any_store: Store, client: Client) -> None:
    """As a schema with one field more finds them: it is not there, and the terms are of another way."""
    await apply(any_store, *(message(n, n) for n in range(1, 60)), named(7, "Ada"), metadata(500, state="OPEN"))
    for key in await client.redis.keys("index:*"):
        await client.redis.hdel(key, "ih")
        await client.redis.hset(key, "x", "other terms")
    await client.redis.hset("conversations:setup", "schema", "another")
    parts = [part async for part in any_store.rebuild_index()]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert await find(any_store, "display_name:ada") == {7}
    assert await find(any_store, "id:0*") == set(range(1, 60))
    assert all([await client.redis.hexists(key, "ih") for key in await client.redis.keys("index:*")])
    assert await client.redis.hget("conversations:setup", "schema") != b"another"


def test_the_version_of_the_schema_is_that_of_the_indexes_there_are() -> None:
    """Whoever changes it makes everybody rebuild the index before they can start: it follows from the index alone."""
    assert index_module.SCHEMA_VERSION == "09e77af69fb9"
