"""Stored data is not trusted: whatever is damaged, everything else answers as before.

`FAULTS=all` tries every corruption of every key of one partition, otherwise a part of them.
"""

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf import json_format
from tests.integration.store.columns import stored_values
from tests.integration.store.conftest import OpenStore
from tests.integration.store.corruptions import ENDLESS, Corruption, corruptions, take_snapshot
from tests.integration.store.events import (
    CHANNEL,
    apply,
    channel,
    channel_metadata,
    conversation_id,
    find,
    get,
    ids_of,
    message,
    message_id,
    message_metadata,
    messages,
    metadata,
    named,
    page,
    receipt,
    tag,
    tag_id,
    uuid,
    walk,
)

from conversations.callers import NOBODY
from conversations.errors import (
    ChannelNotFoundError,
    ConfigurationError,
    ConversationNotFoundError,
    DamagedRecordError,
    NotFoundError,
)
from conversations.metrics import DAMAGED_RECORDS
from conversations.rpc import Context
from conversations.servicers import IngestServicer
from conversations.store import ConversationPatch, Store
from conversations.store.client import Client, connect
from conversations.v1 import channel_pb2, conversation_pb2, event_pb2, message_pb2, tag_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse

OTHER_CHANNEL = uuid("k", 1)
LONG_SECONDS = 5.0
# Too long for a line of a column, with a word of which the index has a hash.
LONG_TEXT = " ".join(f"word{number}" for number in range(60)) + " " + 150 * "y"


async def fill(store: Store) -> None:
    """A small store with everything in it."""
    await apply(
        store,
        tag(1, "Urgent"),
        tag(2, "Late"),
        tag(3, "Gone"),
        channel(CHANNEL, source_channel_id="fb", connected=True, metadata={"name": "Page"}),
        channel_metadata(CHANNEL, user_data={"k": 1}),
        channel(OTHER_CHANNEL, source="twilio.sms"),
    )
    for number in range(1, 7):
        way = {"channel_id": OTHER_CHANNEL, "source": "twilio.sms"} if number % 2 else {}
        await apply(
            store,
            *(message(number, 10 * number + n, 60 * number + n, **way) for n in range(3)),
            metadata(number, user_data={"n": number, "word": f"w{number}"}, tags={tag_id(1): ""}),
        )
    await apply(
        store,
        named(1, "Ada Lovelace"),
        named(2, "Grace Hopper"),
        metadata(3, state="OPEN", contact={"avatar_url": "http://x"}),
        metadata(6, user_data={"long": LONG_TEXT}),
        receipt(4, 60 * 4 + 1),
        receipt(5, 60 * 5 + 9),
        message_metadata(60, k=1),
        # What waits.
        metadata(50, user_data={"k": 1}, tags={tag_id(2): ""}, state="CLOSED"),
        message_metadata(500, k=2),
    )
    await store.tags.delete(tag_id(3))


CONVERSATIONS = range(1, 7)
FILTERS = [
    "source:facebook",
    "unread_count:[1 TO *] AND NOT state:closed",
    f"tag_ids:{tag_id(1)}",
    "display_name:*a*",
    "display_name:a?a OR display_name:facebook OR display_name:sms",
    "source:tw*",
    "channel_id:*1",
    "metadata.user_data.word:w*",
    "id:*0*",
    "state:o*",
    "tag_ids:*",
    'display_name:"lovelace ada"~4',
    "created_at:[* TO *]",
    "metadata.user_data.long:*yyy*",
    # Counted row by row.
    "NOT display_name:*ada*",
    "NOT metadata.user_data.long:*yyy*",
    "NOT (display_name:*ada* OR metadata.user_data.k:1*) AND NOT (id:/0+1.*/ AND source:facebook)",
]
# What is damaged of a column is not found by these until the doctor has mended it.
BY_COLUMNS = tuple(number for number, filters in enumerate(FILTERS) if filters.startswith("NOT"))


