"""Channels: every partition's copy ends up the same, whoever writes when."""

import asyncio
import random

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import apply, channel, channel_metadata, get, message, uuid

from conversations.errors import ChannelNotFoundError
from conversations.store import Store, to_json
from conversations.v1 import channel_pb2

ID = uuid("k", 1)


async def test_a_message_of_an_unknown_channel_creates_it(any_store: Store) -> None:
    await apply(any_store, message(1, 1, channel_id=ID, source="twilio.sms"))
    found = await any_store.channels.get(ID)
    assert found == (await get(any_store, 1)).channel
    assert (found.id, found.source, found.connected) == (ID, "twilio.sms", False)
    assert found.HasField("metadata")


async def test_the_channels_own_event_fills_it_in_before_and_after(any_store: Store) -> None:
    event = channel(ID, source="twilio.sms", source_channel_id="+49", connected=True, metadata={"name": "Phone"})
    await apply(any_store, message(1, 1, channel_id=ID), event, message(2, 2, channel_id=ID, source="other"))
    expected = channel_pb2.Channel(id=ID, source="twilio.sms", source_channel_id="+49", connected=True)
    expected.metadata["name"] = "Phone"
    assert await any_store.channels.list_all() == [expected]
    for number in (1, 2):
        assert (await get(any_store, number)).channel == expected


async def test_a_new_event_replaces_the_channel_and_keeps_the_changes(any_store: Store) -> None:
    await apply(any_store, channel(ID, metadata={"name": "A", "old": 1}), channel_metadata(ID, user_data={"k": 1}))
    await apply(any_store, channel(ID, metadata={"name": "B"}))
    assert to_json((await any_store.channels.get(ID)).metadata) == {"name": "B", "user_data": {"k": 1}}


async def test_changes_wait_for_their_channel(any_store: Store) -> None:
    await apply(any_store, channel_metadata(ID, name=None, user_data={"k": 1}))
    assert await any_store.channels.list_all() == []
    with pytest.raises(ChannelNotFoundError):
        await any_store.channels.get(ID)
    with pytest.raises(ChannelNotFoundError):
        await any_store.channels.patch(ID, {"user_data": {}})
    await apply(any_store, channel(ID, metadata={"name": "A"}))
    assert to_json((await any_store.channels.get(ID)).metadata) == {
        "user_data": {"k": 1},
        "name": f"Facebook {ID[-5:]}",
    }


async def test_changes_wait_for_a_message_of_their_channel(any_store: Store) -> None:
    shown = {"k": 1, "name": f"Facebook {ID[-5:]}"}
    await apply(any_store, channel_metadata(ID, k=1), *(message(n, n, channel_id=ID) for n in range(1, 9)))
    assert [to_json(found.metadata) for found in await any_store.channels.list_all()] == [shown]
    for number in range(1, 9):
        assert to_json((await get(any_store, number)).channel.metadata) == shown


async def test_channels_are_listed_by_source_then_id(any_store: Store) -> None:
    ids = [uuid("k", number) for number in range(1, 7)]
    await apply(any_store, *(channel(id, source="ab"[n % 2]) for n, id in enumerate(ids)))
    expected = [("a", ids[0]), ("a", ids[2]), ("a", ids[4]), ("b", ids[1]), ("b", ids[3]), ("b", ids[5])]
    assert [(found.source, found.id) for found in await any_store.channels.list_all()] == expected


async def test_copies_converge_under_writers_side_by_side(opened: OpenStore) -> None:
    """Several workers write one channel at once; no change is lost, and every conversation shows the same channel."""
    workers = [await opened(partitions=4) for _ in range(3)]
    await apply(workers[0], *(message(n, n, channel_id=ID) for n in range(1, 17)))
    writes = [
        apply(worker, channel_metadata(ID, user_data={f"w{w}": {str(n): n}}))
        for w, worker in enumerate(workers)
        for n in range(12)
    ]
    writes += [apply(worker, channel(ID, source_channel_id=f"v{n}")) for n, worker in enumerate(workers * 4)]
    random.Random(7).shuffle(writes)
    await asyncio.gather(*writes)
    shown = [(await get(workers[0], number)).channel for number in range(1, 17)]
    known = await workers[1].channels.get(ID)
    assert to_json(known.metadata) == {
        "name": f"Facebook {ID[-5:]}",
        "user_data": {f"w{w}": {str(n): n for n in range(12)} for w in range(3)},
    }
    assert all(one == known for one in shown)
