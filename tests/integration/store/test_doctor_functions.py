"""Each function of the doctor finds and repairs what its header says, and the one that only looks changes nothing."""

from collections.abc import Mapping
from typing import Any

from tests.integration.store.events import CHANNEL, conversation_id, message_id, tag_id
from tests.integration.store.test_functions import add_message, call, commit

from conversations.store.client import Client
from conversations.store.documents import document_parts
from conversations.store.functions import by_name, packed

ID, OTHER = conversation_id(1), conversation_id(2)
MESSAGE = message_id(1)
HASH, ORDER, UNREAD = (f"{kind}:{{0}}:{ID}" for kind in ("conversation", "order", "unread"))
PLACE = f"0000000001{MESSAGE}"


async def finds(client: Client, checks: str, repairs: str, *args: str | bytes | int) -> Any:
    """Return what both of a pair find, which is the same; the first changes nothing, after the second all is well."""
    before = {key: await client.redis.dump(key) for key in await client.redis.keys("*")}
    found = await call(client, checks, *args)
    assert {key: await client.redis.dump(key) for key in await client.redis.keys("*")} == before
    assert sorted(map(str, await call(client, repairs, *args))) == sorted(map(str, found))
    return found


async def test_shared_keys(client: Client) -> None:
    assert await call(client, "check_shared_keys") == []
    await client.redis.set("recent:{0}", "junk")
    await client.redis.xadd("changes:{0}", {"key": "x"}, id="18446744073709551615-5")
    assert sorted(await finds(client, "check_shared_keys", "repair_shared_keys")) == [b"changes", b"recent"]
    assert await call(client, "check_shared_keys") == []
    assert await client.redis.get("damaged:{0}:recent:{0}") == b"junk"
    # Another one of the same name loses nothing.
    await client.redis.set("recent:{0}", "again")
    await call(client, "repair_shared_keys")
    assert len(await client.redis.keys("damaged:{0}:recent:{0}*")) == 2


async def test_key_record_and_fields(client: Client) -> None:
    assert await call(client, "repair_key", HASH) == [b"gone"]
    assert await call(client, "read_record", "conversation", ID) == [b"none"]
    await client.redis.hset(HASH, mapping={"a": "1", "b": "2"})
    assert await call(client, "read_record", "conversation", ID) == [b"hash", b"a", b"1", b"b", b"2"]
    fields = ("conversation", ID, "a", "1", "7", "b", "2", "", "c", "", "3")
    assert await call(client, "repair_fields", *fields) == [b"ok"]
    assert await client.redis.hgetall(HASH) == {b"a": b"7", b"c": b"3"}
    assert await client.redis.hgetall(f"damaged:{{0}}:{HASH}:fields") == {b"a": b"1", b"b": b"2"}
    assert await call(client, "repair_fields", *fields) == [b"conflict"]
    assert await call(client, "repair_key", HASH) == [b"ok"]
    assert await client.redis.hgetall(f"damaged:{{0}}:{HASH}") == {b"a": b"7", b"c": b"3"}
    await client.redis.set(f"tag:{{0}}:{tag_id(1)}", "x")
    assert await call(client, "read_record", "tag", tag_id(1)) == [b"string", b"x"]


async def test_message(client: Client) -> None:
    pair = ("check_message", "repair_message", MESSAGE)
    assert await finds(client, *pair) == []
    await add_message(client)
    assert await finds(client, *pair) == []
    await client.redis.zadd(ORDER, {PLACE: 7})
    assert await finds(client, *pair) == [b"order", ID.encode()]
    await client.redis.delete(UNREAD)
    assert await finds(client, *pair) == [b"unread", ID.encode()]
    await client.redis.hset(HASH, "read", "5000")
    assert await finds(client, *pair) == [b"unread", ID.encode()]
    await client.redis.delete(f"channel:{{0}}:{CHANNEL}")
    assert await finds(client, *pair) == [b"channel", CHANNEL.encode()]
    await client.redis.sadd("waiting_messages:{0}", MESSAGE)
    assert await finds(client, *pair) == [b"waiting", MESSAGE.encode()]
    assert await finds(client, *pair) == []
    assert await client.redis.zrange(ORDER, 0, -1, withscores=True) == [(PLACE.encode(), 1000.0)]
    assert await client.redis.exists(UNREAD) == 0
    await client.redis.delete(ORDER)
    await client.redis.set(ORDER, "junk")
    assert await finds(client, *pair) == [b"order", ID.encode()]
    assert await client.redis.zcard(ORDER) == 1


