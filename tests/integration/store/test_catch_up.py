"""What is known of a search is brought up to date: every page and total is that of a search made anew."""

import random

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    apply,
    conversation_id,
    ids_of,
    message,
    metadata,
    named,
    page,
    receipt,
    tag,
    tag_id,
    uuid,
)

from conversations.store import Change, Store
from conversations.store.client import Client

FILTERS = [
    "state:open",
    "state:closed OR NOT state:*",
    "NOT state:*",
    "source:facebook AND unread_count:[1 TO *]",
    "source:Twilio* OR channel_id:*1",
    f"tag_ids:{tag_id(1)} AND NOT tag_ids:{tag_id(2)}",
    "tag_ids:*",
    "display_name:ada",
    "display_name:*a",
    "display_name:fac?book OR display_name:*",
    'display_name:"ada b"',
    'display_name:"ada b c"~3',
    'display_name:"b ada"~2 OR state:open',
    'NOT display_name:"c b ada"~4',
    "metadata.user_data.k:[b TO *]",
    "metadata.user_data.k:* AND metadata.state:open",
    "metadata.user_data.k:b~1",
    # Another word begins with it.
    "metadata.user_data.k:b",
    f"id:{conversation_id(3)} OR id:0000000*",
    f"id:{conversation_id(7)[:20]}*",
    "unread_count:0 OR unread_count:{1 TO 3}",
    "created_at:[2019-01-07T00:00:05Z TO 2019-01-07T00:00:20Z]",
    "last_message_at:{2019-01-07T00:00:10Z TO *]",
    "NOT (state:closed AND unread_count:0) AND NOT display_name:b",
    "*:* NOT source:facebook",
    "nobody",
]


def change(chance: random.Random) -> Change:
    number, second = chance.randint(1, 40), chance.randint(0, 30)
    return chance.choice(
        [
            message(number, chance.randint(1, 60), second, from_contact=chance.random() < 0.6),
            message(number, chance.randint(61, 90), second, source="Twilio.sms", channel_id=uuid("k", number % 3)),
            receipt(number, second),
            named(number, " ".join(chance.choices(["ada", "b", "c", "Ada"], k=chance.randint(1, 4)))),
            metadata(number, state=chance.choice(["OPEN", "CLOSED", None])),
            metadata(number, tags={tag_id(chance.randint(1, 2)): chance.choice(["", None])}),
            metadata(number, user_data={"k": chance.choice(["a", "b", "bb", "c d", 7])}),
        ]
    )


async def pages(store: Store, filters: str) -> list[tuple[int, int, list[str]]]:
    """Total, unread and ids of the first two pages."""
    first = await page(store, filters, "", 3)
    second = await page(store, filters, first.next_cursor, 3) if first.next_cursor else first
    return [(one.filtered_total, one.unread, ids_of(one)) for one in (first, second)]


@pytest.mark.parametrize("seed", range(3))
async def test_pages_and_totals(any_store: Store, opened: OpenStore, seed: int) -> None:
    chance = random.Random(seed)
    fresh = await opened()
    await apply(any_store, tag(1), tag(2), *(message(n, 100 + n, n % 7) for n in range(1, 41)))
    for _ in range(25):
        await apply(any_store, *(change(chance) for _ in range(chance.choice([0, 1, 2, 5, 25]))))
        fresh.search.forget()
        for filters in FILTERS:
            assert await pages(any_store, filters) == await pages(fresh, filters), filters


async def test_a_comma_is_part_of_a_value(any_store: Store) -> None:
    both = f"tag_ids:{tag_id(1)},{tag_id(2)}"
    filters = [both, f"NOT {both}", "source:eu", "source:sms,eu", f"source:{tag_id(1)}"]
    await apply(any_store, tag(1), tag(2), message(1, 1, 1, source="sms,eu"), message(2, 2, 2))
    for change in (
        metadata(1, tags={tag_id(1): "", tag_id(2): ""}),
        message(1, 3, 3, source="sms,eu"),
        metadata(1, tags={tag_id(2): None}),
        message(1, 4, 4, source="facebook"),
    ):
        await apply(any_store, change)
        expected = [0, 2, 0, int(change != message(1, 4, 4, source="facebook")), 0]
        for text, total in zip(filters, expected, strict=True):
            found = await page(any_store, text, "", 3)
            assert (found.filtered_total, len(ids_of(found))) == (total, total), text


async def test_a_long_text_is_searched_anew(store: Store) -> None:
    words = " ".join(f"w{number}" for number in range(600))
    await apply(store, message(1, 1), metadata(1, user_data={"k": words}))
    assert (await page(store, "metadata.user_data.k:w7")).filtered_total == 1
    await apply(store, metadata(1, user_data={"k": "other"}))
    assert (await page(store, "metadata.user_data.k:w7")).filtered_total == 0