async def outcome(call: Awaitable[Any]) -> Any:
    """Return what a call answers, or the error that says that something is damaged or not there."""
    try:
        async with asyncio.timeout(LONG_SECONDS):
            return await call
    except (DamagedRecordError, NotFoundError) as error:
        return type(error)


async def all_pages(store: Store, filters: str, damaged: set[str]) -> dict[str, Any]:
    """Walk to the end and back, two at a time; every page but the last is full."""
    pages = [one async for one in walk(store, filters, 2)]
    ids = [id for one in pages for id in ids_of(one)]
    assert [len(ids_of(one)) for one in pages[:-1]] == [2] * (len(pages) - 1)
    back, cursor = ids_of(pages[-1]), pages[-1].previous_cursor
    while cursor:
        one = await page(store, filters, cursor, 2)
        back[:0] = ids_of(one)
        cursor = one.previous_cursor
    assert [id for id in back if id not in damaged] == [id for id in ids if id not in damaged]
    shown = [
        conversation for one in pages for conversation in ListConversationsResponse.FromString(one.conversations).data
    ]
    return {conversation.id: conversation for conversation in shown}


async def observed(store: Store, damaged: set[str]) -> dict[Any, Any]:
    """Ask everything."""
    answers: dict[Any, Any] = {"list": await outcome(all_pages(store, "", damaged))}
    for number, filters in enumerate(FILTERS):
        answers["filter", number] = await outcome(all_pages(store, filters, damaged))
    for number in CONVERSATIONS:
        answers["info", conversation_id(number)] = await outcome(get(store, number))
        answers["messages", conversation_id(number)] = await outcome(messages(store, number))
    answers["tags"] = await outcome(store.tags.list_all())
    answers["channels"] = await outcome(store.channels.list_all())
    for id in (CHANNEL, OTHER_CHANNEL):
        answers["channel", id] = await outcome(store.channels.get(id))
    return answers


async def exported(store: Store) -> set[str]:
    return {line async for _, lines in store.export.batches() for line in lines}


