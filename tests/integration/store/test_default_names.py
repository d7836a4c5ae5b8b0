"""A contact without a name is called by source and id; Lua's terms for it are those of Python."""

import pytest
from tests.integration.store.events import apply, conversation_id, find, get, message, metadata

from conversations import terms
from conversations.store import Store
from conversations.store.client import Client

SOURCES = [
    ("facebook", "Facebook"),
    ("twilio.sms", "Sms"),
    ("a.b-c_9", "B-c_9"),
    ("X", "X"),
    ("x" * 64, "X" + "x" * 63),
    ("-" * 64, "-" * 64),
    ("a." + "%" * 62, "%" * 62),
    (".", "."),
    ("..", ".."),
    ("a..b", "B"),
    ("a.", "A."),
    (".a", "A"),
    ("UPPER.Case", "Case"),
    ("upper.CASE", "CASE"),
    ("9lives", "9lives"),
    ("%d%s%%", "%d%s%%"),
    ('quo"te\\', 'Quo"te\\'),
    ("{a|b}", "{a|b}"),
    ("@x:(y)", "@x:(y)"),
    ("*", "*"),
    ("~", "~"),
]


@pytest.mark.parametrize(("source", "name"), SOURCES, ids=[source[:12] for source, _ in SOURCES])
async def test_the_default_name_of_a_source(store: Store, client: Client, source: str, name: str) -> None:
    await apply(store, message(0xABCDE, 1, source=source))
    tail = conversation_id(0xABCDE)[-5:]
    assert tail == "abcde"
    assert (await get(store, 0xABCDE)).metadata.contact.display_name == f"{name} {tail}"
    text = (await client.redis.hget(f"conversation:{{0}}:{conversation_id(0xABCDE)}", "x")).decode()
    words = terms.split_words(f"{name} {tail}")
    assert text.split() == [terms.NAME_EXISTS, *map(terms.name_term, words), "|", "|"]
    assert (await client.redis.get("column:{0}:0:display_name")).decode().split() == words
    # The same terms that a filter makes.
    escaped = "".join(f"\\{character}" if not character.isalnum() else character for character in name)
    assert await find(store, f"display_name:{escaped}") == {0xABCDE}
    keyword = "".join(f"\\{character}" if not character.isalnum() else character for character in source.lower())
    assert await find(store, f"source:{keyword}") == {0xABCDE}


async def test_the_default_name_follows_the_last_message(any_store: Store) -> None:
    await apply(any_store, message(1, 1, 1, source="facebook"), message(1, 2, 2, source="twilio.sms"))
    assert (await get(any_store, 1)).metadata.contact.display_name == "Sms 00001"
    assert await find(any_store, "display_name:facebook") == set()
    assert await find(any_store, "display_name:sms AND source:twilio.sms") == {1}


async def test_a_name_of_its_own_comes_and_goes(any_store: Store) -> None:
    await apply(any_store, metadata(1, contact={"display_name": "Ada"}), message(1, 1))
    assert await find(any_store, "display_name:ada") == {1}
    await apply(any_store, metadata(1, contact={"display_name": None}))
    assert (await get(any_store, 1)).metadata.contact.display_name == "Facebook 00001"
    assert await find(any_store, "display_name:ada") == set()
    assert await find(any_store, "display_name:facebook") == {1}


async def test_state_terms_in_lua_are_those_of_python(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), metadata(1, state="OPEN"), message(2, 2), metadata(2, state="CLOSED"))
    for number, word in ((1, "open"), (2, "closed")):
        text = (await client.redis.hget(f"conversation:{{0}}:{conversation_id(number)}", "x")).decode()
        assert text.split()[-2:] == [terms.metadata_exists("state"), terms.metadata_term("state", word)]


async def test_times_in_lua_are_those_of_python(store: Store) -> None:
    """Every four years' days around leap days, and odd milliseconds."""
    times = [
        f"{year:04d}-{day}T{at}Z"
        for year in (1, 4, 100, 400, 1900, 1968, 1970, 2000, 2024, 9999)
        for day, at in (("02-28", "23:59:59.999"), ("03-01", "00:00:00.001"), ("12-31", "12:34:56.789"))
    ]
    times += [f"{year:04d}-02-29T01:02:03.004Z" for year in (4, 400, 1968, 2000, 2024, 9996)]
    await apply(store, *(message(number, number, sent_at=at) for number, at in enumerate(times)))
    for number, at in enumerate(times):
        found = await get(store, number)
        assert (found.created_at, found.last_message.sent_at) == (at, at)