async def test_places(client: Client) -> None:
    for number in (1, 2, 3):
        await add_message(client, 1000 * number, id=message_id(number))
    assert await call(client, "check_places", ID, "order", 0, 2) == [b"2", b"0000000002"]
    assert await call(client, "check_places", ID, "order", "2", 2) == [b"", b"0000000003"]
    assert await call(client, "check_places", ID, "unread", 0, 3) == [b"3", b"0"]
    assert await call(client, "check_places", OTHER, "order", 0, 2) == [b"", b"0"]
    strays = {"junk": 5, f"0000000009{message_id(3)}": 3000, f"0000000002{message_id(2)}": 7}
    await client.redis.zadd(ORDER, strays)
    await client.redis.zadd(UNREAD, {message_id(9): 1, message_id(1): 1})
    found = await finds(client, "check_places", "repair_places", ID, "order", 0, 9)
    assert found[:2] == [b"", b"0000000003"]
    assert {member.decode() for member in found[2:]} == set(strays)
    found = await finds(client, "check_places", "repair_places", ID, "unread", 0, 9)
    assert set(found[2:]) == {message_id(9).encode(), message_id(1).encode()}
    assert await client.redis.zcard(ORDER) == 2
    # What was removed stands before the next ones no more.
    await client.redis.zadd(ORDER, {"a": 1, "b": 2})
    assert (await call(client, "repair_places", ID, "order", 0, 3))[0] == b"1"


async def facts(
    client: Client, *without: str, values: Mapping[str, str] | None = None, row: str = ""
) -> tuple[str, bytes]:
    """Arguments for the conversation as it is, without some of its facts."""
    stored = {name.decode(): value for name, value in by_name(await call(client, "read_facts", ID)).items()}
    clean = {name: value for name, value in stored.items() if name not in without}
    parts = document_parts({}) | {"values": values or {}, "names": list(values or {}), "row": row}
    return ID, packed({"old": stored, "new": clean, "highest": "0000000002", **parts})


async def test_facts_and_conversation(client: Client) -> None:
    pair = ("check_conversation", "repair_conversation")
    assert await call(client, "read_facts", ID) == [b"none"]
    assert await finds(client, *pair, *await facts(client)) == [b"ok"]
    await commit(client, document='{"k":1}', state="OPEN", added=(tag_id(1),), values={"metadata.k": "1"})
    kind, *flat = await call(client, "read_facts", ID)
    assert kind == b"early"
    assert by_name([kind, *flat]) == {b"ver": b"1", b"doc": b'{"k":1}', b"st": b"OPEN", b"tg": tag_id(1).encode()}
    values = {"metadata.k": "1"}
    assert await finds(client, *pair, *await facts(client, values=values)) == [b"ok"]
    await client.redis.hset(f"early:{{0}}:{ID}", "values", "junk")
    assert await finds(client, *pair, *await facts(client, values=values)) == [b"ok", b"shown", b"values"]
    await client.redis.delete("waiting:{0}")
    assert await finds(client, *pair, *await facts(client, values=values)) == [b"ok", b"waiting", b""]
    await add_message(client)
    await add_message(client, 2000, id=message_id(2))
    assert await finds(client, *pair, *await facts(client, values=values)) == [b"ok"]
    await client.redis.hset(HASH, mapping={"tail": "junk", "seq": "x", "strange": "x"})
    await client.redis.zadd("recent:{0}", {ID: 5})
    await client.redis.delete("column:{0}:0:metadata.k")
    await client.redis.hset(f"early:{{0}}:{ID}", "read", "7")
    assert await finds(client, *pair, *await facts(client, values=values)) == [
        *(b"ok", b"shown", b"seq strange tail", b"listed", b"", b"early", b"", b"columns", b"")
    ]
    assert await finds(client, *pair, *await facts(client, values=values)) == [b"ok"]
    args = await facts(client, values=values)
    await client.redis.hset(HASH, "st", "junk")
    assert await finds(client, *pair, *args) == [b"conflict"]
    assert (await finds(client, *pair, *await facts(client, "st", values=values)))[:3] == [b"ok", b"facts", b""]
    assert await client.redis.hget(f"damaged:{{0}}:{HASH}:fields", "st") == b"junk"
    # Its hash, the latest message, then all of them.
    await client.redis.delete(HASH)
    assert await finds(client, *pair, *await facts(client)) == [b"ok", b"lost", b""]
    assert (await client.redis.hget(HASH, "seq")) == b"2"
    await client.redis.delete(f"message:{{0}}:{message_id(2)}")
    assert await finds(client, *pair, *await facts(client)) == [b"ok", b"latest", b""]
    await client.redis.delete(ORDER)
    await client.redis.hset(HASH, "st", "OPEN")
    assert await finds(client, *pair, *await facts(client)) == [b"ok", b"empty", b"", b"waiting", b""]
    assert await finds(client, *pair, *await facts(client)) == [b"ok"]
    await client.redis.set(HASH, "junk")
    assert await finds(client, *pair, *await facts(client)) == [b"ok", b"type", HASH.encode()]


