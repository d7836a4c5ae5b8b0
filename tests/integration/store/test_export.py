"""An export restores the store, whatever it holds: export, import into an empty store, export are the same lines."""

import json
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf import json_format
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    CHANNEL,
    apply,
    channel,
    channel_metadata,
    conversation_id,
    get,
    ids_of,
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

from conversations.callers import NOBODY
from conversations.errors import InvalidFieldError
from conversations.event_json import parse_event
from conversations.rpc import Context
from conversations.servicers import MetadataServicer
from conversations.servicers.events import read_event
from conversations.store import Store, to_json
from conversations.store.client import Client
from conversations.v1 import event_pb2
from conversations.v1.metadata_service_pb2 import UpsertMetadataRequest


async def export(store: Store) -> list[str]:
    """Return all lines, the keys of each in order: protobuf leaves it open."""
    lines = [line for _, lines in [batch async for batch in store.export.batches()] for line in lines]
    return [json.dumps(json.loads(line), ensure_ascii=False, sort_keys=True) for line in lines]


async def restore(store: Store, lines: list[str]) -> None:
    """Import lines as a server takes them: each has to be valid."""
    await apply(store, *(read_event(json_format.Parse(line, event_pb2.Event())) for line in lines))


def deep(levels: int) -> dict[str, Any]:
    return {} if levels == 1 else {"a": deep(levels - 1)}


async def fill(store: Store) -> None:
    waiting = uuid("k", 9)
    await apply(
        store,
        channel(CHANNEL, source_channel_id="fb", connected=True, metadata={"name": "Page", "old": {"x": 1}}),
        channel_metadata(CHANNEL, old=None, user_data={"k": [1, None, {"a": "é😀"}]}),
        # Changes of a channel that never came, and a channel that only messages know.
        channel_metadata(waiting, name="later", gone=None),
        tag(1, "Urgent"),
        tag(2, "Deleted"),
        tag(3, " Später ", "tag-purple"),
    )
    for number in range(1, 9):
        await apply(
            store,
            *(message(number, 10 * number + n, 9 - n, from_contact=n % 2 == 0) for n in range(number)),
            message(number, 1000 + number, 0.25, channel_id=uuid("k", 1), source="Twilio.Sms"),
            metadata(number, user_data={"n": 12.5, "s": " x ", "none": None, "list": [None, [], {}]}, other=True),
        )
    await apply(
        store,
        metadata(1, state="OPEN", tags={tag_id(1): "", tag_id(2): "", tag_id(7): ""}),
        metadata(2, state="CLOSED", contact={"display_name": "Ada", "avatar_url": ""}),
        metadata(3, contact={}, user_data=None),
        receipt(4, 3.5),
        receipt(5, 0),
        # A tie, whose winner is the later arrival.
        message(6, 902, 50),
        message(6, 901, 50),
        message(6, 900, 50),
        message(6, 901, 50, content={"text": "edited"}),
        # Changes that remove what a redelivery brings, and what no single patch says.
        message(7, 910, 60, metadata={"own": {"a": 1}, "b": 2}),
        message_metadata(910, own=None),
        message_metadata(910, own={"c": 3}, b=None, d={"e": None}),
        # All kinds of things that wait.
        metadata(100, state="OPEN", tags={tag_id(1): "", tag_id(2): ""}, contact={"display_name": "Waiting"}),
        receipt(100, 7),
        receipt(101, 8),
        metadata(102, k={"v": 1}),
        message_metadata(920, user_data={"k": 1}, gone=None),
    )
    await store.tags.delete(tag_id(2))
    await store.conversations.mark_read(conversation_id(8), 1_546_900_000_123)


