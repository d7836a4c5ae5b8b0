"""The doctor finds what is wrong and nothing else, and repairs it."""

import asyncio
import os
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

import pytest
import redis
from click.testing import CliRunner
from pydantic import SecretStr
from tests.integration.store.columns import check_columns, stored_values
from tests.integration.store.conftest import OpenStore, until_set_up
from tests.integration.store.corruptions import ENDLESS, corruptions, take_snapshot
from tests.integration.store.events import (
    CHANNEL,
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
    named,
    page,
    receipt,
    tag,
    tag_id,
    uuid,
)
from tests.integration.store.test_damage import (
    CONVERSATIONS,
    FILTERS,
    about_others,
    damaged_conversations,
    exported,
    fill,
    observed,
    without,
)
from tests.integration.store.test_keys import busy_day

from conversations.cli import main
from conversations.errors import ConfigurationError, TagNotFoundError
from conversations.settings import Settings
from conversations.store import Store, open_store
from conversations.store.client import Client, connect
from conversations.store.doctor import Doctor, Findings
from conversations.store.partitions import Partitions


@pytest.fixture
async def doctor(redis_url: str) -> AsyncIterator[Doctor]:
    found = await Doctor.open(Settings(redis_url=SecretStr(redis_url)))
    yield found
    await found.close()


def said(findings: Findings) -> list[str]:
    return list(findings.sentences())


async def test_a_healthy_store(any_store: Store, doctor: Doctor) -> None:
    assert said(await doctor.examine()) == []
    await busy_day(any_store)
    await fill(any_store)
    assert said(await doctor.examine()) == []
    assert await doctor.count() == []
    assert said((await doctor.repair())[0]) == []