def conversation_of(key: str) -> set[str]:
    """Return the conversations that a key is about."""
    kind, _, id = (key + ":").split(":", 2)
    id = id.rstrip(":")
    if kind in ("conversation", "order", "unread", "early"):
        return {id}
    if kind == "message":
        return {conversation_id(int(id[:8], 16) // 10)}
    return set()


def damaged_conversations(corruption: Corruption) -> set[str]:
    if corruption.key.startswith("recent"):
        return {conversation_id(n) for n in CONVERSATIONS if conversation_id(n) in corruption.what}
    return conversation_of(corruption.key)


def without(answers: dict[Any, Any], corruption: Corruption) -> dict[Any, Any]:
    """Return the answers less what is about the damaged record."""
    kind, _, *rest = corruption.key.split(":", 2)
    id = rest[0] if rest else ""
    gone = damaged_conversations(corruption)
    kept: dict[Any, Any] = {}
    for name, answer in answers.items():
        if kind in ("column", "columns", "long_value") and name[0] == "filter" and name[1] in BY_COLUMNS:
            assert answer.keys() <= {conversation_id(number) for number in CONVERSATIONS}
        elif name == "list" or name[0] == "filter":
            kept[name] = without_channel(kind, {key: shown for key, shown in answer.items() if key not in gone})
        elif name[0] in ("info", "messages"):
            if name[1] not in gone:
                kept[name] = without_channel(kind, {name[1]: answer})[name[1]] if name[0] == "info" else answer
        elif name[0] == "channel":
            if not (kind == "channel" and name[1] == id):
                kept[name] = answer
        elif kind != name:
            # The set of them is the record.
            kept[name] = [one for one in answer if not (kind == name[:-1] and one.id == id)]
    return kept


def without_channel(kind: str, shown: dict[str, Any]) -> dict[str, Any]:
    """A damaged channel is shown as a channel that is not known."""
    if kind != "channel":
        return shown
    bare = {}
    for id, conversation in shown.items():
        copy = conversation_pb2.Conversation()
        copy.CopyFrom(conversation)
        copy.ClearField("channel")
        bare[id] = copy
    return bare


def about_others(lines: set[str], corruption: Corruption) -> set[str]:
    """Return the lines of an export that do not mention the damaged record."""
    kind, _, *rest = corruption.key.split(":", 2)
    marks = {
        "channels": ['"channel"', '"subject":"channel"'],
        "tags": ['{"tag"'],
        "waiting": [conversation_id(50)],
        "waiting_messages": [message_id(500)],
    }.get(kind, [])
    gone = (
        {conversation_id(number) for number in CONVERSATIONS} if kind == "recent" else conversation_of(corruption.key)
    )
    own = [number for number in CONVERSATIONS if conversation_id(number) in gone]
    marks += [message_id(10 * number + n) for number in own for n in range(3)]
    gone = {*marks, *gone, *(rest if kind in ("tag", "channel", "message") else [])}
    if kind == "channel":
        gone.discard(rest[0])
        gone |= {f'{{"channel":{{"id":"{rest[0]}"', f'"subject":"channel","id":"{rest[0]}"'}
    return {line for line in lines if not any(mark in line for mark in gone)}


async def changes_go_on(store: Store, corruption: Corruption) -> None:
    """Every change of every record is done, or refused because of damage; those of other records are done."""
    gone = conversation_of(corruption.key)
    numbers = [number for number in (*CONVERSATIONS, 50) if conversation_id(number) not in gone]
    log = [message(number, 100 + number, 5000 + number) for number in (*CONVERSATIONS, 50)]
    log += [metadata(number, user_data={"new": f"x{number}"}) for number in (*CONVERSATIONS, 50)]
    log += [receipt(number, 5000) for number in CONVERSATIONS]
    log += [message_metadata(10 * number, new=number) for number in CONVERSATIONS]
    log += [channel(OTHER_CHANNEL, source="sms"), channel_metadata(CHANNEL, new=1), tag(7), message_metadata(500, k=3)]
    async with asyncio.timeout(LONG_SECONDS):
        refused = await store.ingest.apply(log)
    assert {type(error) for error in refused.values()} <= {DamagedRecordError}
    for number in numbers:
        found = await get(store, number)
        assert found.last_message.id == message_id(100 + number)
        assert found.metadata.user_data["new"] == f"x{number}"
    calls: list[Callable[[str], Awaitable[Any]]] = [
        lambda id: store.conversations.mark_read(id, 2_000_000_000_000),
        lambda id: store.conversations.tag(id, tag_id(2)),
        lambda id: store.conversations.untag(id, tag_id(1)),
        lambda id: store.conversations.set_state(id, "CLOSED"),
        lambda id: store.conversations.patch(id, ConversationPatch({"contact": {"display_name": "New"}})),
    ]
    for number in CONVERSATIONS:
        outcomes = [await outcome(call(conversation_id(number))) for call in calls]
        if number in numbers:
            assert outcomes == [None] * 5
    kind = corruption.key.split(":")[0]
    changed = [
        ({"message"}, store.messages.patch(message_id(61), {"a": 1})),
        ({"channel"}, store.channels.patch(CHANNEL, {"a": 1})),
        ({"tag"}, store.tags.update(tag_id(1), "Other", None)),
        ({"tag", "deleted_tags"}, store.tags.delete(tag_id(2))),
    ]
    for kinds, change in changed:
        answer = await outcome(change)
        assert answer is None or kind in kinds or gone


async def sampled(client: Client, partitions: int) -> list[Corruption]:
    every = await corruptions(client.redis)
    every = [one for one in every if not one.key.startswith("conversations:")]
    step = 1 if os.environ.get("FAULTS") == "all" else 37
    return every[:: step * (1 if partitions == 1 else 7)]


@pytest.mark.parametrize("partitions", [1, 4])
async def test_damage_of_one_record_hurts_no_other(opened: OpenStore, redis_url: str, partitions: int) -> None:
    store = await opened(partitions=partitions)
    await fill(store)
    client = connect(redis_url, 5000)
    try:
        snapshot = await take_snapshot(client.redis)
        healthy, lines = await observed(store, set()), await exported(store)
        assert {type(answer) for answer in healthy.values()} <= {dict, list} | {
            type(healthy["info", conversation_id(1)]),
            type(healthy["channel", CHANNEL]),
        }
        failures: list[str] = []
        for corruption in await sampled(client, partitions):
            await corruption.apply(client.redis)
            try:
                damaged = await observed(store, damaged_conversations(corruption))
                assert without(damaged, corruption) == without(healthy, corruption)
                assert about_others(lines, corruption) <= await exported(store)
                await changes_go_on(store, corruption)
            except Exception:
                failures.append(f"{corruption}\n{traceback.format_exc(limit=-3)}")
            await snapshot.restore(client.redis)
        assert not failures, f"{len(failures)} of them:\n" + "\n".join(failures[:20])
        assert await observed(store, set()) == healthy
    finally:
        await client.close()


async def redis_of(client: Client, number: int, **fields: bytes) -> None:
    await client.redis.hset(f"conversation:{{0}}:{conversation_id(number)}", mapping=fields)


@pytest.mark.parametrize(
    ("number", "tail"),
    [
        pytest.param(1001, b"", id="nothing"),
        pytest.param(1002, b"junk", id="junk"),
        pytest.param(1003, b"\x1a\x02ab", id="a part"),
        pytest.param(1004, b"\x12\x00" * 20, id="other fields"),
    ],
)
async def test_a_damaged_conversation_is_passed_over_and_named_once(
    store: Store, client: Client, caplog: pytest.LogCaptureFixture, number: int, tail: bytes
) -> None:
    await apply(store, *(message(n, n, n) for n in range(1, 8)), message(number, 99, 4.5))
    await redis_of(client, number, tail=tail)
    count = DAMAGED_RECORDS.labels("conversation")
    before = count._value.get()
    for filters in ("", "source:facebook"):
        pages = [one async for one in walk(store, filters, 3)]
        assert [len(ids_of(one)) for one in pages] == [3, 3, 1]
        assert [id for one in pages for id in ids_of(one)] == [conversation_id(n) for n in range(7, 0, -1)]
        # It is counted until the doctor has repaired or removed it.
        assert {(one.filtered_total, one.total) for one in pages} == {(8, 8)}
        assert ids_of(await page(store, filters, "3", 3)) == [conversation_id(n) for n in (4, 3, 2)]
    assert count._value.get() > before
    assert [record.message for record in caplog.records if conversation_id(number) in record.message] == [
        f"the conversation {conversation_id(number)} is damaged: run `conversations doctor`"
    ]
    assert await outcome(get(store, number)) is DamagedRecordError
    # Its messages are another record.
    assert [one.id for one in await messages(store, number)] == [message_id(99)]


async def test_what_is_not_there_is_not_found(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), message(2, 2))
    await client.redis.delete(f"conversation:{{0}}:{conversation_id(1)}")
    assert await outcome(get(store, 1)) is ConversationNotFoundError
    assert ids_of(await page(store)) == [conversation_id(2)]
    # What is left of it is not built upon.
    refused = await store.ingest.apply([message(1, 3), message(2, 4), metadata(1, k=1)])
    assert {index: type(error) for index, error in refused.items()} == dict.fromkeys((0, 2), DamagedRecordError)
    await client.redis.delete(f"order:{{0}}:{conversation_id(1)}", f"unread:{{0}}:{conversation_id(1)}")
    assert await outcome(messages(store, 1)) is ConversationNotFoundError
    await apply(store, message(1, 3))


@pytest.mark.parametrize("field", ["ver", "doc", "seq", "lm", "un", "tail", "id", "ch"])
async def test_a_change_of_what_is_damaged_is_refused_at_once(store: Store, client: Client, field: str) -> None:
    await apply(store, message(1, 1), metadata(1, k=1), message(2, 2))
    await redis_of(client, 1, **{field: b""})
    stored = await client.redis.hgetall(f"conversation:{{0}}:{conversation_id(1)}")
    change = store.conversations.patch(conversation_id(1), ConversationPatch({"user_data": {"k": 1}}))
    assert await outcome(change) is DamagedRecordError
    refused = await store.ingest.apply([message(1, 3, 5), message(2, 4, 5), receipt(1, 7), message(1, 5)])
    assert {index: type(error) for index, error in refused.items()} == dict.fromkeys((0, 2, 3), DamagedRecordError)
    assert (await get(store, 2)).last_message.id == message_id(4)
    # Nothing is half-written.
    assert await client.redis.hgetall(f"conversation:{{0}}:{conversation_id(1)}") == stored
    assert await client.redis.zcard(f"order:{{0}}:{conversation_id(1)}") == 1


async def test_what_is_larger_than_the_service_writes_does_not_fill_an_answer(store: Store, client: Client) -> None:
    """It may be sound otherwise: with it the page would be too large for whoever makes JSON of it."""
    long, redis = "x" * 2_000_000, client.redis
    await fill(store)
    healthy, snapshot = await observed(store, set()), await take_snapshot(redis)
    id, message_key = conversation_id(1), f"message:{{0}}:{message_id(11)}"
    shown = conversation_pb2.Conversation.FromString(await redis.hget(f"conversation:{{0}}:{id}", "tail"))
    shown.metadata.contact.display_name = long
    facts, _, data = (await redis.hget(message_key, id)).partition(b"\n")
    sent = message_pb2.Message.FromString(data)
    sent.sender.name = long
    head = channel_pb2.Channel(id=CHANNEL, source=long)
    for key, field, value in (
        (f"conversation:{{0}}:{id}", "tail", shown.SerializeToString()),
        (message_key, id, facts + b"\n" + sent.SerializeToString()),
        (f"channel:{{0}}:{CHANNEL}", "head", head.SerializeToString()),
        (f"tag:{{0}}:{tag_id(1)}", "", tag_pb2.Tag(id=tag_id(1), name=long, color="tag-red").SerializeToString()),
    ):
        await (redis.hset(key, field, value) if field else redis.set(key, value))
        corruption = Corruption(key, "too large", snapshot.restore)
        after = await observed(store, damaged_conversations(corruption))
        assert without(after, corruption) == without(healthy, corruption)
        assert len(str(after)) < len(long)
        await corruption.apply(redis)


@pytest.mark.parametrize("score", ["-inf", "-7.5", "-1e300"])
async def test_a_message_does_not_begin_with_what_is_no_time(store: Store, client: Client, score: str) -> None:
    await apply(store, message(1, 1, 1), message(1, 2, 2))
    order = f"order:{{0}}:{conversation_id(1)}"
    [earliest] = await client.redis.zrange(order, 0, 0)
    await client.redis.zadd(order, {earliest: score})
    [error] = (await store.ingest.apply([message(1, 3, 3)])).values()
    assert isinstance(error, DamagedRecordError)
    assert await client.redis.zcard(order) == 2
    assert (await get(store, 1)).created_at == "2019-01-07T00:00:01.000Z"


async def test_a_record_of_thousands_of_fields_is_not_built_upon(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), metadata(2, user_data={"k": 1}))
    junk = {f"junk{number}": "x" for number in range(9000)}
    await client.redis.hset(f"early:{{0}}:{conversation_id(2)}", mapping=junk)
    refused = await store.ingest.apply([message(2, 2), message(1, 3, 1)])
    assert {index: type(error) for index, error in refused.items()} == {0: DamagedRecordError}
    assert (await get(store, 1)).last_message.id == message_id(3)
    assert await client.redis.keys(f"*:{{0}}:{message_id(2)}") == []


