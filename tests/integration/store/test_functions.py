"""Each function of the library does and returns what its header says."""

from importlib.resources import files
from typing import Any

import msgpack
import pytest
from tests.integration.store.events import CHANNEL, apply, conversation_id, message, message_id, metadata, tag, tag_id

from conversations.errors import DamagedRecordError, InvalidFieldError
from conversations.servicers.wire import split_items
from conversations.store import Store
from conversations.store.client import Client
from conversations.store.damage import checked
from conversations.store.documents import document_parts
from conversations.store.functions import Call, by_name, packed
from conversations.store.library import function_name, library_name
from conversations.v1 import channel_pb2, conversation_pb2, message_pb2
from conversations.v1.conversation_pb2 import Conversation
from conversations.v1.conversation_service_pb2 import ListConversationsResponse

ID, OTHER = conversation_id(1), conversation_id(2)
MESSAGE = message_id(1)
NOW = 10**13


async def call(client: Client, function: str, *args: str | bytes | int) -> Any:
    return await client.call(Call(0, function, args))


BY_SOURCE = "(@src:{facebook})"
BY_SOURCE_TOO = msgpack.packb(["values", "src", "facebook"])


async def search(
    client: Client, function: str, query: str = "", known: bytes = b"", name: str = "", **asked: Any
) -> tuple[bytes, dict[bytes, Any]]:
    """Call a function that searches; return the word that its reply begins with, and what it says by name."""
    predicate = BY_SOURCE_TOO if query else b""
    reply = await call(client, function, packed({"is_exact": True, **asked}), query, predicate, known, name)
    return reply[0], by_name(reply)


async def hash_of(client: Client, key: str) -> dict[str, bytes]:
    return {name.decode(): value for name, value in (await client.redis.hgetall(key)).items()}


def message_bytes(text: str = "hi", id: str = MESSAGE) -> bytes:
    stored = message_pb2.Message(id=id)
    stored.content.struct_value["text"] = text
    return stored.SerializeToString()


async def add_message(
    client: Client,
    at: int = 1000,
    *,
    id: str = MESSAGE,
    conversation: str = ID,
    from_contact: str = "1",
    channel: str = CHANNEL,
    source: str = "facebook",
    text: str = "hi",
    version: str = "0",
) -> Any:
    return await call(
        client, "add_message", conversation, id, at, from_contact, channel, source, message_bytes(text, id), version
    )


async def commit(client: Client, version: str = "0", **changes: Any) -> Any:
    parts: dict[str, Any] = {
        **document_parts({}),
        "document": "{}",
        "state": "",
        "added": (),
        "removed": (),
    }
    return await call(client, "commit_document", ID, version, packed(parts | changes))


async def answer(client: Client, id: str = ID) -> conversation_pb2.Conversation:
    return conversation_pb2.Conversation.FromString(await call(client, "get_conversation", id))


async def functions_of(client: Client) -> dict[str, bool]:
    """Return the names of all functions of the library, and whether they change nothing."""
    [library] = await client.redis.execute_command("FUNCTION", "LIST", "LIBRARYNAME", library_name())
    found = {}
    for function in flat(library)["functions"]:
        facts = flat(function)
        name = facts["name"].decode().rpartition("_")[0]
        assert function_name(name) == facts["name"].decode()
        found[name] = b"no-writes" in facts["flags"]
    return found


