"""Word dictionaries: what one worker writes every other finds at once, and no mirror outlives the data."""

import asyncio

import pytest
from tests.integration.store.conftest import OpenStore, until_set_up
from tests.integration.store.events import (
    CHANNEL,
    apply,
    channel,
    find,
    message,
    metadata,
    named,
    page,
    tag,
    tag_id,
    uuid,
)

from conversations.errors import FilterTooBroadError, OutOfTimeError
from conversations.filters import compile_filter
from conversations.store import Store
from conversations.store.client import Client

OTHER_CHANNEL = uuid("o", 1)


async def test_a_worker_finds_what_another_wrote_at_once(opened: OpenStore) -> None:
    writer, reader = await opened(partitions=4), await opened()
    for number in range(1, 30):
        await apply(writer, message(number, number), named(number, f"ada{number} x"))
        assert await find(reader, "display_name:ada*") == set(range(1, number + 1))
        assert await find(reader, f"display_name:*{number}~ OR display_name:/ada{number}/") >= {number}


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
        "metadata.contact.display_name:lov*",
        "metadata.user_data.k:v?lue",
        "metadata.user_data.n:[1 TO 2]",
        "metadata.user_data.list:*b",
    ],
)
async def test_every_field_has_its_dictionary(any_store: Store, filters: str) -> None:
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
    assert await find(any_store, filters) == {1}


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
    assert await find(any_store, filters) == expected


async def test_the_words_of_the_default_name_are_found_by_patterns(any_store: Store) -> None:
    await apply(any_store, message(0xABC, 1, source="twilio.sms"))
    for filters in ("display_name:sm*", "display_name:*0abc", "display_name:sns~", "display_name:[sm TO sn]"):
        assert await find(any_store, filters) == {0xABC}
    # A default name is no metadata.
    assert await find(any_store, "metadata.contact.display_name:sm*") == set()


async def test_a_word_that_nobody_has_any_more_finds_nothing(any_store: Store) -> None:
    await apply(any_store, message(1, 1), named(1, "Ada"), named(1, "Bob"))
    assert await find(any_store, "display_name:ad*") == set()
    assert await find(any_store, "display_name:bo*") == {1}


async def with_long_dictionary(opened: OpenStore) -> Store:
    """Return a store of 125 conversations; the name of the n-th has the words w<n>00x to w<n>99x."""
    writer = await opened()
    for start in range(0, 125, 25):
        numbers = range(start, start + 25)
        names = (named(number, " ".join(f"w{number}{k:02d}x" for k in range(100))) for number in numbers)
        await apply(writer, *(message(number, number) for number in numbers), *names)
    return await opened(max_filter_words=100_000)


async def test_a_dictionary_longer_than_one_answer_is_fetched_whole(opened: OpenStore) -> None:
    """Words come in pieces of 10,000."""
    reader = await with_long_dictionary(opened)
    assert await find(reader, "display_name:w12*x") == {1, 12, *range(120, 125)}
    assert await find(reader, "display_name:w1240?x") == {124}
    assert await find(reader, "display_name:w12345y~1") == {123}


async def test_readers_side_by_side_learn_the_same_words_once(opened: OpenStore) -> None:
    """Several calls of one worker find the mirror stale at once; a word that each of them adds counts once."""
    writer, reader = await opened(), await opened(max_filter_words=3)
    await apply(writer, *(message(n, n) for n in (1, 2, 3)), named(1, "ada1"), named(2, "ada2"))
    assert await find(reader, "display_name:ada*") == {1, 2}
    await apply(writer, named(3, "ada3"))
    # Each in a spelling of its own: what is kept of one filter is of no use to another.
    filters = ["display_name:ada*" + " " * blanks for blanks in range(8)]
    found = await asyncio.gather(*(find(reader, text) for text in filters), return_exceptions=True)
    assert found == [{1, 2, 3}] * 8
    assert await find(reader, "display_name:ada*") == {1, 2, 3}


async def test_readers_side_by_side_learn_a_long_dictionary(opened: OpenStore, client: Client) -> None:
    """None throws away what another has fetched: two pieces each, then the answer."""
    reader = await with_long_dictionary(opened)
    await client.redis.config_resetstat()
    found = await asyncio.gather(*(find(reader, f"display_name:w*{number}77x") for number in range(1, 21)))
    assert found == [{n for n in range(125) if str(n).endswith(str(number))} for number in range(1, 21)]
    assert (await client.redis.info("commandstats"))["cmdstat_fcall_ro"]["calls"] <= 3 * 20


async def test_an_emptied_store_has_no_words(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), named(1, "Ada1"), message(2, 2), named(2, "Ada2"))
    assert await find(store, "display_name:ada*") == {1, 2}
    await client.redis.flushall()
    await until_set_up(store)
    assert await find(store, "display_name:ada*") == set()
    # As many words as before, others.
    await apply(store, message(1, 1), named(1, "Ada8"), message(2, 2), named(2, "Ada9"))
    assert await find(store, "display_name:ada*") == {1, 2}
    assert await find(store, "display_name:ada1*") == set()
    assert await find(store, "display_name:ada8*") == {1}