async def test_a_refused_event_has_its_own_code(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), message(2, 2))
    await redis_of(client, 1, tail=b"junk")
    event = {
        "id": message_id(3),
        "channel_id": CHANNEL,
        "source": "facebook",
        "sent_at": "2019-01-07T00:00:00Z",
    }
    events = [
        json_format.ParseDict({"message": {**event, "conversation_id": conversation_id(n)}}, event_pb2.Event())
        for n in (1, 2)
    ]
    request = [event.SerializeToString() for event in (*events, event_pb2.Event())]
    response = await IngestServicer(store).IngestEvents(request, Context("IngestService/IngestEvents", NOBODY))
    assert response.accepted == 1
    assert [(one.index, one.code) for one in response.rejected] == [(0, "DATA_LOSS"), (2, "INVALID_ARGUMENT")]
    assert response.rejected[0].message == f"the stored conversation {conversation_id(1)} is damaged"


async def test_many_damaged_ones_in_a_row(any_store: Store, redis_url: str) -> None:
    """Pages are full, in both directions, and a walk sees every other conversation once."""
    await apply(any_store, *(message(n, n, n) for n in range(1, 301)))
    client = connect(redis_url, 5000)
    for key in await client.redis.keys("conversation:*"):
        if 40 < int(key.decode().rpartition(":")[2][:8], 16) <= 290:
            await client.redis.hset(key, "tail", "junk")
    await client.close()
    expected = [conversation_id(n) for n in (*range(300, 290, -1), *range(40, 0, -1))]
    for filters in ("", "source:facebook"):
        pages = [one async for one in walk(any_store, filters, 15)]
        assert [len(ids_of(one)) for one in pages] == [15, 15, 15, 5]
        assert [id for one in pages for id in ids_of(one)] == expected
        back, cursor = ids_of(pages[-1]), pages[-1].previous_cursor
        while cursor:
            one = await page(any_store, filters, cursor, 15)
            back[:0] = ids_of(one)
            cursor = one.previous_cursor
        assert back == expected


