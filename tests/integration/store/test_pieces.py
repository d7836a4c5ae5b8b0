"""What one piece of a search leaves to the next is brought up to date, whatever changed between them."""

from typing import Any

from tests.integration.store.events import apply, conversation_id, ids_of, message, metadata, named, page

from conversations.filters import compile_filter
from conversations.store import Store
from conversations.store.client import Client
from conversations.store.functions import Call, by_name, packed

COUNT = 200


async def go_on(client: Client, filters: str, known: str, **request: Any) -> dict[bytes, Any]:
    """Return the last reply of calls that go on from what an earlier one knew."""
    compiled = compile_filter(filters)
    query = compiled.query
    arguments = {"direction": "older", "at": "", "id": "", "limit": 20, "is_exact": query.is_exact} | request
    text = "" if query.text == "*" else query.text
    for _ in range(20):
        args = (packed(arguments), text, compiled.predicate, known, "")
        outcome, *_ = reply = await client.call(Call(0, "list_conversations", args))
        if outcome == b"ok":
            return by_name(reply)
        known = by_name(reply)[b"known"].decode() or known
    raise AssertionError("it does not end")


async def filled(store: Store) -> None:
    numbers = range(1, COUNT + 1)
    await apply(store, *(message(number, number, number) for number in numbers))
    await apply(store, *(named(number, "ada") for number in numbers))


async def entry(client: Client) -> str:
    """Return the last entry of the log."""
    last = await client.redis.xrevrange("changes:{0}", count=1)
    return str(last[0][0].decode())


async def place(client: Client, number: int) -> list[str]:
    id = conversation_id(number)
    return [str(int(await client.redis.zscore("recent:{0}", id))), id]


async def places(client: Client, numbers: range) -> str:
    return " ".join([" ".join(await place(client, number)) for number in numbers])


def numbers_of(reply: dict[bytes, Any]) -> list[int]:
    return [int(id[:8], 16) for id in reply[b"places"].split()[1::3]]


async def counted_in_windows(client: Client) -> str:
    """Return what is known of all conversations once the newest 112 of them are counted, for a page of a hundred."""
    since, _ = await place(client, COUNT - 111)
    return f"{await entry(client)} 112 since:{since}:4000:1 all {await places(client, range(COUNT, COUNT - 112, -1))}"


async def test_a_smaller_page_goes_on_from_the_windows_of_a_larger_one(store: Store, client: Client) -> None:
    await filled(store)
    reply = await go_on(client, "source:facebook", await counted_in_windows(client), limit=20)
    assert reply[b"matches"] == COUNT
    assert numbers_of(reply) == [*range(COUNT, COUNT - 20, -1)]


async def test_more_become_matches_between_windows_than_are_kept(store: Store, client: Client) -> None:
    await filled(store)
    known = await counted_in_windows(client)
    await apply(store, *(message(number, COUNT + number, COUNT + number) for number in range(1, 6)))
    reply = await go_on(client, "source:facebook", known, limit=100)
    assert reply[b"matches"] == COUNT
    assert numbers_of(reply) == [5, 4, 3, 2, 1, *range(COUNT, COUNT - 95, -1)]


async def test_what_was_found_and_matches_no_more_is_on_no_page(store: Store, client: Client) -> None:
    await filled(store)
    at, id = await place(client, 160)
    walked = [*await place(client, 149), *await place(client, 151), *await place(client, 150)]
    await apply(store, named(150, "other"), message(151, 1000, 1000))
    reply = await go_on(client, "display_name:*d*", "", at=at, id=id, limit=3, walked=walked)
    assert numbers_of(reply) == [148, 147, 146]


async def test_some_that_were_found_row_by_row_match_no_more(store: Store, client: Client) -> None:
    await filled(store)
    known = f"{await entry(client)} {COUNT} all scan:50:1 {await places(client, range(COUNT, COUNT - 120, -1))}"
    await apply(store, *(named(number, "other") for number in range(COUNT, COUNT - 40, -1)))
    reply = await go_on(client, "display_name:*d*", known, limit=100)
    assert (reply[b"matches"], reply[b"more"]) == (COUNT - 40, 1)
    assert numbers_of(reply) == [*range(COUNT - 40, COUNT - 140, -1)]


async def test_all_that_were_found_row_by_row_match_no_more(store: Store, client: Client) -> None:
    await filled(store)
    known = f"{await entry(client)} {COUNT} all scan:50:1 {await places(client, range(COUNT, COUNT - 1, -1))}"
    await apply(store, named(COUNT, "other"), named(COUNT - 1, "adam"))
    reply = await go_on(client, "display_name:*d*", known, limit=3)
    assert reply[b"matches"] == COUNT - 1
    assert numbers_of(reply) == [COUNT - 1, COUNT - 2, COUNT - 3]


