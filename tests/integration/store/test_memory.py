"""The memory of Redis: changes take no more and more, and if it is full, what frees some works, and the rest is refused."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    apply,
    conversation_id,
    find,
    get,
    message,
    message_id,
    message_metadata,
    metadata,
    named,
    page,
    receipt,
    tag,
    tag_id,
)

from conversations.errors import StoreUnavailableError
from conversations.store import ConversationPatch, Store
from conversations.store.client import Client
from conversations.store.documents import document_parts, dump_document
from conversations.store.functions import Call, packed
from conversations.v1 import tag_pb2

FULL = "the store is unavailable: Redis is out of memory and rejects writes, except those that free memory"
ID = conversation_id(1)


@pytest.fixture
async def full_store(any_store: Store, client: Client) -> AsyncIterator[Store]:
    """A store with two conversations and two tags that are on both, and no memory left."""
    await apply(any_store, tag(1), tag(2), message(1, 1, 1), message(2, 2, 2), metadata(3, waiting=True))
    await apply(any_store, *(metadata(n, tags={tag_id(1): "", tag_id(2): ""}, state="OPEN") for n in (1, 2, 3)))
    await client.redis.config_set("maxmemory", 1)
    yield any_store
    await client.redis.config_set("maxmemory", 0)


async def test_what_frees_memory_works(full_store: Store) -> None:
    conversations = full_store.conversations
    await full_store.tags.delete(tag_id(1))
    assert [found.id for found in await full_store.tags.list_all()] == [tag_id(2)]
    assert await find(full_store, f"tag_ids:{tag_id(1)}") == set()
    await conversations.untag(ID, tag_id(2))
    await conversations.set_state(ID, None)
    await conversations.mark_read(ID, 2_000_000_000_000)
    found = (await get(full_store, 1)).metadata
    assert (dict(found.tags), found.HasField("state"), found.unread_count) == ({}, False, 0)
    assert await find(full_store, f"tag_ids:{tag_id(2)} AND state:open AND unread_count:1") == {2}
    listed = await page(full_store)
    assert (listed.total, listed.unread) == (2, 1)


async def test_a_worker_starts(full_store: Store, opened: OpenStore) -> None:
    """One that dies, or is replaced, comes back: lists go on."""
    another = await opened()
    assert (await page(another)).total == 2
    await another.tags.delete(tag_id(1))


async def test_a_tag_that_was_deleted_then_stays_off_what_waits(full_store: Store, client: Client) -> None:
    await full_store.tags.delete(tag_id(1))
    await client.redis.config_set("maxmemory", 0)
    await apply(full_store, message(3, 3, 3), metadata(1, tags={tag_id(1): ""}))
    assert [set((await get(full_store, n)).metadata.tags) for n in (1, 2, 3)] == [{tag_id(2)}] * 3


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.conversations.tag(ID, tag_id(2)),
        lambda store: store.conversations.set_state(ID, "CLOSED"),
        lambda store: store.conversations.patch(ID, ConversationPatch({"contact": {"display_name": "Ada"}})),
        lambda store: store.messages.patch(message_id(1), {"k": 1}),
        lambda store: store.tags.create(tag_pb2.Tag(id=tag_id(9), name="x", color="tag-red")),
        lambda store: store.tags.update(tag_id(2), "x", None),
        lambda store: store.ingest.apply([message(1, 9, 9)]),
        lambda store: store.ingest.apply([named(1, "Ada")]),
        lambda store: store.ingest.apply([message_metadata(1, k=1)]),
        lambda store: store.ingest.apply([receipt(1, 9)]),
        lambda store: store.ingest.apply([tag(1, "x")]),
    ],
    ids=["tag", "state", "contact", "message", "new tag", "tag's name", "m", "c", "mm", "r", "t"],
)
async def test_what_needs_memory_is_refused(full_store: Store, write: Callable[[Store], Awaitable[object]]) -> None:
    before = [(await get(full_store, n)) for n in (1, 2)]
    with pytest.raises(StoreUnavailableError) as refused:
        await write(full_store)
    assert refused.value.message == FULL
    assert [(await get(full_store, n)) for n in (1, 2)] == before
    assert [found.name for found in await full_store.tags.list_all()] == ["Urgent", "Urgent"]


async def test_a_deleted_tag_comes_back_whole_or_not_at_all(full_store: Store, client: Client) -> None:
    """Its ban is not lifted where its record cannot be written."""
    await full_store.tags.delete(tag_id(1))
    with pytest.raises(StoreUnavailableError):
        await full_store.ingest.apply([tag(1)])
    await client.redis.config_set("maxmemory", 0)
    await apply(full_store, metadata(1, tags={tag_id(1): ""}))
    assert tag_id(1) not in (await get(full_store, 1)).metadata.tags


async def change_values(client: Client, numbers: Sequence[int], start: int, count: int) -> None:
    """Change a value of each conversation in turn, from a round on: it becomes shorter and longer, and goes."""
    lengths = (3, 40, 200, 7, 0, 500, 90, 1)
    versions = dict.fromkeys(numbers, start)
    for first in range(0, count, 1000):
        pipeline = client.redis.pipeline(transaction=False)
        for change in range(first, first + 1000):
            number = numbers[change % len(numbers)]
            version = versions[number]
            versions[number] += 1
            # Another one each time, of a length that comes again.
            value = f"{version}x" * (lengths[(version + number) % len(lengths)] // len(f"{version}x"))
            document = {"user_data": {"k": value, "version": version}}
            parts = {**document_parts(document), "document": dump_document(document), "state": ""}
            changed = packed({**parts, "added": (), "removed": ()})
            pipeline.execute_command(
                *Call(0, "commit_document", (conversation_id(number), str(version), changed)).command()
            )
        assert set(map(tuple, await pipeline.execute())) == {(b"ok",)}


async def used_memory(client: Client) -> int:
    """Return the bytes in use once the index has dropped what it kept of earlier documents."""
    [index] = await client.redis.execute_command("FT._LIST")
    await client.redis.execute_command("FT.DEBUG", "GC_FORCEINVOKE", index, 10_000)
    return int((await client.redis.info("memory"))["used_memory"])


@pytest.mark.parametrize("conversations", [1, 500])
async def test_values_that_change_again_and_again_take_no_more_memory(
    store: Store, client: Client, conversations: int
) -> None:
    numbers = range(conversations)
    await apply(store, *(message(number, number) for number in numbers))
    # The log of changes is full.
    await change_values(client, numbers, 0, 12_000)
    before = await used_memory(client)
    await change_values(client, numbers, 12_000 // conversations, 8_000)
    assert await used_memory(client) < 1.05 * before