async def test_a_damaged_channel_is_shown_as_one_that_is_not_known(store: Store, client: Client) -> None:
    await apply(
        store, channel(CHANNEL, metadata={"name": "Page"}), message(1, 1), message(2, 2, 1, channel_id=uuid("k", 1))
    )
    key = f"channel:{{0}}:{CHANNEL}"
    head = await client.redis.hget(key, "head")
    for damage in (b"junk", head[:-1], head + b"\x0a\x01\xff"):
        await client.redis.hset(key, "head", damage)
        shown = ListConversationsResponse.FromString((await page(store)).conversations).data
        assert [one.id for one in shown] == [conversation_id(2), conversation_id(1)]
        assert shown[1].channel.id == (await get(store, 1)).channel.id == CHANNEL
        assert (shown[1].channel.source, shown[0].channel.source) == ("", "facebook")
        assert [one.id for one in await store.channels.list_all()] == [uuid("k", 1)]
        assert await outcome(store.channels.get(CHANNEL)) is DamagedRecordError
    await client.redis.delete(key)
    assert await outcome(store.channels.get(CHANNEL)) is ChannelNotFoundError


async def test_a_version_with_more_digits_than_a_number_has_hurts_no_other_channel(
    store: Store, client: Client
) -> None:
    await apply(store, channel(CHANNEL), channel(OTHER_CHANNEL))
    await client.redis.hset(f"channel:{{0}}:{CHANNEL}", "version", ENDLESS)
    assert [one.id for one in await store.channels.list_all()] == [OTHER_CHANNEL]
    assert await outcome(store.channels.get(CHANNEL)) is DamagedRecordError