@pytest.fixture(params=[(1, 1), (1, 4), (4, 1)], ids=["1 to 1", "1 to 4", "4 to 1"])
def partitions(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_an_import_of_an_export_exports_the_same(
    opened: OpenStore, client: Client, partitions: tuple[int, int]
) -> None:
    await client.redis.flushall()
    store = await opened(partitions=partitions[0])
    await fill(store)
    lines = await export(store)
    shown = [await get(store, number) for number in range(1, 9)]
    listed = await page(store)
    await client.redis.flushall()

    other = await opened(partitions=partitions[1])
    await restore(other, lines)
    assert [await get(other, number) for number in range(1, 9)] == shown
    relisted = await page(other)
    assert ids_of(relisted) == ids_of(listed)
    assert (relisted.total, relisted.unread) == (listed.total, listed.unread)
    assert sorted(await export(other)) == sorted(lines)
    # Once more changes nothing.
    await restore(other, lines)
    assert sorted(await export(other)) == sorted(lines)


NUMBERS = ["4504420", "0", "-1", "9007199254740991", "-9007199254740991", "0.5", "1e+20", "1e-07", "1.5e+300"]


async def test_numbers_are_written_as_they_came_and_taken_again(store: Store, client: Client) -> None:
    """Whole ones as such, in all free data; the line is one that `import` takes."""
    data = {"of": [float(text) for text in NUMBERS] + [{"in": 4504420.0}]}
    await apply(
        store,
        channel(CHANNEL, metadata={"data": data}),
        message(1, 1, content={"data": data, "zero": -0.0}, metadata={"data": data}),
        metadata(1, user_data={"data": data}),
        message_metadata(1, other=data),
        channel_metadata(CHANNEL, other=data),
    )
    lines = [line for _, lines in [batch async for batch in store.export.batches()] for line in lines]
    written = '"of":[' + ",".join(NUMBERS) + ',{"in":4504420}]'
    assert "".join(lines).count(written) == "".join(lines).count('"of":[') >= 6
    assert '"zero":-0.0' in "".join(lines)
    for line in lines:
        assert parse_event(line.encode()) == json_format.Parse(line, event_pb2.Event())


async def test_an_export_says_nothing_twice(any_store: Store) -> None:
    await fill(any_store)
    lines = await export(any_store)
    assert [line for line in lines if lines.count(line) > 1] == []


async def test_what_waits_waits_on_after_an_import(opened: OpenStore, client: Client) -> None:
    store = await opened()
    await fill(store)
    lines = await export(store)
    await client.redis.flushall()
    other = await opened()
    await restore(other, lines)
    late = message(1, 930, 99, channel_id=uuid("k", 9))
    await apply(other, message(100, 920, 7.5), message(100, 921, 6), message(101, 922, 8), message(102, 923), late)
    waited = await get(other, 100)
    assert waited.metadata.contact.display_name == "Waiting"
    assert (waited.metadata.state, waited.metadata.unread_count) == (waited.metadata.OPEN, 1)
    assert list(waited.metadata.tags) == [tag_id(1)]
    assert to_json(waited.last_message.metadata) == {"user_data": {"k": 1}}
    assert (await get(other, 101)).metadata.unread_count == 0
    assert (await get(other, 102)).metadata.unread_count == 1
    assert to_json((await get(other, 1)).channel.metadata) == {"name": "later"}
    # A redelivery after the import has the changes too.
    await apply(other, message(7, 910, 60, metadata={"own": {"a": 1}, "b": 2}))
    redelivered = next(one for one in await messages(other, 7) if one.id == message_id(910))
    assert to_json(redelivered.metadata) == {"own": {"c": 3}, "d": {}}


async def test_the_order_of_an_export(any_store: Store) -> None:
    """Channels, tags, then each conversation's messages before its metadata and its receipt."""
    await fill(any_store)
    events = [json.loads(line) for line in await export(any_store)]
    subjects = [event.get("metadata", {}).get("subject") for event in events]
    kinds = [
        "channel" if subject == "channel" else next(iter(event))
        for event, subject in zip(events, subjects, strict=True)
    ]
    assert kinds[: kinds.index("tag")].count("channel") == kinds.count("channel")
    assert kinds.index("message") > len(kinds) - 1 - kinds[::-1].index("tag")
    last_message: dict[str, int] = {}
    for place, event in enumerate(events):
        if "message" in event:
            last_message[event["message"]["conversation_id"]] = place
    for place, event in enumerate(events):
        if event.get("metadata", {}).get("subject") == "conversation":
            assert place > last_message.get(event["metadata"]["id"], -1)
    sent = [event["message"] for event in events if "message" in event]
    tied = [one["id"] for one in sent if one["conversation_id"] == conversation_id(6)]
    assert tied[-3:] == [message_id(902), message_id(901), message_id(900)]


async def test_the_count_is_what_the_batches_complete(any_store: Store) -> None:
    await fill(any_store)
    completed = sum([conversations async for conversations, _ in any_store.export.batches()])
    assert completed == await any_store.export.count() == 11


async def test_an_empty_store_exports_nothing(any_store: Store) -> None:
    assert await export(any_store) == []
    assert await any_store.export.count() == 0


async def test_more_than_one_scan_and_one_read_hold(any_store: Store) -> None:
    await apply(any_store, *(message(1, n, n % 7) for n in range(1201)), *(message(n, 2000 + n) for n in range(2, 302)))
    lines = await export(any_store)
    assert len(lines) == len(set(lines)) == 1501


@pytest.mark.parametrize(
    "patches",
    [
        pytest.param([deep(20)], id="as deep as an event"),
        pytest.param([deep(18)], id="less deep"),
        pytest.param([{str(n): "x" * 30_000} for n in range(4)], id="larger than one event"),
        pytest.param([{str(n): [1] * 5000} for n in range(6)], id="larger in protobuf than as text"),
        pytest.param([{f"{n}-{m}": None for m in range(900)} for n in range(4)], id="many removals"),
    ],
)
@pytest.mark.parametrize("subject", ["conversation", "message", "channel"])
async def test_what_mutations_may_store_an_import_takes_back(
    opened: OpenStore, client: Client, patches: list[dict[str, Any]], subject: str
) -> None:
    """What would outgrow an event is refused before."""
    store = await opened()
    await apply(store, channel(CHANNEL), message(1, 1))
    servicer = MetadataServicer(store)
    id = {"conversation": conversation_id(1), "message": message_id(1), "channel": CHANNEL}[subject]
    for patch in patches:
        request = UpsertMetadataRequest(subject=subject, id=id)
        request.data.update(patch)
        with suppress(InvalidFieldError):
            await servicer.UpsertMetadata(request, Context("MetadataService/UpsertMetadata", NOBODY))
    shown = await get(store, 1)
    lines = await export(store)
    await client.redis.flushall()
    restored = await opened()
    await restore(restored, lines)
    assert await get(restored, 1) == shown
    assert sorted(await export(restored)) == sorted(lines)


async def test_nothing_that_was_there_is_missing_whatever_moves(store: Store) -> None:
    """What waits gets its message, and a long conversation's first message is sent again later, meanwhile."""
    await apply(store, message(1, 1), metadata(2, k="waits"), message_metadata(3, k="waits"))
    await apply(store, *(message(4, 100 + n, n) for n in range(900)))
    lines: list[str] = []
    moved = False
    async for _, batch in store.export.batches():
        lines += batch
        if len(lines) > 450 and not moved:
            moved = True
            await apply(store, message(2, 2), message(3, 3), message(4, 100, 2000))
    text = "\n".join(lines)
    assert moved
    assert text.count('"waits"') >= 2
    assert all(message_id(100 + n) in text for n in range(900))