async def test_whatever_is_damaged_is_repaired(
    opened: OpenStore, redis_url: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the doctor does not find changes no answer; after a repair it finds nothing, and others are as they were.

    `FAULTS=all` tries every corruption of every key, otherwise a part of them.
    """
    monkeypatch.setattr("conversations.store.doctor.doctor._SECOND_LOOK_SECONDS", 0)
    store = await opened()
    await fill(store)
    client = connect(redis_url, 5000)
    try:
        snapshot = await take_snapshot(client.redis)
        healthy, lines = await observed(store, set()), await exported(store)
        failures: list[str] = []
        every = await corruptions(client.redis)
        for corruption in every if os.environ.get("FAULTS") == "all" else every[::37]:
            await corruption.apply(client.redis)
            try:
                found = await doctor.examine()
                if not found:
                    after = await observed(store, set())
                    assert after == healthy, "not found"
                else:
                    _, left = await doctor.repair()
                    assert said(left) == []
                    await check_columns(client.redis)
                    damaged = damaged_conversations(corruption)
                    assert without(await observed(store, damaged), corruption) == without(healthy, corruption)
                    assert about_others(lines, corruption) <= await exported(store)
            except Exception:
                failures.append(f"{corruption}: {said(found)}\n{traceback.format_exc(limit=-3)}")
            await snapshot.restore(client.redis)
        assert not failures, f"{len(failures)} of them:\n" + "\n".join(failures[:20])
    finally:
        await client.close()


ID, LATEST = conversation_id(1), message_id(12)
HASH, MESSAGE = f"conversation:{{0}}:{ID}", f"message:{{0}}:{LATEST}"
SHOWN = f"1 conversation is shown or found differently from what its facts say: {ID}"
LOST = f"1 conversation has lost its record, but not its messages: {ID}"
MISCOUNTED = "1 count of unread conversations is wrong: counts:{0}"
WRONG_TYPE = "1 key has the wrong type of value"
STRAY = "1 entry of a set has no record: recent:{0}"

ROWS = "1 count of the rows of columns is wrong: counts:{0}"
ROWLESS = "1 conversation has no row of its own in the columns, or other values there"
ROWLESS_TWO = "2 conversations have no row of their own in the columns, or other values there"
VALUELESS = "1 block of a column has values that no conversation has"
UNREADABLE = "1 block of a column cannot be read"
MISSIZED = "1 count of the values in a column is wrong"
STRANGE = "1 key has a name that cannot be, or is in the wrong partition"
# One block has the rows of all conversations.
NAMES, IDS, AVATARS = (f"column:{{0}}:0:{name}" for name in ("display_name", "id", "metadata.contact.avatar_url"))
LONG_VALUE = "long_value:{0}:5:metadata.user_data.long"

# What is done to the keys of a filled store, and what the doctor says; each is repaired without a loss.
DERIVED: dict[str, tuple[list[tuple[str | bytes | int, ...]], list[str]]] = {
    "answer": ([("HSET", HASH, "tail", "junk")], [f"{SHOWN} (tail)"]),
    "index terms": ([("HSET", HASH, "x", "xn a | b |", "un", "7")], [f"{SHOWN} (un x)"]),
    "unknown field": ([("HSET", HASH, "junk", "x")], [f"{SHOWN} (junk)"]),
    "number": (
        [("HSET", HASH, "lm", "x")],
        [f"{SHOWN} (lm)", f"1 conversation is not found by the index: {ID}", f"{MISCOUNTED} (5, not 4)"],
    ),
    "list": ([("ZREM", "recent:{0}", ID)], [f"1 conversation is missing from the list, or at a wrong time: {ID}"]),
    "junk in the list": ([("ZADD", "recent:{0}", 5, "junk")], [f"{STRAY} (junk)"]),
    "line feed in the list": ([("ZADD", "recent:{0}", 5, "\n")], [f"{STRAY} (\\n)"]),
    "count": ([("HSET", "counts:{0}", "unread", "-3")], [f"{MISCOUNTED} (-3, not 5)"]),
    "no count": ([("DEL", "counts:{0}")], [f"{MISCOUNTED} (no, not 5)", f"{ROWS} (no, not 6)"]),
    "type": ([("SET", "changes:{0}", "x")], [f"{WRONG_TYPE}: changes:{{0}}"]),
    "order": (
        [("ZREM", f"order:{{0}}:{ID}", f"0000000003{LATEST}")],
        [
            f"1 message is not at its place in the order of the conversation: {LATEST}",
            f"{SHOWN} (lm tail)",
            f"{ROWLESS}: {ID}",
        ],
    ),
    "tag not listed": ([("SREM", "tags:{0}", tag_id(1))], [f"1 tag is missing from the list: {tag_id(1)}"]),
    "channel": (
        [("HSET", f"channel:{{0}}:{CHANNEL}", "metadata", "junk")],
        [f"1 channel cannot be read in full: {CHANNEL} (metadata)"],
    ),
    "no row": ([("HDEL", HASH, "row")], [f"{ROWLESS}: {ID}"]),
    "another's row": ([("HSET", HASH, "row", "1")], [f"{ROWLESS}: {ID}"]),
    "row behind the last": ([("HSET", HASH, "row", "6")], [f"{ROWLESS}: {ID}"]),
    "row that is no number": ([("HSET", HASH, "row", "-0")], [f"{ROWLESS}: {ID}"]),
    "row with more digits": ([("HSET", HASH, "row", "00")], [f"{ROWLESS}: {ID}"]),
    "two without their rows": (
        [("HSET", HASH, "row", "1"), ("HSET", f"conversation:{{0}}:{conversation_id(2)}", "row", "0")],
        [f"{ROWLESS_TWO}: {ID}, {conversation_id(2)}"],
    ),
    "value": ([("SETRANGE", NAMES, 1, "eda")], [f"{ROWLESS}: {ID}"]),
    "lost block": (
        [("DEL", AVATARS)],
        [f"{ROWLESS}: {conversation_id(3)}", f"{MISSIZED}: metadata.contact.avatar_url (1, not 0)"],
    ),
    "block that is no text": (
        [("DEL", AVATARS), ("LPUSH", AVATARS, "x")],
        [
            f"{WRONG_TYPE}: {AVATARS}",
            f"{ROWLESS}: {conversation_id(3)}",
            f"{MISSIZED}: metadata.contact.avatar_url (1, not 0)",
        ],
    ),
    "block that is cut": (
        [("SET", AVATARS, "\n\n\nhttp")],
        [
            f"{UNREADABLE}: {AVATARS}",
            f"{ROWLESS}: {conversation_id(3)}",
            f"{MISSIZED}: metadata.contact.avatar_url (1, not 0)",
        ],
    ),
    "value of a field that it lacks": (
        [("SET", AVATARS, "\nx\n\nhttp://x\n")],
        [f"{VALUELESS}: {AVATARS}", f"{MISSIZED}: metadata.contact.avatar_url (1, not 2)"],
    ),
    "value behind the last row": (
        [("APPEND", NAMES, "ada\n")],
        [f"{VALUELESS}: {NAMES}", f"{MISSIZED}: display_name (6, not 7)"],
    ),
    "block behind the last row": (
        [("SET", "column:{0}:7:display_name", "\nx\n")],
        [f"{VALUELESS}: column:{{0}}:7:display_name", f"{MISSIZED}: display_name (6, not 7)"],
    ),
    "column that nobody has": (
        [("SET", "column:{0}:0:metadata.none", "\nx\n")],
        [f"{VALUELESS}: column:{{0}}:0:metadata.none", f"{MISSIZED}: metadata.none (no, not 1)"],
    ),
    "id twice": (
        [("APPEND", IDS, ID + "\n")],
        [f"{VALUELESS}: {IDS}", f"{MISSIZED}: id (6, not 7)", f"{ROWS} (6, not 7)"],
    ),
    "ids of another block": (
        [("COPY", IDS, "column:{0}:3:id")],
        [f"{VALUELESS}: column:{{0}}:3:id", f"{MISSIZED}: id (6, not 12)"],
    ),
    "too few rows": ([("HSET", "counts:{0}", "rows", "3")], [f"{ROWS} (3, not 6)"]),
    "too many rows": ([("HSET", "counts:{0}", "rows", "9999999999")], [f"{ROWS} (9999999999, not 6)"]),
    "rows that are no number": ([("HSET", "counts:{0}", "rows", "x")], [f"{ROWS} (x, not 6)"]),
    "rows with more digits": ([("HSET", "counts:{0}", "rows", "006")], [f"{ROWS} (006, not 6)"]),
    "count of values": (
        [("HSET", "columns:{0}", "metadata.contact.avatar_url", "x")],
        [f"{MISSIZED}: metadata.contact.avatar_url (x, not 1)"],
    ),
    "count of no values": (
        [("HSET", "columns:{0}", "metadata.none", "3")],
        [f"{MISSIZED}: metadata.none (3, not 0)"],
    ),
    "lost long value": ([("DEL", LONG_VALUE)], [f"{ROWLESS}: {conversation_id(6)}"]),
    "long value that is no text": (
        [("DEL", LONG_VALUE), ("LPUSH", LONG_VALUE, "x")],
        [f"{WRONG_TYPE}: {LONG_VALUE}", f"{ROWLESS}: {conversation_id(6)}"],
    ),
    "long value of no line": (
        [("SET", "long_value:{0}:0:display_name", "x")],
        ["1 long value belongs to no line of a column: long_value:{0}:0:display_name"],
    ),
    "line without its long value": (
        [("SETRANGE", AVATARS, 3, b"\xff       ")],
        [f"{ROWLESS}: {conversation_id(3)}"],
    ),
    "long value of a field that it lacks": (
        [("SET", "column:{0}:0:state", b"\n\xff\n\nopen\n")],
        [f"{ROWLESS}: {ID}", f"{MISSIZED}: state (1, not 2)"],
    ),
    "name of a block": ([("SET", "column:{0}:x:id", "x")], [f"{STRANGE}: column:{{0}}:x:id"]),
    "name of a column": ([("SET", "column:{0}:0:nothing", "x")], [f"{STRANGE}: column:{{0}}:0:nothing"]),
    "name of no partition": (
        [("SET", "long_value:{7}:0:display_name", "x")],
        [f"{STRANGE}: long_value:{{7}}:0:display_name"],
    ),
    "index": ([("FT.DROPINDEX", "conversations:{0}:v1")], ["1 index is missing: conversations:{0}"]),
    "setup": (
        [("DEL", "conversations:setup")],
        ["1 record of how Redis was set up cannot be read: conversations:setup"],
    ),
}


def in_order(sentence: str) -> str:
    """Return a sentence with its ids in order."""
    text, _, ids = sentence.partition(": ")
    return f"{text}: {', '.join(sorted(ids.split(', ')))}"


@pytest.mark.parametrize("what", DERIVED)
async def test_what_follows_from_facts_is_made_again(
    store: Store, client: Client, doctor: Doctor, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.store.doctor.doctor._SECOND_LOOK_SECONDS", 0)
    commands, sentences = DERIVED[what]
    await fill(store)
    healthy, values = await observed(store, set()), await stored_values(client.redis)
    for command in commands:
        await client.redis.execute_command(*command)
    found = said(await doctor.examine())
    if what == "order":
        found = [sentence for sentence in found if "at a wrong time" not in sentence]
    assert sorted(map(in_order, found)) == sorted(map(in_order, sentences))
    repaired, left = await doctor.repair()
    assert (bool(repaired), said(left)) == (True, [])
    assert await observed(store, set()) == healthy
    assert await stored_values(client.redis) == values
    await check_columns(client.redis)
    aside = {
        "type": "damaged:{0}:changes:{0}",
        "channel": f"damaged:{{0}}:channel:{{0}}:{CHANNEL}:fields",
        "block that is no text": f"damaged:{{0}}:{AVATARS}",
        "block that is cut": f"damaged:{{0}}:{AVATARS}",
        "long value that is no text": f"damaged:{{0}}:{LONG_VALUE}",
        "name of a block": "damaged:{0}:column:{0}:x:id",
        "name of a column": "damaged:{0}:column:{0}:0:nothing",
        "name of no partition": "damaged:{7}:long_value:{7}:0:display_name",
    }
    assert await client.redis.keys("damaged:*") == ([aside[what].encode()] if what in aside else [])


async def test_a_lost_record_is_made_again_from_its_messages(store: Store, client: Client, doctor: Doctor) -> None:
    await fill(store)
    before = await get(store, 1)
    await client.redis.delete(HASH)
    assert said(await doctor.examine()) == [LOST, f"{MISCOUNTED} (5, not 4)"]
    repaired, left = await doctor.repair()
    assert (
        "1 conversation has lost its record, but not its messages (rebuilt from the messages; what agents had added "
        f"is gone): {ID}"
    ) in repaired.sentences(repaired=True)
    assert said(left) == []
    after = await get(store, 1)
    assert after.last_message == before.last_message
    assert (after.created_at, after.channel) == (before.created_at, before.channel)
    assert (after.metadata.contact.display_name, len(after.metadata.tags)) == ("Sms 00001", 0)
    assert len(await messages(store, 1)) == 3
    await apply(store, message(1, 13, 9999))


async def test_a_message_that_cannot_be_read_is_set_aside(store: Store, client: Client, doctor: Doctor) -> None:
    await fill(store)
    await client.redis.hset(MESSAGE, ID, "junk")
    assert said(await doctor.examine()) == [
        f"1 message cannot be read: {LATEST}",
        f"2 entries of a conversation's messages belong to no message: {ID} (0000000003{LATEST}), {ID} ({LATEST})",
        f"1 conversation ends with a message that cannot be read: {ID}",
    ]
    _, left = await doctor.repair()
    assert said(left) == []
    assert await client.redis.hgetall(f"damaged:{{0}}:{MESSAGE}:fields") == {ID.encode(): b"junk"}
    assert [one.id for one in await messages(store, 1)] == [message_id(10), message_id(11)]
    found = await get(store, 1)
    assert (found.last_message.id, found.metadata.unread_count) == (message_id(11), 2)
    # It may come again.
    await apply(store, message(1, 12, 62, channel_id=found.channel.id, source="twilio.sms"))
    assert (await get(store, 1)).last_message.id == LATEST


async def test_a_message_is_filed_by_its_own_facts(store: Store, client: Client, doctor: Doctor) -> None:
    await apply(store, message(1, 1, 1), message(1, 2, 2, from_contact=False))
    key = f"message:{{0}}:{message_id(2)}"
    line = await client.redis.hget(key, ID)
    _, place, _, channel_id, rest = line.split(b" ", 4)
    await client.redis.hset(key, ID, b" ".join([b"5", place, b"1", channel_id, b"x" + rest]))
    found = said(await doctor.examine())
    assert found[0] == f"1 message is stored with facts other than its own: {message_id(2)}"
    assert said((await doctor.repair())[1]) == []
    assert await client.redis.hget(key, ID) == line
    assert (await get(store, 1)).metadata.unread_count == 1


@pytest.mark.parametrize(
    ("field", "value"), [("doc", "{"), ("doc", '{"contact":5}'), ("st", "x"), ("tg", "x,,"), ("read", "x")]
)
async def test_facts_that_cannot_be_read_are_set_aside(
    store: Store, client: Client, doctor: Doctor, field: str, value: str
) -> None:
    await apply(
        store, message(1, 1), metadata(1, state="OPEN", user_data={"k": 1}, tags={tag_id(1): ""}), receipt(1, 9)
    )
    await client.redis.hset(HASH, field, value)
    text = " ".join(said(await doctor.examine()))
    assert "1 conversation has metadata, a state, tags or a time of reading that cannot be read, or tags that" in text
    assert said((await doctor.repair())[1]) == []
    assert (await client.redis.hgetall(f"damaged:{{0}}:{HASH}:fields"))[field.encode()] == value.encode()
    found = await get(store, 1)
    assert found.metadata.HasField("state") == (field != "st")
    assert found.metadata.HasField("user_data") == (field != "doc")
    assert (len(found.metadata.tags) == 1) == (field != "tg")
    await apply(store, metadata(1, user_data={"n": 1}), named(1, "Ada"))


async def test_a_version_that_cannot_be_read_loses_no_metadata(store: Store, client: Client, doctor: Doctor) -> None:
    await apply(store, message(1, 1), metadata(1, user_data={"k": 1}))
    before = await get(store, 1)
    await client.redis.hset(HASH, "ver", "")
    assert said((await doctor.repair())[1]) == []
    assert await get(store, 1) == before
    await apply(store, metadata(1, user_data={"n": 1}))


async def test_what_has_no_message_any_more_waits_for_one(store: Store, client: Client, doctor: Doctor) -> None:
    await apply(store, message(1, 1), message(2, 2), named(1, "Ada"), receipt(1, 0))
    await client.redis.delete(f"message:{{0}}:{message_id(1)}")
    assert said((await doctor.repair())[1]) == []
    assert (await page(store)).total == 1
    assert await client.redis.smembers("waiting:{0}") == {ID.encode()}
    await apply(store, message(1, 3))
    assert (await get(store, 1)).metadata.contact.display_name == "Ada"


async def test_a_second_record_and_a_strange_name_are_set_aside(store: Store, client: Client, doctor: Doctor) -> None:
    await fill(store)
    healthy = await observed(store, set())
    await client.redis.hset(f"early:{{0}}:{ID}", mapping={"read": "7"})
    await client.redis.copy(HASH, HASH + "0")
    await client.redis.copy(HASH, f"conversation:{{7}}:{ID}")
    await client.redis.rename(f"message:{{0}}:{message_id(22)}", b"message:{0}:\xff")
    found = said(await doctor.examine())
    assert found[0].startswith("3 keys have a name that cannot be, or are in the wrong partition"), found
    assert any(sentence.startswith("1 conversation has a second record") for sentence in found)
    assert said((await doctor.repair())[1]) == []
    assert len(await client.redis.keys("damaged:*")) == 4
    after = await observed(store, set())
    assert after["list"].keys() == healthy["list"].keys()


async def test_copies_of_channels_are_those_of_home(opened: OpenStore, redis_url: str, doctor: Doctor) -> None:
    store = await opened(partitions=4)
    await apply(store, channel(CHANNEL, metadata={"name": "Page"}), channel_metadata(CHANNEL, k=1), message(1, 1))
    before = await store.channels.get(CHANNEL)
    client = connect(redis_url, 5000)
    home = Partitions(4).of(CHANNEL)
    other = (home + 1) % 4
    damages: list[tuple[int, str, bytes]] = [
        (other, "version", b"0"),
        (other, "metadata", b"junk"),
        (home, "own", b"{"),
        (home, "changes", b"{"),
        (home, "head", b"junk"),
    ]
    for partition, field, value in damages:
        await client.redis.hset(f"channel:{{{partition}}}:{CHANNEL}", field, value)
        assert said(await doctor.examine()) != []
        assert said((await doctor.repair())[1]) == []
        assert await store.channels.get(CHANNEL) == before
        await apply(store, channel_metadata(CHANNEL, k=1))
    await client.redis.delete(f"channel:{{{home}}}:{CHANNEL}")
    assert said((await doctor.repair())[1]) == []
    assert await store.channels.get(CHANNEL) == before
    await client.close()


async def test_columns_of_several_blocks(store: Store, client: Client, doctor: Doctor) -> None:
    redis = client.redis
    await apply(store, *(message(n, n, n) for n in range(1, 601)), *(named(n, f"Ada{n} B") for n in range(1, 601, 3)))
    await check_columns(redis)
    before = await stored_values(redis)
    adas = await page(store, "NOT display_name:*sms* AND NOT display_name:*face*")
    assert adas.filtered_total == 200
    for commands in (
        [("DEL", "column:{0}:0:id"), ("SET", "column:{0}:1:id", "x"), ("DEL", "columns:{0}", "counts:{0}")],
        [("SET", "column:{0}:2:id", "x"), ("SETRANGE", "column:{0}:1:id", 37 * 7, "\n\n")],
        [("DEL", "column:{0}:1:id", "column:{0}:1:display_name"), ("RENAME", "column:{0}:2:id", "column:{0}:1:id")],
        [("COPY", "column:{0}:1:display_name", "column:{0}:3:display_name"), ("HSET", "counts:{0}", "rows", "520")],
        [("COPY", "column:{0}:1:id", "column:{0}:3:id"), ("HSET", "counts:{0}", "rows", "1024")],
    ):
        for command in commands:
            await redis.execute_command(*command)
        assert said((await doctor.repair())[1]) == []
        await check_columns(redis)
        assert await page(store, "NOT display_name:*sms* AND NOT display_name:*face*") == adas
    after = {values["id"]: values for values in (await stored_values(redis)).values()}
    assert after == {values["id"]: values for values in before.values()}
    assert await doctor.count() == []
    # New ones get the next rows.
    await apply(store, *(message(n, n, n) for n in range(601, 701)))
    await check_columns(redis)


async def test_rows_of_conversations_that_are_gone_count_nowhere(store: Store, client: Client, doctor: Doctor) -> None:
    await apply(store, *(message(n, n, n) for n in range(1, 9)))
    for number in (1, 4, 8):
        await client.redis.delete(f"message:{{0}}:{message_id(number)}")
    assert said((await doctor.repair())[1]) == []
    await check_columns(client.redis)
    assert await client.redis.hget("counts:{0}", "rows") == b"7"
    for filters in ("NOT display_name:*nobody*", "NOT (display_name:*nobody* OR source:x)"):
        assert await find(store, filters) == {2, 3, 5, 6, 7}
    assert await doctor.count() == []
    await apply(store, message(9, 9), message(1, 10))
    assert await find(store, "NOT display_name:*nobody*") == {1, 2, 3, 5, 6, 7, 9}
    await check_columns(client.redis)
    assert said(await doctor.examine()) == []


async def test_a_conversation_of_many_columns_is_looked_at_in_pieces(
    store: Store, client: Client, doctor: Doctor
) -> None:
    await apply(store, message(1, 1), metadata(1, user_data={f"k{n}": f"v{n}" for n in range(120)}))
    before = await stored_values(client.redis)
    assert said(await doctor.examine()) == []
    for number in (0, 60, 119):
        await client.redis.set(f"column:{{0}}:0:metadata.user_data.k{number}", "\nx\n")
        assert said(await doctor.examine()) == [f"{ROWLESS}: {ID}"]
        assert said((await doctor.repair())[1]) == []
        assert await stored_values(client.redis) == before


async def test_a_long_conversation_is_looked_at_in_pieces(store: Store, client: Client, doctor: Doctor) -> None:
    await apply(store, *(message(1, n, n % 97) for n in range(1, 1301)))
    assert said(await doctor.examine()) == []
    before = await messages(store, 1)
    await client.redis.delete(f"order:{{0}}:{ID}")
    await client.redis.zremrangebyrank(f"unread:{{0}}:{ID}", 10, 1000)
    assert said((await doctor.repair())[1]) == []
    assert await messages(store, 1) == before
    assert (await get(store, 1)).metadata.unread_count == 1300


async def test_what_is_repaired_shows_in_totals_that_were_caught_up(
    opened: OpenStore, client: Client, doctor: Doctor
) -> None:
    store = await opened()
    await fill(store)
    before = {filters: await page(store, filters) for filters in (*FILTERS, "")}
    for number in CONVERSATIONS:
        await client.redis.hset(f"conversation:{{0}}:{conversation_id(number)}", "x", "xn a | b |")
    await client.redis.delete("column:{0}:0:display_name", "column:{0}:0:id", "columns:{0}")
    assert said((await doctor.repair())[1]) == []
    for filters, one in before.items():
        assert await page(store, filters) == one


async def test_what_others_write_at_the_same_time_is_no_finding(any_store: Store, doctor: Doctor) -> None:
    await busy_day(any_store)
    stop = asyncio.Event()

    async def write(seed: int) -> None:
        chance = Random(seed)
        while not stop.is_set():
            number = chance.randint(1, 30)
            await any_store.ingest.apply(
                [
                    message(number, chance.randint(1, 90), chance.randint(0, 60), from_contact=chance.random() < 0.5),
                    metadata(number, user_data={"k": chance.random()}, state=chance.choice(["OPEN", None])),
                    # Columns that values come to and go from.
                    metadata(number, user_data={"k": 1, chance.choice("abc"): "long " * chance.choice([1, 90])}),
                    named(number, f"{chance.random()}"),
                    receipt(number, chance.randint(0, 60)),
                    message_metadata(chance.randint(1, 400), k=chance.random()),
                    channel_metadata(uuid("k", chance.randint(1, 8)), k=chance.random()),
                    metadata(chance.randint(200, 400), k=1, tags={tag_id(chance.randint(1, 9)): ""}),
                    tag(chance.randint(1, 9)),
                ]
            )
            with suppress(TagNotFoundError):
                await any_store.tags.delete(tag_id(chance.randint(1, 9)))

    writers = [asyncio.create_task(write(seed)) for seed in range(4)]
    try:
        for number in range(6):
            assert said(await doctor.examine()) == []
            # Nor is anything changed by one that repairs.
            if number % 2:
                assert said((await doctor.repair())[1]) == []
    finally:
        stop.set()
        await asyncio.gather(*writers)
    assert said(await doctor.examine()) == []
    assert await doctor.count() == []


async def test_the_quick_look_counts(store: Store, client: Client, doctor: Doctor) -> None:
    assert await doctor.count() == []
    await fill(store)
    assert await doctor.count() == []
    await client.redis.zadd("recent:{0}", {"junk": 1})
    assert await doctor.count() == [
        "partition 0: the list has 7 conversations, the index 6",
        "partition 0: the list has 7 conversations, the columns 6",
    ]
    await client.redis.zrem("recent:{0}", "junk")
    await client.redis.hset("counts:{0}", "unread", "2")
    assert await doctor.count() == ["partition 0: 2 conversations are counted as unread, 5 are"]
    await client.redis.set("recent:{0}", "junk")
    assert await doctor.count() == ["partition 0: the list has no conversations, the index 6"]
    await client.redis.execute_command("FT.DROPINDEX", "conversations:{0}:v1")
    assert (await doctor.count())[0] == "partition 0: there is no index"


async def test_another_version_is_left_alone(store: Store, client: Client, doctor: Doctor) -> None:
    await client.redis.hset("conversations:setup", "schema", "0123456789ab")
    with pytest.raises(ConfigurationError, match="run `conversations reindex` first"):
        await doctor.examine()
    await client.redis.hset("conversations:setup", "layout", "1")
    with pytest.raises(ConfigurationError, match="use its doctor"):
        await doctor.repair()


async def test_numbers_with_more_digits_than_a_number_has(store: Store, client: Client, doctor: Doctor) -> None:
    await fill(store)
    await client.redis.hset("conversations:setup", "partitions", ENDLESS)
    await client.redis.set(b"message:{%b}:x" % ENDLESS, "x")
    found = said(await doctor.examine())
    assert any("how Redis was set up" in sentence for sentence in found), found
    assert said((await doctor.repair())[1]) == []
    assert await client.redis.hget("conversations:setup", "partitions") == b"1"


@pytest.mark.parametrize("partitions", [1, 3, 4, 64])
async def test_the_number_of_partitions_is_told_by_what_lies_where(
    opened: OpenStore, redis_url: str, doctor: Doctor, partitions: int
) -> None:
    store = await opened(partitions=partitions)
    await apply(store, *(message(n, n) for n in range(1, 40)))
    client = connect(redis_url, 5000)
    await client.redis.delete("conversations:setup")
    await client.redis.set("conversations:setup", "junk")
    assert said((await doctor.repair())[1]) == []
    assert await client.redis.hget("conversations:setup", "partitions") == str(partitions).encode()
    await client.close()


def run(*options: str) -> tuple[int, list[str]]:
    ended = CliRunner().invoke(main, ["doctor", *options])
    return ended.exit_code, ended.stdout.splitlines()


def test_the_command(redis_url: str) -> None:
    """What it prints and how it ends."""
    asyncio.run(filled(redis_url))
    assert run("--redis-url", redis_url) == (0, ["everything is as it should be"])
    with redis.Redis.from_url(redis_url) as client:
        for number in range(1, 7):
            client.hset(f"conversation:{{0}}:{conversation_id(number)}", "tail", "junk")
    code, [sentence, hint] = run("--redis-url", redis_url)
    assert code == 1
    assert sentence.startswith("6 conversations are shown or found differently from what their facts say: ")
    assert sentence.endswith(" and 1 more")
    assert hint == "`conversations doctor --repair` repairs what can be repaired"
    code, [sentence, _] = run("--redis-url", redis_url, "--verbose")
    assert all(f"{conversation_id(number)} (tail)" in sentence for number in range(1, 7))
    code, [sentence, outcome] = run("--redis-url", redis_url, "--repair")
    assert (code, outcome) == (0, "everything is as it should be now")
    assert sentence.startswith(
        "repaired: 6 conversations are shown or found differently from what their facts say (rebuilt): "
    )
    assert run("--redis-url", redis_url) == (0, ["everything is as it should be"])
    assert run("--nonsense")[0] == 2
    assert run("--data-dir", "/nonexistent")[0] == 1


async def filled(redis_url: str) -> None:
    store = await open_store(Settings(redis_url=SecretStr(redis_url)))
    await until_set_up(store)
    await fill(store)
    await store.close()