async def test_a_tag_that_damaged_conversations_have_can_be_deleted(store: Store, client: Client) -> None:
    await apply(store, tag(1), *(message(n, n) for n in range(1, 501)))
    await apply(store, *(metadata(n, tags={tag_id(1): ""}) for n in range(1, 501)))
    for number in range(50, 450):
        await redis_of(client, number, seq=b"junk")
    async with asyncio.timeout(LONG_SECONDS):
        await store.tags.delete(tag_id(1))
    assert await store.tags.list_all() == []
    assert (await page(store, f"tag_ids:{tag_id(1)}")).filtered_total == 400


async def test_an_export_goes_on_and_names_what_it_left_out(any_store: Store, redis_url: str) -> None:
    await fill(any_store)
    healthy = await exported(any_store)
    client = connect(redis_url, 5000)
    for key in await client.redis.keys(f"*{conversation_id(1)}"):
        if b"conversation" in key:
            await client.redis.hset(key, "doc", "{")
    for key in await client.redis.keys(f"message:*{message_id(20)}"):
        await client.redis.hset(key, conversation_id(2), "junk")
    await client.redis.zadd("recent:{0}", {"junk": 5})
    await client.close()
    left_out: list[tuple[str, str]] = []
    lines = {line async for _, some in any_store.export.batches(lambda *one: left_out.append(one)) for line in some}
    assert sorted(left_out) == [
        ("conversation", conversation_id(1)),
        ("entry of the set of conversations", "junk"),
        ("message", message_id(20)),
    ]
    missing = healthy - lines
    assert len(missing) == 2
    assert all(conversation_id(1) in line or message_id(20) in line for line in missing)