async def test_a_filter_that_was_too_broad_is_not_for_ever(opened: OpenStore, client: Client) -> None:
    """The mirror is brought up to date before a filter is refused by it."""
    store = await opened(max_filter_words=2)
    for number in (1, 2, 3):
        await apply(store, message(number, number), named(number, f"ada{number}"))
    with pytest.raises(FilterTooBroadError):
        await find(store, "display_name:ada*")
    await client.redis.flushall()
    await until_set_up(store)
    assert await find(store, "display_name:ada*") == set()
    await apply(store, message(1, 1), named(1, "ada9"))
    assert await find(store, "display_name:ada*") == {1}


async def test_older_data_that_is_restored_is_seen(store: Store, client: Client) -> None:
    """A Redis that lost its last writes, as after a failover: some words are gone, others come in their place."""
    await apply(store, message(1, 1), named(1, "Ada1"))
    saved = {key: await client.redis.dump(key) for key in await client.redis.keys("*")}
    await apply(store, message(2, 2), named(2, "Ada2"), message(3, 3), named(3, "Ada3"))
    assert await find(store, "display_name:ada*") == {1, 2, 3}
    assert await find(store, "display_name:*ook OR display_name:ada2*") == {2}
    for key in await client.redis.keys("*"):
        await client.redis.delete(key)
    for key, dumped in saved.items():
        await client.redis.restore(key, 0, dumped)
    assert await find(store, "display_name:ada*") == {1}
    await apply(store, message(4, 4), named(4, "Ada4"), message(5, 5), named(5, "Ada5"))
    assert await find(store, "display_name:ada*") == {1, 4, 5}
    assert await find(store, "display_name:ada2* OR display_name:ada3*") == set()


async def test_a_dictionary_of_channels_knows_each_conversations_last_channel(any_store: Store) -> None:
    await apply(any_store, channel(OTHER_CHANNEL), message(1, 1, 1), message(1, 2, 2, channel_id=OTHER_CHANNEL))
    assert await find(any_store, f"channel_id:{OTHER_CHANNEL[:9]}*") == {1}
    assert await find(any_store, f"channel_id:{CHANNEL[:9]}*") == set()


async def test_the_words_of_a_broad_filter_are_counted(opened: OpenStore) -> None:
    store = await opened(max_filter_words=5)
    for number in range(1, 6):
        await apply(store, message(number, number), named(number, f"ada{number}"))
    assert (await page(store, "display_name:ada*")).filtered_total == 5
    with pytest.raises(FilterTooBroadError) as caught:
        await page(store, "display_name:ada* display_name:ada1*")
    assert (caught.value.metadata["words"], caught.value.metadata["limit"]) == ("6", "5")


async def test_a_search_out_of_time_is_an_error_and_never_a_part(opened: OpenStore) -> None:
    reader = await with_long_dictionary(opened)
    everything = "metadata.none:x* OR display_name:w*"
    assert (await page(reader, everything)).filtered_total == 125
    settings = reader.search._settings
    reader.search._settings = settings.model_copy(update={"search_timeout_ms": 1})
    with pytest.raises(OutOfTimeError, match="^the search ran out of time$"):
        await page(reader, everything)
    # The next one is answered again.
    reader.search._settings = settings
    assert (await page(reader, everything)).filtered_total == 125


async def test_a_field_is_known_once_a_conversation_has_a_word_in_it(any_store: Store) -> None:
    names = ["metadata.user_data.k", "metadata.user_data.none", "display_name"]
    assert await any_store.search.known_fields([]) == await any_store.search.known_fields(names) == set()
    await apply(any_store, *(message(number, number) for number in (1, 2, 3)), metadata(2, user_data={"k": "v"}))
    assert await any_store.search.known_fields(names[:2]) == {"metadata.user_data.k"}
    await apply(any_store, metadata(2, user_data=None))
    assert await any_store.search.known_fields(names[:2]) == {"metadata.user_data.k"}


async def test_queries_are_those_of_the_words_of_each_partition(opened: OpenStore) -> None:
    store = await opened(partitions=4, max_filter_words=2)
    await apply(store, message(1, 1), named(1, "ada1"), message(2, 2), named(2, "ada2"))
    texts = [query.text for query in await store.search.queries(compile_filter("display_name:ad*1"))]
    assert len(texts) == 4
    assert sum("ada1" in text for text in texts) == 1
    assert not any("ada2" in text for text in texts)
    await apply(store, named(1, "ada3 ada4 ada5"))
    with pytest.raises(FilterTooBroadError):
        await store.search.queries(compile_filter("display_name:ad*"))