async def test_a_change_of_what_is_not_counted_yet_costs_nothing_that_is_known(store: Store, client: Client) -> None:
    """Of long words the log has only hashes: what they were before a change cannot be said after it."""
    long = "https://example.org/" + "a" * 60
    await apply(store, *(message(number, number, number) for number in range(1, 301)))
    await apply(store, *(metadata(number, user_data={"url": long, "seen": "1"}) for number in range(1, 301)))
    known = f"{await entry(client)} 256 rows:256 all"
    row = int(await client.redis.hget(f"conversation:{{0}}:{conversation_id(290)}", "row"))
    assert row >= 256
    await apply(store, metadata(290, user_data={"seen": "2"}))
    # Those counted are taken on trust, so that it shows if they are counted anew.
    reply = await go_on(client, "metadata.user_data.url:*zzz*", known, limit=3)
    assert reply[b"matches"] == 256


async def test_messages_of_a_conversation_with_much_metadata_cost_nothing_that_is_known(
    store: Store, client: Client
) -> None:
    """The log has no index terms as long as these, but they stay as they are."""
    await filled(store)
    leaves = {f"k{number}": f"some words of value {number}" for number in range(60)}
    known = f"{await entry(client)} {COUNT} rows:{COUNT} all"
    await apply(store, metadata(301, user_data=leaves, contact={"display_name": "ada"}), message(301, 301, 301))
    # Those counted are taken on trust, so that it shows if they are counted anew.
    reply = await go_on(client, "display_name:*dam*", known, limit=3)
    assert reply[b"matches"] == COUNT
    known = f"{await entry(client)} {COUNT} all all"
    await apply(store, message(301, 302, 302), message(301, 303, 303, from_contact=False))
    reply = await go_on(client, "display_name:*dam*", known, limit=3)
    assert reply[b"matches"] == COUNT
    await apply(store, metadata(301, contact={"display_name": "adam"}))
    reply = await go_on(client, "display_name:*dam*", known, limit=3)
    assert reply[b"matches"] == 1


async def test_few_are_looked_at_in_pieces_while_they_change(store: Store, client: Client) -> None:
    await filled(store)
    known = f"{await entry(client)} 100 ids:{conversation_id(100)} all {await places(client, range(100, 0, -1))}"
    # Counted and not counted yet: matches begin and cease on both sides.
    await apply(store, named(7, "bo"), named(8, "cy adam"), named(150, "bo"), named(151, "cy adam"))
    reply = await go_on(client, "source:facebook AND display_name:*d*", known, limit=100)
    assert reply[b"matches"] == COUNT - 2
    assert numbers_of(reply) == [number for number in range(COUNT, COUNT - 101, -1) if number != 150]


async def test_few_are_looked_at_in_several_calls_if_that_takes_long(store: Store, client: Client) -> None:
    leaves = {f"k{number}": f"word{number} of value {number}" for number in range(60)}
    numbers = range(1, COUNT + 1)
    await apply(store, *(message(number, number, number) for number in numbers))
    await apply(store, *(metadata(number, user_data=leaves) for number in numbers))
    parts = [f"-metadata.user_data.k{number}:*z{number}*" for number in range(60)]
    await client.redis.config_resetstat()
    found = await page(store, " AND ".join(["source:facebook", *parts]), "", 1)
    assert found.filtered_total == COUNT
    assert (await client.redis.info("commandstats"))["cmdstat_fcall_ro"]["calls"] > 3


async def test_more_conversations_of_one_time_than_are_sorted_at_once(store: Store) -> None:
    count = 1300
    for first in range(1, count, 100):
        await apply(store, *(message(number, number, 7) for number in range(first, first + 100)))
    for filters in ("source:facebook", "source:facebook AND id:0000*"):
        pages = [await page(store, filters)]
        while cursor := pages[-1].next_cursor:
            pages.append(await page(store, filters, cursor))
        ids = [id for found in pages for id in ids_of(found)]
        assert ids == [conversation_id(number) for number in range(count, 0, -1)]
        assert ids_of(await page(store, filters, pages[1].previous_cursor)) == ids_of(pages[0])


async def test_a_search_goes_on_while_the_log_of_changes_is_empty(store: Store, client: Client) -> None:
    await filled(store)
    await client.redis.delete("changes:{0}")
    # Those counted are taken on trust, so that it shows if they are counted anew.
    assert (await go_on(client, "display_name:*d*", f"0-0 7 rows:{COUNT} all"))[b"matches"] == 7
    await apply(store, named(1, "other"))
    assert (await go_on(client, "display_name:*d*", f"0-0 7 rows:{COUNT} all"))[b"matches"] == COUNT - 1
