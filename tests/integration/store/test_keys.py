"""Keys: all of a partition carry its hash tag, so that one call is atomic on a cluster as well."""

import re

from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    apply,
    channel,
    channel_metadata,
    conversation_id,
    find,
    get,
    message,
    message_id,
    message_metadata,
    messages,
    metadata,
    page,
    receipt,
    tag,
    tag_id,
    uuid,
)

from conversations.store import ConversationPatch, Store
from conversations.store.client import Client
from conversations.store.partitions import Partitions
from conversations.v1 import tag_pb2

KINDS = {
    *("conversation", "early", "order", "unread", "message", "recent", "changes", "counts"),
    *("columns", "column", "long_value"),
    *("channel", "channels", "tag", "tags", "deleted_tags", "waiting", "waiting_messages"),
}


async def busy_day(store: Store) -> None:
    """Everything that can happen."""
    channels = [uuid("k", number) for number in range(1, 9)]
    await apply(store, *(channel(id, metadata={"name": "x"}) for id in channels), *(tag(n) for n in range(1, 9)))
    for number in range(1, 17):
        await apply(
            store,
            metadata(number, tags={tag_id(number % 8 + 1): ""}, state="OPEN", user_data={"k": f"v{number}"}),
            metadata(number, user_data={"k": f"v{number}", "long": 300 * "x"}),
            receipt(number, 0.5),
            message(number, number, number, channel_id=channels[number % 8], source="Twilio.Sms"),
            message(number, 100 + number, 1),
            message_metadata(number, k=1),
            message_metadata(200 + number, waiting=True),
            metadata(100 + number, waiting=True, tags={tag_id(1): ""}),
            channel_metadata(channels[number % 8], k=number),
        )
    id = conversation_id(1)
    await store.conversations.mark_read(id, 2_000_000_000_000)
    await store.conversations.tag(id, tag_id(2))
    await store.conversations.untag(id, tag_id(2))
    await store.conversations.set_state(id, None)
    await store.conversations.patch(id, ConversationPatch({"contact": {"display_name": "Ada"}}))
    await store.messages.patch(message_id(1), {"user_data": {"k": 1}})
    await store.channels.patch(channels[0], {"user_data": {"k": 1}})
    created = tag_pb2.Tag(id=tag_id(9), name="x", color="tag-blue")
    await store.tags.create(created)
    await store.tags.update(created.id, "y", None)
    await store.tags.delete(created.id)
    await store.tags.delete(tag_id(1))
    for filters in ("", "ada*", "metadata.user_data.k:v*", '"facebook x y"~5', "tag_ids:*"):
        await page(store, filters, "", 3)
    assert len(await messages(store, 1)) == 2
    assert [lines async for lines in store.export.batches()]
    assert [part async for part in store.rebuild_index()][-1] == 1.0


async def test_every_key_carries_its_partition(opened: OpenStore, client: Client) -> None:
    await client.redis.flushall()
    await busy_day(await opened(partitions=4))
    keys = {key.decode() for key in await client.redis.keys("*")}
    of_all = {"conversations:setup", "conversations:versions"}
    assert of_all < keys
    seen = set()
    for key in keys - of_all:
        parsed = re.fullmatch(r"(\w+):\{([0-3])\}(:.+)?", key)
        assert parsed, key
        seen.add((parsed[1], int(parsed[2])))
    per_partition = {kind: {p for other, p in seen if other == kind} for kind in {kind for kind, _ in seen}}
    assert per_partition.keys() == KINDS
    for kind in ("conversation", "order", "recent", "changes", "channel", "column", "long_value", "waiting_messages"):
        assert per_partition[kind] == {0, 1, 2, 3}


async def test_all_of_a_conversation_lies_in_the_partition_of_its_id(opened: OpenStore, client: Client) -> None:
    await client.redis.flushall()
    store = await opened(partitions=4)
    await apply(store, *(message(number, number) for number in range(1, 17)))
    partitions = Partitions(4)
    for number in range(1, 17):
        id = conversation_id(number)
        keys = {key.decode() for key in await client.redis.keys(f"*{id}")}
        expected = {f"{kind}:{{{partitions.of(id)}}}:{id}" for kind in ("conversation", "order", "unread")}
        assert keys == expected
    assert {partitions.of(conversation_id(number)) for number in range(1, 17)} == {0, 1, 2, 3}


async def test_a_partition_never_changes_its_number() -> None:
    """A hash of another kind would lose all data there is."""
    ids = [conversation_id(number) for number in range(1, 9)]
    assert [Partitions(4).of(id) for id in ids] == [0, 2, 2, 1, 1, 0, 2, 0]
    assert {Partitions(1).of(id) for id in ids} == {0}


async def test_counts_never_drift(any_store: Store) -> None:
    await busy_day(any_store)
    listed = await page(any_store)
    shown = [await get(any_store, number) for number in range(1, 17)]
    assert listed.total == listed.filtered_total == len(shown)
    assert listed.unread == sum(one.metadata.unread_count > 0 for one in shown)
    assert await find(any_store, "unread_count:[1 TO *]") == {
        number for number, one in enumerate(shown, 1) if one.metadata.unread_count
    }