async def test_members_and_membership(client: Client) -> None:
    await add_message(client)
    await client.redis.zadd("recent:{0}", {OTHER: 5, "junk": 6})
    found = await finds(client, "check_members", "repair_members", "recent", ID, OTHER, "junk", "other")
    assert sorted(found) == [OTHER.encode(), b"junk"]
    assert await client.redis.zrange("recent:{0}", 0, -1) == [ID.encode()]
    await client.redis.sadd("deleted_tags:{0}", tag_id(1), "junk")
    assert await finds(client, "check_members", "repair_members", "deleted_tags", tag_id(1), "junk") == [b"junk"]
    await client.redis.delete("channels:{0}")
    pair = ("check_membership", "repair_membership", "channels", CHANNEL, tag_id(9))
    assert await finds(client, *pair) == [CHANNEL.encode()]
    assert await finds(client, *pair) == []


async def test_a_row_is_taken_again(client: Client) -> None:
    """The one where its id stands, then its own if that is free, then another one."""
    await add_message(client, id=message_id(2), conversation=OTHER)
    await add_message(client)
    await add_message(client, 2000, id=message_id(3))
    pair, fault = ("check_conversation", "repair_conversation"), [b"ok", b"columns", b""]
    assert await finds(client, *pair, *await facts(client, row="1")) == [b"ok"]
    await client.redis.hset(HASH, "row", "0")
    assert await finds(client, *pair, *await facts(client, row="1")) == fault
    assert await client.redis.hget(HASH, "row") == b"1"
    await client.redis.setrange("column:{0}:0:id", 38, b" " * 36)
    assert await finds(client, *pair, *await facts(client)) == fault
    assert await client.redis.hget(HASH, "row") == b"1"
    await client.redis.set("column:{0}:0:id", f"\n{OTHER}\n")
    assert await finds(client, *pair, *await facts(client)) == fault
    assert await client.redis.get("column:{0}:0:id") == f"\n{OTHER}\n{ID}\n".encode()
    await client.redis.hset(HASH, "row", "junk")
    assert await finds(client, *pair, *await facts(client)) == fault
    assert await client.redis.hget(HASH, "row") == b"2"
    # The row before is left.
    assert await client.redis.hget("counts:{0}", "rows") == b"3"


async def test_block(client: Client) -> None:
    pair = ("check_block", "repair_block")
    assert await finds(client, *pair, "id", 0) == [b"ok"]
    await add_message(client)
    assert await finds(client, *pair, "id", 0) == [b"ok"]
    await client.redis.hdel(HASH, "row")
    assert await finds(client, *pair, "id", 0) == [b"ok", b"0", ID.encode()]
    assert await finds(client, *pair, "display_name", 0) == [b"ok"]
    text = b"\n" + 257 * b"x\n"
    for number, (name, bad) in enumerate(
        [("id", "\n" + ID), ("id", "\nx\n"), ("metadata.k", "x"), ("metadata.k", text), ("created_at", "\n15\n")]
    ):
        await client.redis.set(f"column:{{0}}:{number}:{name}", bad)
        assert await finds(client, *pair, name, number) == [b"text"]
        assert await finds(client, *pair, name, number) == [b"ok"]
    await client.redis.lpush("column:{0}:8:metadata.k", "x")
    assert await finds(client, *pair, "metadata.k", 8) == [b"type"]
    assert len(await client.redis.keys("damaged:{0}:column:*")) == 6


async def test_rows(client: Client) -> None:
    pair = ("check_rows", "repair_rows")
    assert await call(client, "read_rows") == [b"0"]
    assert await finds(client, *pair) == []
    await add_message(client)
    await add_message(client, id=message_id(2), conversation=OTHER)
    assert await finds(client, *pair, 0) == []
    await client.redis.hset("counts:{0}", "rows", "7")
    assert await call(client, "read_rows") == [b"2"]
    assert await finds(client, *pair, 0) == [b"7", b"2"]
    await client.redis.hdel("counts:{0}", "rows")
    assert await finds(client, *pair, 0) == [b"", b"2"]
    # The ids of conversations that have other rows do not count.
    await client.redis.copy("column:{0}:0:id", "column:{0}:9:id")
    await client.redis.hset("counts:{0}", "rows", "2307")
    assert await finds(client, *pair, 9, 0) == [b"2307", b"2"]
    await client.redis.delete("column:{0}:0:id", "column:{0}:9:id")
    assert await finds(client, *pair) == [b"2", b"0"]