@pytest.mark.parametrize(
    "kind", ["recent:{0}", "counts:{0}", "changes:{0}", "columns:{0}", "column:{0}:0:display_name"]
)
async def test_what_is_shared_and_lost_is_done_without(store: Store, client: Client, kind: str) -> None:
    await fill(store)
    before = await page(store)
    named_so = await find(store, "display_name:*a*")
    await client.redis.set(kind, "junk")
    for filters in ("", "source:facebook", "display_name:*"):
        after = await page(store, filters)
        assert (after.total, after.unread) == (before.total, before.unread)
    assert (await page(store)) == before
    assert await find(store, "display_name:*a*") == named_so


@pytest.mark.parametrize("row", [None, "", "x", "-7", "1", "7", "9999999999", ENDLESS.decode()])
async def test_a_conversation_without_a_row_of_its_own_is_found_by_all_but_columns(
    store: Store, client: Client, row: str | None
) -> None:
    """Nor does a change of it touch the values of the one whose row it names."""
    await fill(store)
    key = f"conversation:{{0}}:{conversation_id(1)}"
    before = await stored_values(client.redis)
    await (client.redis.hdel(key, "row") if row is None else client.redis.hset(key, "row", row))
    await apply(store, metadata(1, user_data={"long": LONG_TEXT}), named(1, "Eve"), message(1, 7, 900))
    assert await find(store, "display_name:eve AND source:*") == {1}
    assert await find(store, "display_name:*ev*") == {1}
    # Of so long a word its hash has only a hash.
    assert await find(store, "metadata.user_data.long:*yyy*") <= {1, 6}
    assert await find(store, "metadata.user_data.long:word5*") == {1, 6}
    assert await stored_values(client.redis) == before
    assert await find(store, "NOT display_name:*eve*") == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    "rows", ["x", "-7", "2", "5", "7", "300", "9999999999", "99999999999", "9223372036854775807", ENDLESS.decode()]
)
async def test_a_wrong_number_of_rows_changes_no_answer(store: Store, client: Client, rows: str) -> None:
    await fill(store)
    before = await observed(store, set())
    values = await stored_values(client.redis)
    await client.redis.hset("counts:{0}", "rows", rows)
    store.search.forget()
    assert await observed(store, set()) == before
    # A new conversation waits for a row until the number is corrected.
    await apply(store, message(8, 81))
    assert (await page(store)).total == 7
    assert await find(store, "display_name:*acebook") == {4, 6, 8}
    assert await stored_values(client.redis) == values
    assert await client.redis.hget("counts:{0}", "rows") == rows.encode()


