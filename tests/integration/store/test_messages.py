"""Messages: pages in both directions, and changes of metadata that come before, between and after deliveries."""

from itertools import pairwise, permutations

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    apply,
    conversation_id,
    get,
    message,
    message_id,
    message_metadata,
    messages,
)

from conversations.errors import ConversationNotFoundError, CursorMismatchError, MessageNotFoundError
from conversations.store import MessagePage, Store, to_json
from conversations.v1.message_service_pb2 import ListMessagesResponse

SECONDS = [5, 5, 5, 3, 3, 8, 1, 1, 1, 1]


@pytest.fixture
async def thread(any_store: Store) -> Store:
    await apply(any_store, *(message(1, n, second) for n, second in enumerate(SECONDS)))
    return any_store


ORDER = [message_id(n) for n, _ in sorted(enumerate(SECONDS), key=lambda pair: (pair[1], pair[0]))]


async def page(store: Store, cursor: str = "", limit: int = 100) -> MessagePage:
    return await store.messages.list_page(conversation_id(1), cursor, limit)


def ids_of(page: MessagePage) -> list[str]:
    return [message.id for message in ListMessagesResponse.FromString(page.messages).data]


async def test_the_first_page_is_the_newest_and_each_page_oldest_first(thread: Store) -> None:
    """Of equal times the later arrival is newer."""
    for limit in range(1, 12):
        cursor = ""
        walked: list[str] = []
        pages: list[MessagePage] = []
        while True:
            found = await page(thread, cursor, limit)
            assert found.total == len(SECONDS)
            pages.append(found)
            walked = ids_of(found) + walked
            cursor = found.next_cursor
            if not cursor:
                break
        assert walked == ORDER
        assert pages[0].previous_cursor == ""
        for newer, older in pairwise(pages):
            back = await page(thread, older.previous_cursor, limit)
            assert ids_of(back) == ids_of(newer)
            assert bool(back.previous_cursor) == bool(newer.previous_cursor)
            assert ids_of(await page(thread, back.next_cursor, limit)) == ids_of(older)


async def test_an_offset_counts_from_the_newest(thread: Store) -> None:
    for offset in range(len(ORDER)):
        found = await page(thread, str(offset), 3)
        end = len(ORDER) - offset
        assert ids_of(found) == ORDER[max(end - 3, 0) : end]
        assert bool(found.previous_cursor) == (offset > 0)
        assert bool(found.next_cursor) == (end > 3)


async def test_an_empty_page_behind_the_oldest_leads_back(thread: Store) -> None:
    beyond = await page(thread, "500", 3)
    assert (beyond.messages, beyond.next_cursor, beyond.total) == (b"", "", len(ORDER))
    assert beyond.previous_cursor
    assert ids_of(await page(thread, beyond.previous_cursor, 3)) == ORDER[:3]


async def test_a_cursor_is_good_for_its_conversation_only(thread: Store) -> None:
    await apply(thread, message(2, 100))
    cursor = (await page(thread, "", 2)).next_cursor
    with pytest.raises(CursorMismatchError):
        await thread.messages.list_page(conversation_id(2), cursor, 2)


async def test_an_unknown_conversation_has_no_page(thread: Store) -> None:
    with pytest.raises(ConversationNotFoundError):
        await thread.messages.list_page(conversation_id(3), "", 2)


async def test_changes_come_in_any_order_with_deliveries(opened: OpenStore) -> None:
    """Before the message, between redeliveries, after: the message's own metadata with the changes on top."""
    deliver = message(1, 1, 1, metadata={"own": 1, "a": {"keep": 1, "drop": 1}, "gone": {"x": 1}})
    steps = {
        "deliver": deliver,
        "deliver again": deliver,
        "change": message_metadata(1, a={"drop": None, "new": 2}),
        "remove": message_metadata(1, gone=None),
    }
    for number, order in enumerate(permutations(steps)):
        store = await opened(partitions=1 + number % 4)
        for step in order:
            await apply(store, steps[step])
        [found] = await messages(store, 1)
        assert to_json(found.metadata) == {"own": 1, "a": {"keep": 1, "new": 2}}
        assert to_json((await get(store, 1)).last_message.metadata) == to_json(found.metadata)
        await store._client.redis.flushall()


async def test_a_redelivery_with_other_content_keeps_the_changes(any_store: Store) -> None:
    await apply(any_store, message(1, 1, 1, metadata={"own": 1}), message_metadata(1, user_data={"k": 1}))
    await apply(any_store, message(1, 1, 2, metadata={"own": 2}, content={"text": "edited"}))
    [found] = await messages(any_store, 1)
    assert to_json(found.metadata) == {"own": 2, "user_data": {"k": 1}}
    assert to_json(found.content.struct_value) == {"text": "edited"}
    assert (await get(any_store, 1)).last_message == found


async def test_a_change_reaches_a_message_that_is_not_the_last(any_store: Store) -> None:
    await apply(any_store, message(1, 1, 1), message(1, 2, 2), message_metadata(1, k=1))
    first, second = await messages(any_store, 1)
    assert (to_json(first.metadata), to_json(second.metadata)) == ({"k": 1}, {})
    assert (await get(any_store, 1)).last_message == second


async def test_an_id_in_two_conversations_is_two_messages_with_the_same_changes(any_store: Store) -> None:
    same = {"id": message_id(7)}
    await apply(any_store, message_metadata(7, before=1), message(1, 0, 1, **same), message(2, 0, 2, **same))
    await apply(any_store, message_metadata(7, after=1), message(3, 0, 3, **same))
    for number in (1, 2, 3):
        [found] = await messages(any_store, number)
        assert to_json(found.metadata) == {"before": 1, "after": 1}
    await any_store.messages.patch(message_id(7), {"user_data": {"x": 1}})
    for number in (1, 2, 3):
        assert to_json((await get(any_store, number)).last_message.metadata)["user_data"] == {"x": 1}


async def test_a_mutation_needs_the_message(any_store: Store) -> None:
    await apply(any_store, message_metadata(7, k=1))
    with pytest.raises(MessageNotFoundError):
        await any_store.messages.patch(message_id(7), {"user_data": {}})
    with pytest.raises(MessageNotFoundError):
        await any_store.messages.patch(message_id(8), {"user_data": {}})