async def test_values_and_their_number(client: Client) -> None:
    pair = ("check_values", "repair_values")
    await add_message(client)
    await add_message(client, id=message_id(2), conversation=OTHER)
    assert {b"created_at", b"display_name", b"id"} <= set(await call(client, "read_columns"))
    for name in ("id", "display_name"):
        assert await finds(client, *pair, name, 0, "", 0) == [b"2", b"2", b""]
    assert await finds(client, *pair, "id", 0, "", 1) == [b"2", b"1", b""]
    await client.redis.set("column:{0}:0:metadata.k", "\nx\n")
    assert await finds(client, *pair, "metadata.k", 0, "xnone", 0) == [b"", b"1", b"", ID.encode()]
    assert await client.redis.exists("column:{0}:0:metadata.k") == 0
    # An id behind the last one, with a name; then the last conversation is gone.
    await client.redis.append("column:{0}:0:id", f"{ID}\n")
    await client.redis.append("column:{0}:0:display_name", "x\n")
    await client.redis.hset("counts:{0}", "rows", "3")
    assert await finds(client, *pair, "display_name", 0, "", 0) == [b"2", b"3", b"", ID.encode()]
    assert await finds(client, *pair, "id", 0, "", 0) == [b"2", b"3", b"", ID.encode()]
    assert await client.redis.get("column:{0}:0:id") == f"\n{ID}\n{OTHER}\n".encode()
    assert await client.redis.hget("counts:{0}", "rows") == b"2"
    await client.redis.delete(f"conversation:{{0}}:{OTHER}", f"order:{{0}}:{OTHER}")
    assert (await finds(client, *pair, "id", 0, "", 0))[1:] == [b"2", b"", OTHER.encode()]
    assert await client.redis.hget("counts:{0}", "rows") == b"1"
    await client.redis.delete(HASH, ORDER)
    assert (await finds(client, *pair, "id", 0, "", 0))[1:] == [b"1", b"", ID.encode()]
    assert await client.redis.hget("counts:{0}", "rows") == b"0"
    assert await client.redis.exists("column:{0}:0:id") == 0
    await client.redis.hset("columns:{0}", "metadata.k", "7")
    assert await call(client, "repair_size", "metadata.k", "8", "3") == [b"conflict"]
    assert await call(client, "repair_size", "metadata.k", "7", "3") == [b"ok"]
    assert await client.redis.hget("columns:{0}", "metadata.k") == b"3"
    assert await call(client, "repair_size", "metadata.k", "3", "0") == [b"ok"]
    assert await client.redis.hexists("columns:{0}", "metadata.k") is False


async def test_long_value(client: Client) -> None:
    pair = ("check_long_value", "repair_long_value")
    await add_message(client)
    await commit(client, values={"metadata.k": 300 * "x"})
    key = "long_value:{0}:0:metadata.k"
    assert await client.redis.get(key) == 300 * b"x"
    assert await finds(client, *pair, "metadata.k", 0) == []
    await client.redis.copy(key, "long_value:{0}:1:metadata.k")
    assert await finds(client, *pair, "metadata.k", 1) == [b"stray"]
    assert await client.redis.exists("long_value:{0}:1:metadata.k") == 0
    await client.redis.delete(key)
    await client.redis.lpush(key, "x")
    assert await finds(client, *pair, "metadata.k", 0) == [b"type"]
    assert await finds(client, *pair, "metadata.k", 0) == []


async def test_indexed_and_counts(client: Client) -> None:
    assert await finds(client, "check_counts", "repair_counts") == []
    assert await call(client, "count_sets") == [0, b"0", b""]
    await add_message(client)
    await add_message(client, id=message_id(2), conversation=OTHER)
    assert await call(client, "count_sets") == [2, b"2", b"2"]
    assert await finds(client, "check_indexed", "repair_indexed", ID, OTHER, MESSAGE) == []
    await client.redis.hset(HASH, "ca", "junk")
    assert await finds(client, "check_indexed", "repair_indexed", ID, OTHER) == [ID.encode()]
    assert await finds(client, "check_counts", "repair_counts") == [b"2", b"1"]
    assert await finds(client, "check_counts", "repair_counts") == []
    await client.redis.hset("counts:{0}", "unread", "junk")
    assert await finds(client, "check_counts", "repair_counts") == [b"junk", b"1"]