@pytest.mark.parametrize("column", ["id", "display_name", "created_at", "metadata.user_data.long"])
async def test_changes_go_on_beside_a_damaged_block(store: Store, client: Client, column: str) -> None:
    await fill(store)
    key, snapshot = f"column:{{0}}:0:{column}", await take_snapshot(client.redis)
    for text in (b"", b"x", b"\n", b"\nx", b"x\n", b"\n\n", 1000 * b"\n", b"\n\xff\n\xfe\x00\n", None):
        await client.redis.delete(key)
        await (client.redis.rpush(key, "x") if text is None else client.redis.set(key, text))
        await apply(store, *(message(n, 1000 + n, 1) for n in range(1, 9)), *(named(n, f"Eve{n}") for n in range(1, 9)))
        await apply(store, *(metadata(n, user_data={"long": LONG_TEXT}) for n in (1, 2)), metadata(6, user_data=None))
        store.search.forget()
        for filters in (*FILTERS, "NOT display_name:*no* AND created_at:[1 TO 2]"):
            assert (await page(store, filters)).total == 8
        assert await find(store, "display_name:eve*") == set(range(1, 9))
        await snapshot.restore(client.redis)


@pytest.mark.parametrize(
    "values",
    [
        b"junk",
        b"",
        b"-7",
        b"\x81\xa2id\xa1x",
        b"\x81\xacdisplay_name\xa3a\nb",
        b"\x81\xacdisplay_name\xa1\xff",
        b"\x81\xacdisplay_name\x81\xa1x\xa1x",
    ],
)
async def test_what_waits_for_columns_is_checked_before_the_first_message(
    store: Store, client: Client, values: bytes
) -> None:
    await apply(store, message(1, 1), named(2, "Ada"), metadata(2, user_data={"k": "v"}))
    before = await stored_values(client.redis)
    await client.redis.hset(f"early:{{0}}:{conversation_id(2)}", "values", values)
    refused = await store.ingest.apply([message(2, 2)])
    if values:
        assert [type(error) for error in refused.values()] == [DamagedRecordError]
        assert await stored_values(client.redis) == before
        assert await client.redis.exists(f"message:{{0}}:{message_id(2)}") == 0
    else:
        assert refused == {}


@pytest.mark.parametrize(
    "command",
    [
        ("DEL", "conversations:setup"),
        ("SET", "conversations:setup", "junk"),
        ("HSET", "conversations:setup", "partitions", "junk"),
        ("HSET", "conversations:setup", "partitions", "0"),
        ("HDEL", "conversations:setup", "partitions"),
        ("HSET", "conversations:setup", "partitions", ENDLESS),
    ],
)
async def test_a_lost_number_of_partitions_is_not_guessed(
    opened: OpenStore, redis_url: str, command: tuple[str | bytes, ...]
) -> None:
    """With another one, most conversations would be nowhere."""
    await apply(await opened(partitions=4), message(1, 1))
    client = connect(redis_url, 5000)
    await client.redis.execute_command(*command)
    await client.close()
    with pytest.raises(ConfigurationError, match="run `conversations doctor --repair`"):
        await opened(partitions=1)


async def test_the_index_is_rebuilt_without_what_is_damaged(store: Store, client: Client) -> None:
    await apply(store, *(message(n, n) for n in range(1, 4)), *(metadata(n, k=n) for n in range(1, 4)))
    await redis_of(client, 2, doc=b"{")
    await redis_of(client, 3, x=b"", ih=b"1")
    await client.redis.hset("conversations:setup", "schema", "earlier")
    assert [part async for part in store.rebuild_index()][-1] == 1.0
    assert set(ids_of(await page(store, "metadata.k:*"))) == {conversation_id(n) for n in (1, 2, 3)}