def flat(reply: Any) -> dict[str, Any]:
    """RESP2 answers lists, RESP3 maps."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {key.decode(): value for key, value in pairs}


async def test_every_function_is_tested_here(client: Client) -> None:
    names = await functions_of(client)
    tests = files("tests.integration.store")
    source = "".join(tests.joinpath(f"test_{name}.py").read_text("utf-8") for name in ("functions", "doctor_functions"))
    assert len(names) == 69
    assert [name for name in sorted(names) if f'"{name}"' not in source] == []


async def test_the_names_of_functions_tell_reads_from_writes(client: Client) -> None:
    names = await functions_of(client)
    assert names == {name: Call(0, name).is_read for name in names}


async def test_add_message_keeps_first_last_and_unread(client: Client) -> None:
    assert await add_message(client, 2000, id=message_id(2)) == [b"ok"]
    assert await add_message(client, 1000, id=message_id(1)) == [b"ok"]
    assert await add_message(client, 3000, id=message_id(3), from_contact="0") == [b"ok"]
    found = await hash_of(client, f"conversation:{{0}}:{ID}")
    assert (found["ca"], found["lm"], found["un"]) == (b"1000", b"3000", b"2")
    assert (await answer(client)).last_message.id == message_id(3)
    # Twice: nothing counts again.
    before = await client.redis.hgetall(f"conversation:{{0}}:{ID}")
    assert await add_message(client, 2000, id=message_id(2)) == [b"ok"]
    assert await client.redis.hgetall(f"conversation:{{0}}:{ID}") == before
    # Moved to the end, then to the beginning.
    assert await add_message(client, 4000, id=message_id(1), from_contact="0") == [b"ok"]
    found = await hash_of(client, f"conversation:{{0}}:{ID}")
    assert (found["ca"], found["lm"], found["un"]) == (b"2000", b"4000", b"1")
    assert await add_message(client, 500, id=message_id(1)) == [b"ok"]
    found = await hash_of(client, f"conversation:{{0}}:{ID}")
    assert (found["ca"], found["lm"], found["un"]) == (b"500", b"3000", b"2")


async def test_add_message_gives_a_tie_to_the_later_arrival(client: Client) -> None:
    for number in (3, 1, 2):
        await add_message(client, 1000, id=message_id(number))
    assert (await answer(client)).last_message.id == message_id(2)
    # A redelivery is no later arrival.
    await add_message(client, 1000, id=message_id(3), text="again")
    assert (await answer(client)).last_message.id == message_id(2)
    await add_message(client, 1000, id=message_id(2), text="again")
    assert (await answer(client)).last_message.content.struct_value["text"] == "again"


async def test_add_message_creates_the_channel_as_far_as_it_is_known(client: Client) -> None:
    await add_message(client, channel=CHANNEL, source="Twilio.Sms")
    [id, version, stored] = await call(client, "list_channels")
    assert (id.decode(), version) == (CHANNEL, b"0")
    assert channel_pb2.Channel.FromString(stored).source == "Twilio.Sms"
    assert await add_message(client, 2000, id=message_id(2), source="other") == [b"ok"]
    [_, _, unchanged] = await call(client, "list_channels", CHANNEL)
    assert unchanged == stored


async def test_add_message_asks_for_changes_that_its_bytes_do_not_have(client: Client) -> None:
    await call(client, "commit_message_changes", MESSAGE, "0", '{"a":{"drop":true}}')
    assert await add_message(client) == [b"changed", b"1", b'{"a":{"drop":true}}']
    assert await call(client, "get_conversation", ID) is None
    assert await add_message(client, version="1") == [b"ok"]
    assert await client.redis.scard("waiting_messages:{0}") == 0
    assert await add_message(client, version="0") == [b"changed", b"1", b'{"a":{"drop":true}}']


async def test_add_message_takes_up_what_waited(client: Client) -> None:
    await call(client, "add_receipt", ID, 1500, NOW)
    await commit(client, document='{"k":1}', state="OPEN", added=(tag_id(1),))
    assert await client.redis.smembers("waiting:{0}") == {ID.encode()}
    assert await client.redis.exists(f"conversation:{{0}}:{ID}") == 0
    await add_message(client, 1000)
    assert await client.redis.exists(f"early:{{0}}:{ID}") == 0
    await add_message(client, 2000, id=message_id(2))
    assert await client.redis.scard("waiting:{0}") == 0
    found = await answer(client)
    assert found.metadata.unread_count == 1
    assert found.metadata.state == found.metadata.OPEN
    assert list(found.metadata.tags) == [tag_id(1)]


async def test_mark_read(client: Client) -> None:
    assert await call(client, "mark_all_read", ID, 5000) == [b"missing"]
    for number in (1, 2, 3):
        await add_message(client, 1000 * number, id=message_id(number))
    assert await call(client, "add_receipt", ID, 2000, NOW) == [b"ok"]
    assert (await answer(client)).metadata.unread_count == 1
    # The latest time counts.
    assert await call(client, "add_receipt", ID, 1000, NOW) == [b"ok"]
    assert (await hash_of(client, f"conversation:{{0}}:{ID}"))["read"] == b"2000"
    assert (await hash_of(client, "counts:{0}"))["unread"] == b"1"
    # Every message so far, also one ahead of the clock.
    assert await call(client, "mark_all_read", ID, 2500) == [b"ok"]
    assert (await hash_of(client, f"conversation:{{0}}:{ID}"))["read"] == b"3000"
    assert (await answer(client)).metadata.unread_count == 0
    assert (await hash_of(client, "counts:{0}"))["unread"] == b"0"
    assert await add_message(client, 2900, id=message_id(4)) == [b"ok"]
    assert (await answer(client)).metadata.unread_count == 0


async def test_a_receipt_counts_up_to_the_latest_message_or_the_clock(client: Client) -> None:
    for early in (True, False):
        await call(client, "add_receipt", ID, 9_000_000, 5000)
        if early:
            await add_message(client, 6000)
        assert (await answer(client)).metadata.unread_count == (1 if early else 0)
    assert (await hash_of(client, f"conversation:{{0}}:{ID}"))["read"] == b"6000"
    await add_message(client, 6001, id=message_id(2))
    assert (await answer(client)).metadata.unread_count == 1


async def test_a_message_of_one_id_is_in_a_hundred_conversations_at_most(client: Client) -> None:
    for number in range(100):
        assert await add_message(client, conversation=conversation_id(number)) == [b"ok"]
    assert await add_message(client, conversation=conversation_id(0)) == [b"ok"]
    with pytest.raises(InvalidFieldError, match="100 conversations have a message with this id"):
        checked(await add_message(client, conversation=conversation_id(100)))
    assert await call(client, "get_conversation", conversation_id(100)) is None


async def test_change_state(client: Client) -> None:
    assert await call(client, "set_state", ID, "OPEN") == [b"missing"]
    assert await call(client, "remove_state", ID) == [b"missing"]
    await add_message(client)
    for state, expected in (("OPEN", 1), ("CLOSED", 2), ("", 0), ("", 0)):
        args = ("set_state", ID, state) if state else ("remove_state", ID)
        assert await call(client, *args) == [b"ok"]
        metadata = (await answer(client)).metadata
        assert (metadata.state, metadata.HasField("state")) == (expected, expected > 0)
        stored = await client.redis.hget(f"conversation:{{0}}:{ID}", "st")
        assert (stored or b"").decode() == state


async def test_change_tags(client: Client) -> None:
    assert await call(client, "tag_conversation", ID, tag_id(1)) == [b"missing"]
    await add_message(client)
    for number, change, expected in (
        (2, "tag_conversation", [2]),
        (1, "tag_conversation", [1, 2]),
        (1, "tag_conversation", [1, 2]),
        (2, "untag_conversation", [1]),
        (3, "untag_conversation", [1]),
        (1, "untag_conversation", []),
    ):
        assert await call(client, change, ID, tag_id(number)) == [b"ok"]
        assert sorted((await answer(client)).metadata.tags) == [tag_id(one) for one in expected]
        stored = await client.redis.hget(f"conversation:{{0}}:{ID}", "tg")
        assert (stored or b"").decode() == ",".join(tag_id(one) for one in expected)
    await call(client, "ban_tag", tag_id(1))
    assert await call(client, "tag_conversation", ID, tag_id(1)) == [b"deleted"]
    assert await call(client, "untag_conversation", ID, tag_id(1)) == [b"deleted"]


async def test_read_and_commit_document(client: Client) -> None:
    assert await call(client, "read_document", ID) == [b"0", b"", b"0"]
    assert await commit(client, "1") == [b"conflict"]
    assert await commit(client, document='{"k":1}') == [b"ok"]
    assert await call(client, "read_document", ID) == [b"1", b'{"k":1}', b"0"]
    await add_message(client)
    assert await call(client, "read_document", ID) == [b"1", b'{"k":1}', b"1"]
    assert await commit(client, "0") == [b"conflict"]
    contact = conversation_pb2.Contact(display_name="Ada")
    values = {"display_name": "ada", "metadata.k": "v"}
    changes: dict[str, Any] = {"name": contact.SerializeToString(), "name_terms": "nada", "values": values}
    assert await commit(client, "1", **changes, state="OPEN", added=(tag_id(1), tag_id(2)), removed=(tag_id(2),)) == [
        b"ok"
    ]
    found = await answer(client)
    assert found.metadata.contact == contact
    assert list(found.metadata.tags) == [tag_id(1)]
    assert await client.redis.get("column:{0}:0:metadata.k") == b"\nv\n"
    # What is empty goes, "-" removes the state, "*" every tag.
    assert await commit(client, "2", state="-", removed=("*",)) == [b"ok"]
    found = await answer(client)
    assert found.metadata.contact.display_name == "Facebook 00001"
    assert not found.metadata.tags
    assert not found.metadata.HasField("state")
    left = await hash_of(client, f"conversation:{{0}}:{ID}")
    assert [left.get(name, b"") for name in ("name", "avatar", "data", "st", "tg")] == [b""] * 5


async def test_commit_document_leaves_deleted_tags_out(client: Client) -> None:
    await add_message(client)
    await call(client, "ban_tag", tag_id(1))
    assert await commit(client, added=(tag_id(1), tag_id(2))) == [b"ok"]
    assert list((await answer(client)).metadata.tags) == [tag_id(2)]


async def test_get_conversation(client: Client) -> None:
    assert await call(client, "get_conversation", ID) is None
    await commit(client)
    assert await call(client, "get_conversation", ID) is None
    await add_message(client)
    assert (await answer(client)).id == ID


FIRST: dict[str, Any] = {"direction": "older", "at": "", "id": ""}


async def test_list_conversations(client: Client) -> None:
    outcome, reply = await search(client, "list_conversations", **FIRST, limit=5)
    counts = dict.fromkeys((b"total", b"matches", b"unread", b"behind", b"more", b"damaged"), 0)
    assert (outcome, reply) == (b"ok", counts | {b"known": b"", b"places": b"", b"page": b""})
    for number in (1, 2, 3):
        await add_message(client, 1000 * number, id=message_id(number), conversation=conversation_id(number))
    outcome, reply = await search(client, "list_conversations", **FIRST, limit=2)
    assert outcome == b"ok"
    counts |= {b"total": 3, b"matches": 3, b"unread": 3, b"more": 1}
    assert {name: reply[name] for name in counts} == counts
    both = [await call(client, "get_conversation", conversation_id(number)) for number in (3, 2)]
    assert list(split_items(reply[b"page"], 1000)) == both
    sizes = [len(ListConversationsResponse(data=[Conversation.FromString(one)]).SerializeToString()) for one in both]
    places = f"3000 {conversation_id(3)} {sizes[0]} 2000 {conversation_id(2)} {sizes[1]}"
    assert reply[b"places"].decode() == places
    counts |= {b"behind": 1}
    queries: list[dict[str, Any]] = [{}, {"query": BY_SOURCE}]
    for query in queries:
        place: dict[str, Any] = {"direction": "older", "at": "3000", "id": conversation_id(3), "limit": 5}
        _, older = await search(client, "list_conversations", **query, **place)
        assert {name: older[name] for name in counts} == counts | {b"more": 0}
        assert older[b"places"].split()[::3] == [b"2000", b"1000"]
        place = {"direction": "newer", "at": "1000", "id": conversation_id(1), "limit": 1}
        _, newer = await search(client, "list_conversations", **query, **place)
        assert {name: newer[name] for name in counts} == counts
        assert newer[b"places"].split()[::3] == [b"2000"]


async def test_list_sound_conversations_passes_over_what_is_no_place(client: Client) -> None:
    for number in (1, 2, 3):
        await add_message(client, 1000 * number, id=message_id(number), conversation=conversation_id(number))
    await client.redis.zadd("recent:{0}", {"junk": 2500, conversation_id(8): 12.5, conversation_id(9): 2700})
    await client.redis.hset("conversation:{0}:junk", mapping={"lm": 2600, "src": "facebook"})
    await client.redis.hset(f"conversation:{{0}}:{conversation_id(3)}", "tail", "")
    cases: list[tuple[dict[str, Any], list[bytes]]] = [
        ({}, [b"2700", conversation_id(9).encode(), b"0"]),
        ({"query": BY_SOURCE}, []),
    ]
    for query, extra in cases:
        _, reply = await search(client, "list_sound_conversations", **FIRST, limit=5, **query)
        places = reply[b"places"].split()
        assert places[:-6] == [b"3000", conversation_id(3).encode(), b"0", *extra]
        assert places[-6::3] == [b"2000", b"1000"]
        assert reply[b"damaged"] == 1
        _, careless = await search(client, "list_conversations", **FIRST, limit=5, **query)
        assert (careless[b"damaged"], careless[b"page"]) == (1, reply[b"page"])


def known_of(reply: dict[bytes, Any]) -> list[bytes]:
    """Return what is known of a search, without the entry of the log."""
    text: bytes = reply[b"known"]
    return text.split()[1:]


async def test_what_is_known_of_a_search_goes_back_and_forth(client: Client) -> None:
    for number in (1, 2, 3):
        await add_message(client, 1000 * number, id=message_id(number), conversation=conversation_id(number))
    asked: dict[str, Any] = {**FIRST, "limit": 5, "query": BY_SOURCE, "name": "a filter"}
    outcome, reply = await search(client, "list_conversations", **asked)
    newest = [word for number in (3, 2, 1) for word in (b"%d000" % number, conversation_id(number).encode())]
    assert (outcome, known_of(reply)) == (b"ok", [b"3", b"all", b"all", *newest])
    known = reply[b"known"]
    # Nothing new is not said again.
    _, again = await search(client, "list_conversations", known=known, **asked)
    assert (again[b"matches"], again[b"known"]) == (3, b"")
    await add_message(client, 4000, id=message_id(4), conversation=conversation_id(4))
    assert await call(client, "share_known", "a filter", known) == [b"ok"]
    [shared] = await client.redis.keys("known:{0}:*:a filter")
    assert 0 < await client.redis.ttl(shared) <= 600
    for options in ({"known": known}, {}, {"known": b"junk"}):
        _, reply = await search(client, "list_conversations", **options, **asked)
        assert (reply[b"matches"], reply[b"places"].split()[::3]) == (4, [b"4000", b"3000", b"2000", b"1000"])


async def test_count_values(client: Client) -> None:
    await add_message(client)
    await commit(client, values={"metadata.user_data.k": "a b"})
    names = ("metadata.user_data.k", "metadata.user_data.none", "display_name")
    assert await call(client, "count_values", *names) == [1, 0, 1]


async def test_count_cost(client: Client) -> None:
    await add_message(client)
    outcome, reply = await search(client, "count_cost", query=BY_SOURCE)
    assert outcome == b"ok"
    assert 0 <= float(reply[b"ms"]) < 1000


async def test_list_places(client: Client) -> None:
    asked: dict[str, Any] = {"at": "", "id": ""}
    assert await search(client, "list_places", skipped=0, limit=5, **asked) == (b"ok", {b"places": b""})
    for number in (1, 2, 3):
        await add_message(client, 1000, id=message_id(number), conversation=conversation_id(number))
    places = [f"1000 {conversation_id(number)}" for number in (3, 2, 1)]
    queries: list[dict[str, Any]] = [{}, {"query": BY_SOURCE}]
    for query in queries:
        for skipped, limit, expected in ((0, 5, places), (1, 1, places[1:2]), (3, 1, [])):
            outcome, reply = await search(client, "list_places", skipped=skipped, limit=limit, **asked, **query)
            assert (outcome, reply) == (b"ok", {b"places": " ".join(expected).encode()})
    place: dict[str, Any] = {"at": "1000", "id": conversation_id(3)}
    _, reply = await search(client, "list_places", skipped=0, limit=5, query=BY_SOURCE, **place)
    assert reply == {b"places": " ".join(places[1:]).encode()}


async def test_read_and_commit_message_changes(client: Client) -> None:
    assert await call(client, "read_message_changes", MESSAGE) == [b"0", b""]
    assert await call(client, "commit_message_changes", MESSAGE, "1", "{}") == [b"conflict"]
    assert await call(client, "commit_message_changes", MESSAGE, "0", '{"a":1}') == [b"ok"]
    assert await client.redis.smembers("waiting_messages:{0}") == {MESSAGE.encode()}
    assert await call(client, "read_message_changes", MESSAGE) == [b"1", b'{"a":1}']
    await add_message(client, version="1")
    old, new = message_bytes(), message_bytes("changed")
    assert await call(client, "read_message_changes", MESSAGE) == [b"1", b'{"a":1}', ID.encode(), old]
    # The message came in meanwhile, or with other bytes, or the version is old.
    assert await call(client, "commit_message_changes", MESSAGE, "1", "{}") == [b"conflict"]
    assert await call(client, "commit_message_changes", MESSAGE, "1", "{}", ID, new, new) == [b"conflict"]
    assert await call(client, "commit_message_changes", MESSAGE, "0", "{}", ID, old, new) == [b"conflict"]
    assert await call(client, "commit_message_changes", MESSAGE, "1", "{}", ID, old, new) == [b"ok"]
    assert (await answer(client)).last_message.SerializeToString() == new
    # In a second conversation as well.
    await add_message(client, version="2", conversation=OTHER, text="changed")
    version, _, *found = await call(client, "read_message_changes", MESSAGE)
    assert version == b"2"
    assert dict(zip(found[::2], found[1::2], strict=True)) == {ID.encode(): new, OTHER.encode(): new}
    assert await call(client, "commit_message_changes", MESSAGE, "2", "{}", ID, new, old) == [b"conflict"]
    both = (ID, new, old, OTHER, new, old)
    assert await call(client, "commit_message_changes", MESSAGE, "2", "{}", *both) == [b"ok"]


async def test_list_messages(client: Client) -> None:
    assert await call(client, "list_messages", ID, "older", "", "", 5, 0) == []
    for number in (1, 2, 3):
        await add_message(client, 1000 * number, id=message_id(number))
    places = [f"{number:010d}{message_id(number)}".encode() for number in (1, 2, 3)]
    reply = await call(client, "list_messages", ID, "older", "", "", 2, 0)
    assert reply[:3] == [3, 0, 1]
    assert reply[3::3] == [b"3000", b"2000"]
    assert reply[4::3] == [places[2], places[1]]
    assert list(split_items(reply[5], 1000)) == [message_bytes(id=message_id(3))]
    reply = await call(client, "list_messages", ID, "older", "", "", 5, 1)
    assert reply[:4] == [3, 1, 0, b"2000"]
    reply = await call(client, "list_messages", ID, "older", "2000", places[1], 5, 0)
    assert (reply[:3], reply[3::3]) == ([3, 2, 0], [b"1000"])
    reply = await call(client, "list_messages", ID, "newer", "1000", places[0], 1, 0)
    assert (reply[:3], reply[3::3]) == ([3, 1, 1], [b"2000"])


async def test_read_and_write_channel(client: Client) -> None:
    assert await call(client, "read_channel", CHANNEL) == [b"0", b"", b"", b"", b""]
    head = channel_pb2.Channel(id=CHANNEL, source="x").SerializeToString()
    shown = channel_pb2.Channel(metadata={}).SerializeToString()
    assert await call(client, "write_channel", CHANNEL, 2, "home", head, "x", shown, "1", "{}", "{}") == [b"conflict"]
    assert await call(client, "write_channel", CHANNEL, 1, "home", b"", "", shown, "1", "", '{"a":1}') == [b"ok"]
    assert await call(client, "read_channel", CHANNEL) == [b"1", b"", b'{"a":1}', b"", b""]
    # Changes alone make no channel.
    assert await call(client, "list_channels") == []
    assert await call(client, "list_channels", CHANNEL) == []
    assert await call(client, "write_channel", CHANNEL, 1, "home", head, "x", shown, "1", "{}", "{}") == [b"conflict"]
    assert await call(client, "write_channel", CHANNEL, 2, "home", head, "x", shown, "1", "{}", "{}") == [b"ok"]
    named = channel_pb2.Channel(metadata={"name": f"X {CHANNEL[-5:]}"}).SerializeToString()
    assert await call(client, "list_channels") == [CHANNEL.encode(), b"2", head + named]
    # A copy takes any newer version, and no older one.
    assert await call(client, "write_channel", CHANNEL, 9, "copy", b"", "", shown, "1", "{}", '{"b":1}') == [b"ok"]
    assert await call(client, "write_channel", CHANNEL, 5, "copy", b"", "", shown, "1", "{}", '{"c":1}') == [b"ok"]
    assert await call(client, "read_channel", CHANNEL) == [b"9", b"{}", b'{"b":1}', head, b"x"]
    assert await call(client, "list_channels", message_id(1)) == []


async def test_adopt_source(client: Client) -> None:
    ids = [conversation_id(number) for number in range(1, 4)]
    for number, id in enumerate(ids, 1):
        await add_message(client, id=message_id(number), conversation=id, source="twilio.sms")
    assert await call(client, "adopt_source", CHANNEL, 0, 2, "other") == [0, 0]
    head = channel_pb2.Channel(id=CHANNEL, source="a-b.C").SerializeToString()
    shown = channel_pb2.Channel(metadata={}).SerializeToString()
    written = await call(client, "write_channel", CHANNEL, 1, "home", head, "a-b.C", shown, "1", "{}", "{}")
    assert written == [b"ok", b"other"]
    await client.redis.hset(f"conversation:{{0}}:{ids[0]}", "tail", "junk")
    # Redis has indexed the damaged one last.
    assert await call(client, "adopt_source", CHANNEL, 0, 2, "other") == [2, 0]
    assert await call(client, "adopt_source", CHANNEL, 0, 2, "other") == [1, 1, ids[0].encode()]
    assert await call(client, "adopt_source", CHANNEL, 1, 2, "other") == [0, 1]
    assert (await hash_of(client, f"conversation:{{0}}:{ids[1]}"))["src"] == b"a-b.C"
    assert (await answer(client, ids[1])).metadata.contact.display_name == f"C {ids[1][-5:]}"
    # What comes later has it at once, and the message keeps its own.
    await add_message(client, 2000, id=message_id(4), conversation=conversation_id(4), source="twilio.sms")
    assert (await hash_of(client, f"conversation:{{0}}:{conversation_id(4)}"))["src"] == b"a-b.C"

    written = await call(client, "write_channel", CHANNEL, 2, "home", head, "A-B.c", shown, "1", "{}", "{}")
    assert written == [b"ok", b"case"]
    looked_at, passed, some_damaged = 1, 0, []
    while looked_at:
        looked_at, passed, *more = await call(client, "adopt_source", CHANNEL, passed, 2, "case")
        some_damaged += more
    assert (passed, some_damaged) == (4, [ids[0].encode()])
    assert (await answer(client, ids[2])).metadata.contact.display_name == f"C {ids[2][-5:]}"
    assert (await hash_of(client, f"conversation:{{0}}:{ids[2]}"))["src"] == b"A-B.c"


async def test_create_tag(client: Client) -> None:
    assert await call(client, "create_tag", tag_id(1), b"one") == b"one"
    assert await call(client, "create_tag", tag_id(1), b"two") == b"one"
    assert await call(client, "list_tags") == [tag_id(1).encode(), b"one"]
    await client.redis.delete(f"tag:{{0}}:{tag_id(1)}")
    await client.redis.sadd(f"tag:{{0}}:{tag_id(1)}", "x")
    with pytest.raises(DamagedRecordError):
        checked(await call(client, "create_tag", tag_id(1), b"one"))


async def test_tags(client: Client) -> None:
    id = tag_id(1)
    assert await call(client, "get_tag", id) is None
    assert await call(client, "list_tags") == []
    assert await call(client, "put_tag", id, b"one") == [b"ok"]
    assert await call(client, "get_tag", id) == b"one"
    assert await call(client, "replace_tag", id, b"other", b"two") == [b"conflict"]
    assert await call(client, "replace_tag", id, b"one", b"two") == [b"ok"]
    assert await call(client, "replace_tag", tag_id(2), b"", b"two") == [b"conflict"]
    assert await call(client, "list_tags") == [id.encode(), b"two"]
    await client.redis.sadd("tags:{0}", tag_id(3))
    assert dict(zip(*[iter(await call(client, "list_tags"))] * 2, strict=True))[tag_id(3).encode()] == b""
    await client.redis.srem("tags:{0}", tag_id(3))
    assert await call(client, "remove_tag", id) == [b"ok"]
    assert await call(client, "remove_tag", id) == [b"ok"]
    assert await call(client, "list_tags") == []


async def test_ban_and_clear_tag(client: Client) -> None:
    id = tag_id(1)
    for number in (1, 2, 3):
        await add_message(client, id=message_id(number), conversation=conversation_id(number))
        await call(client, "tag_conversation", conversation_id(number), id)
    assert await call(client, "ban_tag", id) == [b"ok"]
    assert await client.redis.smembers("deleted_tags:{0}") == {id.encode()}
    await client.redis.hset(f"conversation:{{0}}:{OTHER}", "seq", "junk")
    assert await call(client, "clear_tag", id, 0, 2) == [2, 0]
    assert await call(client, "clear_tag", id, 0, 2) == [1, 1, OTHER.encode()]
    assert await call(client, "clear_tag", id, 1, 2) == [0, 1]
    await client.redis.hset(f"conversation:{{0}}:{OTHER}", "seq", "1")
    assert await call(client, "clear_tag", id, 0, 2) == [1, 0]
    assert not (await answer(client)).metadata.tags
    assert await call(client, "unban_tag", id) == [b"ok"]
    assert await client.redis.scard("deleted_tags:{0}") == 0


async def test_clear_waiting_tag(client: Client) -> None:
    await commit(client, added=(tag_id(1), tag_id(2)))
    await client.redis.sadd("waiting:{0}", OTHER)
    await client.redis.set(f"early:{{0}}:{OTHER}", "junk")
    assert await call(client, "clear_waiting_tag", tag_id(1)) == [OTHER.encode()]
    await client.redis.srem("waiting:{0}", OTHER)
    assert await client.redis.hget(f"early:{{0}}:{ID}", "tg") == tag_id(2).encode()
    assert await call(client, "clear_waiting_tag", tag_id(2)) == []
    assert await client.redis.hget(f"early:{{0}}:{ID}", "tg") == b""


async def test_what_an_export_reads(client: Client, store: Store) -> None:
    assert await call(client, "count_conversations") == 0
    assert await call(client, "scan_ids", "conversations", "0", 10) == [b"0", []]
    await apply(store, message(1, 1), tag(1), metadata(1, k=1, state="OPEN", tags={tag_id(1): ""}), metadata(2, k=2))
    await call(client, "add_receipt", ID, 7, NOW)
    await call(client, "commit_message_changes", message_id(2), "0", "{}")
    assert await call(client, "count_conversations") == 2
    for kind, id in (("conversations", ID), ("waiting", OTHER), ("messages", message_id(2)), ("channels", CHANNEL)):
        assert await call(client, "scan_ids", kind, "0", 10) == [b"0", [id.encode()]]
    assert await call(client, "read_conversation", ID) == [b'{"k":1}', b"OPEN", tag_id(1).encode(), b"7"]
    assert await call(client, "read_conversation", OTHER) == [b'{"k":2}', b"", b"", b""]
    assert await call(client, "read_conversation", conversation_id(3)) == [b"", b"", b"", b""]
    [at, place, channel, stored, changes] = await call(client, "read_messages", ID, "", "", 10)
    assert (channel.decode(), changes) == (CHANNEL, b"")
    assert message_pb2.Message.FromString(stored).id == message_id(1)
    assert await call(client, "read_messages", ID, at, place, 10) == []


async def test_read_messages_in_order_and_in_pieces(client: Client) -> None:
    for number in (1, 2, 3):
        await add_message(client, 1000 - number, id=message_id(number))
    await call(client, "commit_message_changes", message_id(1), "0", "{}", ID, *(message_bytes(id=message_id(1)),) * 2)
    first = await call(client, "read_messages", ID, "", "", 2)
    rest = await call(client, "read_messages", ID, *first[-5:-3], 2)
    ids = [message_pb2.Message.FromString(stored).id for stored in (*first[3::5], *rest[3::5])]
    assert ids == [message_id(3), message_id(2), message_id(1)]
    assert rest[4] == b"{}"


@pytest.mark.parametrize("kind", ["conversations", "waiting", "messages", "channels"])
async def test_scan_ids_goes_over_all_of_them(client: Client, kind: str) -> None:
    keys = {"conversations": "recent", "waiting": "waiting", "messages": "waiting_messages", "channels": "channels"}
    ids = {message_id(number) for number in range(1000)}
    key = keys[kind] + ":{0}"
    if kind == "conversations":
        await client.redis.zadd(key, dict.fromkeys(ids, 1))
    else:
        await client.redis.sadd(key, *ids)
    found, cursor = set(), b"0"
    while True:
        cursor, some = await call(client, "scan_ids", kind, cursor, 100)
        found |= {id.decode() for id in some}
        if cursor == b"0":
            break
    assert found == ids
