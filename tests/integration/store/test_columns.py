"""Columns: what one worker writes another finds at once, and nothing is left of a value that is gone."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.integration.store.conftest import OpenStore, until_set_up
from tests.integration.store.events import (
    CHANNEL,
    apply,
    channel,
    conversation_id,
    find,
    ids_of,
    message,
    metadata,
    named,
    page,
    tag,
    tag_id,
    uuid,
)
from tests.pieces import Cut, cut_into_pieces

from conversations.errors import OutOfTimeError
from conversations.store import Store
from conversations.store.client import Client

OTHER_CHANNEL = uuid("o", 1)
LONG_WORD = "wort" * 30
MANY_WORDS = " ".join(f"a{number}" for number in range(200))


@pytest.fixture(params=[Cut.WHOLE, Cut.NO_INDEX], ids=lambda cut: cut.value, autouse=True)
def cut(request: pytest.FixtureRequest) -> Iterator[Cut]:
    """Filters are answered by the index and by looking at conversations, or by the columns alone."""
    with cut_into_pieces(request.param):
        yield request.param


async def matches(store: Store, filters: str) -> set[int]:
    """Return the numbers of the conversations that match, in pages that every cut allows."""
    cursor, found = "", set()
    while True:
        one = await page(store, filters, cursor, 10)
        found |= {int(id[:8], 16) for id in ids_of(one)}
        cursor = one.next_cursor
        if not cursor:
            assert one.filtered_total == len(found)
            return found


async def column(client: Client, name: str, block: int = 0) -> list[str] | None:
    """Return the values in a block of a column; None if there is no block."""
    text = await client.redis.get(f"column:{{0}}:{block}:{name}")
    if text is None:
        return None
    assert (text[:1], text[-1:]) == (b"\n", b"\n")
    return [line.decode("utf-8", "replace").rstrip() for line in text[1:-1].split(b"\n")]


async def sizes(client: Client) -> dict[str, int]:
    return {name.decode(): int(size) for name, size in (await client.redis.hgetall("columns:{0}")).items()}


async def test_a_worker_finds_what_another_wrote_at_once(opened: OpenStore) -> None:
    writer, reader = await opened(partitions=4), await opened()
    for number in range(1, 30):
        await apply(writer, message(number, number), named(number, f"ada{number} x"))
        assert await matches(reader, "display_name:ada*") == set(range(1, number + 1))
        assert await matches(reader, f"display_name:*{number}~ OR display_name:/ada{number}/") >= {number}


@pytest.mark.parametrize(
    "filters",
    [
        "id:00000001-*63-*",
        "id:*000000001",
        "channel_id:318*",
        "source:face*",
        "source:facebok~",
        "state:o*",
        "state:[a TO p]",
        "display_name:*ove*",
        "display_name:lovelacs~",
        "display_name:/l.*e/",
        "tag_ids:00000005-*",
        "tag_ids:*5",
        "metadata.contact.display_name:lov*",
        "metadata.user_data.k:v?lue",
        "metadata.user_data.n:[1 TO 2]",
        "metadata.user_data.list:*b",
        "metadata.user_data.list:a*",
        "metadata.user_data.list:*",
    ],
)
async def test_every_field_can_be_searched_by_patterns(any_store: Store, filters: str) -> None:
    await apply(any_store, message(2, 2, source="other", channel_id=OTHER_CHANNEL), message(1, 1), tag(5))
    await apply(
        any_store,
        metadata(
            1,
            state="OPEN",
            contact={"display_name": "Ada Lovelace"},
            tags={tag_id(5): ""},
            user_data={"k": "Value", "n": 12, "list": ["a", "b"]},
        ),
    )
    assert await matches(any_store, filters) == {1}
    assert await matches(any_store, f"NOT {filters}") == {2}


@pytest.mark.parametrize(
    "filters",
    [
        "metadata.state:open",
        "metadata.state:*",
        "metadata.state:o*",
        "metadata.state:*pe?",
        "metadata.state:opne~",
        "metadata.state:[o TO p]",
        "metadata.state:/op.*/",
    ],
)
async def test_the_state_is_a_leaf_of_the_metadata_too(any_store: Store, filters: str) -> None:
    await apply(any_store, message(1, 1), metadata(1, state="OPEN"), message(2, 2), metadata(2, state="CLOSED"))
    expected = {1, 2} if filters.endswith(":*") else {1}
    assert await matches(any_store, filters) == expected
    await apply(any_store, metadata(1, state=None))
    assert await matches(any_store, filters) == expected - {1}


async def test_the_words_of_the_default_name_are_found_by_patterns(any_store: Store) -> None:
    await apply(any_store, message(0xABC, 1, source="twilio.sms"))
    for filters in ("display_name:sm*", "display_name:*0abc", "display_name:sns~", "display_name:[sm TO sn]"):
        assert await matches(any_store, filters) == {0xABC}
    # A default name is no metadata.
    assert await matches(any_store, "metadata.contact.display_name:sm*") == set()
    await apply(any_store, message(0xABC, 2, 2, source="facebook"))
    assert await matches(any_store, "display_name:sm*") == set()
    assert await matches(any_store, "display_name:faceb*") == {0xABC}
    await apply(any_store, named(0xABC, "Ada"), message(0xABC, 3, 3, source="twilio.sms"))
    assert await matches(any_store, "display_name:*ce* OR display_name:sm*") == set()
    await apply(any_store, metadata(0xABC, contact={"display_name": None}))
    assert await matches(any_store, "display_name:sm* AND NOT display_name:ad*") == {0xABC}


async def test_values_shrink_grow_and_go(store: Store, client: Client) -> None:
    """A value takes the place of the one before, whatever their lengths, and its neighbours stay."""
    await apply(store, *(message(number, number) for number in (1, 2, 3)))
    await apply(store, *(metadata(number, user_data={"k": f"k{number}"}) for number in (1, 3)))
    name = "metadata.user_data.k"
    assert await column(client, name) == ["k1", "", "k3"]
    for value in ("some words here", "x", "é", "other words of more length", "a", "ab", f"x {MANY_WORDS} y", "a b"):
        await apply(store, metadata(2, user_data={"k": value}))
        first, *others = value.split(" ")
        assert await matches(store, f"{name}:{first[:1]}*{first[1:]}") == {2}
        assert await matches(store, f"{name}:{first[:-1] or 'zz'}~0 AND NOT {name}:{first}") == set()
        assert await matches(store, f"{name}:k*") == {1, 3}
        assert await matches(store, f"{name}:?*") == {1, 2, 3}
        assert (await sizes(client))[name] == 3
        for word in others[:1]:
            assert await matches(store, f"{name}:*{word}") == {2}
    await apply(store, metadata(2, user_data=None))
    assert await column(client, name) == ["k1", "", "k3"]
    await apply(store, metadata(1, user_data={"k": ""}), metadata(3, user_data={"k": " "}))
    assert await column(client, name) is None
    assert name not in await sizes(client)
    assert await client.redis.keys("long_value:*") == []
    assert await matches(store, f"{name}:*") == set()


async def test_the_memory_of_values_that_are_gone_comes_back(store: Store, client: Client) -> None:
    await apply(store, *(message(number, number) for number in range(1, 21)))
    before = set(await client.redis.keys("*")) | {b"changes:{0}"}
    await apply(store, *(metadata(n, user_data={"k": "x", "long": MANY_WORDS, "l": ["a"] * n}) for n in range(1, 21)))
    assert len(await client.redis.keys("long_value:{0}:*:metadata.user_data.long")) == 20
    await apply(store, *(metadata(n, user_data=None) for n in range(1, 21)))
    left = set(await client.redis.keys("*"))
    assert left - before == set()


@pytest.mark.parametrize(
    ("value", "found", "lost"),
    [
        (
            MANY_WORDS + " end",
            ["en*", "*nd", "*n*", "e?d", "end", "enf~1", "[en TO eo]", "/e.d/"],
            ["b*", "*b", "bb~1"],
        ),
        (LONG_WORD, ["wort*", "*rtwort", "*tw*", "[wort TO worv]", "/(wort)+/", "?*"], ["*wortx", "x*", "worte*"]),
        (f"a {LONG_WORD} b", ["a", "b", "*two*", "?ort*"], ["c", "*twx*"]),
        (
            " ".join(f"{LONG_WORD}{n}" for n in range(40)) + " end",
            ["*two*", "end", "/wort.*/", "en?"],
            ["*twx*", "end?"],
        ),
        ("é" * 200, ["é*", "*éé", "[é TO ê]"], ["e*", "*ée"]),
    ],
    ids=["long value", "long word", "among others", "both", "two bytes"],
)
async def test_long_values_and_long_words(any_store: Store, value: str, found: list[str], lost: list[str]) -> None:
    name = "metadata.user_data.k"
    await apply(any_store, *(message(number, number) for number in (1, 2, 3)), metadata(2, user_data={"k": value}))
    for pattern in found:
        assert await matches(any_store, f"{name}:{pattern}") == {2}, pattern
        assert await matches(any_store, f"NOT {name}:{pattern}") == {1, 3}, pattern
    for pattern in lost:
        assert await matches(any_store, f"{name}:{pattern}") == set(), pattern
    # It becomes another long one, then a short one.
    await apply(any_store, metadata(2, user_data={"k": f"{value} {MANY_WORDS} zz"}))
    assert await matches(any_store, f"{name}:z*z") == {2}
    assert await matches(any_store, f"{name}:{found[0]}") == {2}
    await apply(any_store, metadata(2, user_data={"k": "short"}), metadata(3, user_data={"k": value}))
    assert await matches(any_store, f"{name}:{found[0]} AND NOT {name}:short") == {3}
    assert await matches(any_store, f"{name}:*ort") == ({2, 3} if LONG_WORD in value.split() else {2})


@pytest.mark.parametrize(("slop", "is_found"), [("", False), ("~0", False), ("~1", True), ("~2", True)])
async def test_a_phrase_over_two_values_of_an_array_lacks_a_word_between(
    any_store: Store, slop: str, is_found: bool
) -> None:
    await apply(any_store, *(message(number, number) for number in (1, 2, 3)))
    await apply(any_store, metadata(1, user_data={"k": ["a b", "c d"]}), metadata(2, user_data={"k": "a b c d"}))
    expected = {1, 2} if is_found else {2}
    # The second form is nothing that the index can answer.
    for phrase in (f'"b c"{slop}', f'"a b c"{slop or "~0"}'):
        filters = f"metadata.user_data.k:{phrase}"
        assert await matches(any_store, filters) == expected
        assert await matches(any_store, f"NOT {filters}") == {1, 2, 3} - expected
        assert await matches(any_store, f"{filters} OR display_name:zzz*") == expected


async def test_a_value_that_nobody_has_any_more_finds_nothing(any_store: Store) -> None:
    await apply(any_store, message(1, 1), named(1, "Ada"), named(1, "Bob"))
    assert await matches(any_store, "display_name:ad*") == set()
    assert await matches(any_store, "display_name:bo*") == {1}


async def test_what_waits_for_its_first_message(store: Store, client: Client) -> None:
    """Its values enter the columns with the message, and with the changes that came in between."""
    await apply(store, message(1, 1), named(2, "Ada"), metadata(2, user_data={"k": "v", "gone": "x"}, state="OPEN"))
    for filters in ("display_name:ad*", "metadata.user_data.k:*v*", "state:o*"):
        assert await matches(store, filters) == set()
    assert await column(client, "metadata.user_data.k") is None
    await apply(store, metadata(2, user_data={"gone": None, "k": "w" * 300}))
    await apply(store, message(2, 2))
    assert await matches(store, "display_name:ad* AND state:o* AND metadata.user_data.k:w*w") == {2}
    assert await matches(store, "metadata.user_data.k:*v* OR metadata.user_data.gone:*") == set()
    assert await column(client, "display_name") == ["facebook 00001", "ada"]
    assert await client.redis.keys("early:*") == []


async def test_conversations_of_several_blocks(opened: OpenStore, client: Client, cut: Cut) -> None:
    """Each has its own line: at the ends of blocks, and behind blocks without a value."""
    store, rows = await opened(), 256 if cut is Cut.WHOLE else 8
    await apply(store, *(message(number, number, number) for number in range(2 * rows + 5)))
    edges = {0, 1, rows - 1, rows, 2 * rows - 1, 2 * rows, 2 * rows + 4}
    for number in edges:
        await apply(store, named(number, f"Edge e{number}"))
    for number in edges:
        assert await matches(store, f"display_name:e{number}*") >= {number}
        assert await matches(store, f"display_name:e{number}~0") == {number}
    assert await matches(store, "display_name:edg*") == edges
    assert len(await matches(store, "NOT display_name:*dg*")) == 2 * rows + 5 - len(edges)
    await apply(store, metadata(2 * rows + 4, user_data={"last": "x"}))
    assert await column(client, "metadata.user_data.last", 0) is None
    assert await column(client, "metadata.user_data.last", 2) == ["", "", "", "", "x"]
    assert await matches(store, "metadata.user_data.last:*") == {2 * rows + 4}
    assert [await client.redis.hget(f"conversation:{{0}}:{conversation_id(n)}", "row") for n in (0, rows)] == [
        b"0",
        b"%d" % rows,
    ]


async def test_readers_side_by_side(opened: OpenStore) -> None:
    """Several calls of one worker, each with a filter of its own."""
    writer, reader = await opened(), await opened()
    await apply(writer, *(message(n, n) for n in (1, 2, 3)), named(1, "ada1"), named(2, "ada2"))
    assert await matches(reader, "display_name:ada*") == {1, 2}
    await apply(writer, named(3, "ada3"))
    found = await asyncio.gather(*(matches(reader, "display_name:ada*" + " " * blanks) for blanks in range(8)))
    assert found == [{1, 2, 3}] * 8


async def test_an_emptied_store_has_no_values(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), named(1, "Ada1"), message(2, 2), named(2, "Ada2"))
    assert await matches(store, "display_name:ada*") == {1, 2}
    await client.redis.flushall()
    await until_set_up(store)
    assert await matches(store, "display_name:ada*") == set()
    # As many as before, others.
    await apply(store, message(1, 1), named(1, "Ada8"), message(2, 2), named(2, "Ada9"))
    assert await matches(store, "display_name:ada*") == {1, 2}
    assert await matches(store, "display_name:ada1*") == set()
    assert await matches(store, "display_name:ada8*") == {1}


async def test_older_data_that_is_restored_is_seen(store: Store, client: Client) -> None:
    """A Redis that lost its last writes, as after a failover: some values are gone, others come in their rows."""
    await apply(store, message(1, 1), named(1, "Ada1"))
    saved = {key: await client.redis.dump(key) for key in await client.redis.keys("*")}
    await apply(store, message(2, 2), named(2, "Ada2"), message(3, 3), named(3, "Ada3"))
    assert await matches(store, "display_name:ada*") == {1, 2, 3}
    assert await matches(store, "display_name:*ook OR display_name:ada2*") == {2}
    for key in await client.redis.keys("*"):
        await client.redis.delete(key)
    for key, dumped in saved.items():
        await client.redis.restore(key, 0, dumped)
    assert await matches(store, "display_name:ada*") == {1}
    await apply(store, message(4, 4), named(4, "Ada4"), message(5, 5), named(5, "Ada5"))
    assert await matches(store, "display_name:ada*") == {1, 4, 5}
    assert await matches(store, "display_name:ada2* OR display_name:ada3*") == set()


async def test_each_conversations_last_channel_is_known(any_store: Store) -> None:
    await apply(any_store, channel(OTHER_CHANNEL), message(1, 1, 1), message(1, 2, 2, channel_id=OTHER_CHANNEL))
    assert await matches(any_store, f"channel_id:{OTHER_CHANNEL[:9]}*") == {1}
    assert await matches(any_store, f"channel_id:{CHANNEL[:9]}*") == set()


@pytest.mark.parametrize("cut", [Cut.NO_INDEX], indirect=True, ids=lambda cut: cut.value)
async def test_a_search_out_of_time_is_an_error_and_never_a_part(opened: OpenStore) -> None:
    reader = await opened()
    await apply(reader, *(message(number, number) for number in range(125)))
    everything = "metadata.none:x* OR display_name:fac*"
    timeout, reader.search._timeout_seconds = reader.search._timeout_seconds, 0
    with pytest.raises(OutOfTimeError, match="^the search ran out of time$"):
        await page(reader, everything)
    # The next one is answered again.
    reader.search._timeout_seconds = timeout
    assert (await page(reader, everything, "", 10)).filtered_total == 125


async def test_a_field_is_known_once_a_conversation_has_a_word_in_it(any_store: Store) -> None:
    names = ["metadata.user_data.k", "metadata.user_data.none", "display_name"]
    assert await any_store.search.known_fields([]) == await any_store.search.known_fields(names) == set()
    await apply(any_store, *(message(number, number) for number in (1, 2, 3)), metadata(2, user_data={"k": "v"}))
    assert await any_store.search.known_fields(names[:2]) == {"metadata.user_data.k"}
    await apply(any_store, metadata(2, user_data=None))
    assert await any_store.search.known_fields(names[:2]) == set()


async def test_all_of_an_exact_filters_conversations_are_found(any_store: Store) -> None:
    await apply(any_store, *(message(number, number, number) for number in range(60)))
    assert await matches(any_store, "source:facebook") == set(range(60))
    assert await matches(any_store, "unread_count:[1 TO *] AND NOT state:*") == await find(any_store, "*:*")