async def searches(client: Client) -> int:
    stats = await client.redis.info("commandstats")
    return int(stats.get("cmdstat_FT.SEARCH", {"calls": 0})["calls"])


async def test_nothing_is_counted_twice(store: Store, client: Client) -> None:
    await apply(store, *(message(number, number, number) for number in range(1, 31)))
    known: list[int] = []
    for _ in range(3):
        before = await searches(client)
        assert (await page(store, "source:facebook", "", 3)).filtered_total == 30 + len(known)
        known.append(await searches(client) - before)
        await apply(store, message(30 + len(known), 30 + len(known), 30 + len(known)))
    # A count and a page, then nothing.
    assert known == [2, 0, 0]


async def test_a_page_that_too_many_left_is_searched_again(store: Store, client: Client) -> None:
    await apply(store, *(message(number, number, number) for number in range(1, 41)))
    assert ids_of(await page(store, "unread_count:1", "", 3)) == [conversation_id(n) for n in (40, 39, 38)]
    await apply(store, *(receipt(number, 60) for number in range(23, 41)))
    before = await searches(client)
    assert ids_of(await page(store, "unread_count:1", "", 3)) == [conversation_id(n) for n in (22, 21, 20)]
    assert await searches(client) == before + 1


async def test_an_old_match_is_not_taken_for_the_next_one(store: Store) -> None:
    """Between the newest matches that are known and one that becomes a match there are others."""
    await apply(store, *(message(n, n, n) for n in range(3, 42)))
    await apply(store, *(message(n, n, n, from_contact=False) for n in (1, 2)))
    assert ids_of(await page(store, "unread_count:1", "", 3)) == [conversation_id(n) for n in (41, 40, 39)]
    await apply(store, message(1, 101, 0), message(2, 102, 0))
    await apply(store, *(receipt(n, 60) for n in range(28, 42)))
    found = await page(store, "unread_count:1", "", 3)
    assert (ids_of(found), found.filtered_total) == ([conversation_id(n) for n in (27, 26, 25)], 27)


async def test_one_page_serves_smaller_and_larger_ones(store: Store) -> None:
    """What is known is for pages of every size, and does not grow without end."""
    expected = [conversation_id(number) for number in range(1, 151)][::-1]
    await apply(store, *(message(number, number, number) for number in range(1, 101)))
    assert ids_of(await page(store, "unread_count:1", "", 5)) == expected[50:55]
    await apply(store, *(message(number, number, number) for number in range(101, 151)))
    for limit in (5, 100, 20, 100, 1):
        found = await page(store, "unread_count:1", "", limit)
        assert (ids_of(found), found.filtered_total) == (expected[:limit], 150)


async def test_what_cannot_be_caught_up_is_counted(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), message(2, 2))
    assert (await page(store, "source:facebook")).filtered_total == 2
    await apply(store, *(message(3, 100 + number, number) for number in range(300)), message(4, 4))
    assert (await page(store, "source:facebook")).filtered_total == 4
    await client.redis.delete("changes:{0}")
    await apply(store, message(5, 5))
    assert (await page(store, "source:facebook")).filtered_total == 5


async def test_a_new_word_that_does_not_match_takes_nothing_away(store: Store, client: Client) -> None:
    await apply(store, message(1, 1), message(2, 2), named(1, "zeta"))
    assert (await page(store, "display_name:z*")).filtered_total == 1
    await apply(store, named(2, "other"))
    before = await searches(client)
    assert (await page(store, "display_name:z*")).filtered_total == 1
    assert await searches(client) == before


async def test_a_long_word_that_changed_again_is_searched_anew(store: Store) -> None:
    """An index term of a long word is a hash: whether it matched is known as long as the value is the same."""
    words = ["donau" * 25, "donau" * 26, "elbe" * 30]
    name = "metadata.user_data.k"
    await apply(store, message(1, 1), message(2, 2), metadata(1, user_data={"k": words[0]}))
    assert (await page(store, f"{name}:donau*")).filtered_total == 1
    await apply(store, *(metadata(2, user_data={"k": word}) for word in words))
    assert (await page(store, f"{name}:donau*")).filtered_total == 1
    await apply(store, metadata(1, user_data={"k": words[1]}), metadata(2, user_data={"k": words[0]}))
    assert (await page(store, f"{name}:donau*")).filtered_total == 2
    await apply(store, metadata(1, user_data={"k": words[2]}))
    assert (await page(store, f"{name}:donau*")).filtered_total == 1
