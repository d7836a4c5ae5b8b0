"""Many writers of one thing: nothing is lost, and the end does not depend on who came first."""

import asyncio

from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import (
    apply,
    conversation_id,
    find,
    get,
    ids_of,
    message,
    message_id,
    message_metadata,
    messages,
    metadata,
    page,
    receipt,
    tag,
    tag_id,
)

from conversations.store import ConversationPatch, Store, to_json


async def test_fifty_patches_of_one_conversation_at_once(opened: OpenStore) -> None:
    stores = [await opened(), await opened()]
    await apply(stores[0], message(1, 1))
    await asyncio.gather(
        *(
            stores[n % 2].conversations.patch(
                conversation_id(1), ConversationPatch({"user_data": {f"k{n}": {"deep": n}}})
            )
            for n in range(50)
        )
    )
    found = to_json((await get(stores[0], 1)).metadata.user_data)
    assert found == {f"k{n}": {"deep": n} for n in range(50)}
    for number in range(50):
        assert await find(stores[1], f"metadata.user_data.k{number}.deep:{number}") == {1}


async def test_patches_of_every_kind_at_once(opened: OpenStore) -> None:
    """Those that read first and those that do not."""
    stores = [await opened(partitions=4), await opened()]
    await apply(stores[0], message(1, 1, 1), *(tag(n) for n in range(10)))
    id = conversation_id(1)
    writes = []
    for number in range(10):
        store = stores[number % 2]
        writes += [
            store.conversations.tag(id, tag_id(number)),
            store.conversations.set_state(id, "CLOSED"),
            store.conversations.patch(id, ConversationPatch({"user_data": {str(number): number}})),
            apply(store, message(1, 10 + number, 10 + number)),
            apply(store, receipt(1, 5 + number)),
            apply(store, metadata(1, contact={"avatar_url": "http://x"})),
        ]
    await asyncio.gather(*writes)
    found = await get(stores[0], 1)
    assert set(found.metadata.tags) == {tag_id(number) for number in range(10)}
    assert found.metadata.state == found.metadata.CLOSED
    assert to_json(found.metadata.user_data) == {str(number): number for number in range(10)}
    assert found.metadata.contact.avatar_url == "http://x"
    assert found.last_message.id == message_id(19)
    assert found.metadata.unread_count == 5
    assert await find(stores[1], "unread_count:5 AND state:closed") == {1}


async def test_patches_of_a_conversation_that_waits(any_store: Store) -> None:
    await asyncio.gather(
        *(apply(any_store, metadata(1, user_data={str(n): n})) for n in range(20)), apply(any_store, message(1, 1))
    )
    assert to_json((await get(any_store, 1)).metadata.user_data) == {str(n): n for n in range(20)}


async def test_changes_of_a_message_beside_its_redeliveries(any_store: Store) -> None:
    await asyncio.gather(
        *(apply(any_store, message_metadata(1, **{str(n): n})) for n in range(20)),
        *(apply(any_store, message(1, 1, 1, metadata={"own": 1})) for _ in range(10)),
    )
    [found] = await messages(any_store, 1)
    assert to_json(found.metadata) == {"own": 1, **{str(n): n for n in range(20)}}
    assert (await get(any_store, 1)).last_message == found


async def test_changes_of_one_subject_keep_their_order_within_a_request(any_store: Store) -> None:
    changes = [metadata(1, user_data={"last": n, str(n): None if n % 2 else n}) for n in range(30)]
    await apply(any_store, *changes, message(1, 1), *changes)
    found = to_json((await get(any_store, 1)).metadata.user_data)
    assert found == {"last": 29, **{str(n): n for n in range(0, 30, 2)}}


async def test_the_same_messages_from_several_senders(opened: OpenStore) -> None:
    stores = [await opened(partitions=4), await opened(), await opened()]
    log = [message(n % 5, n, n % 13) for n in range(60)]
    await asyncio.gather(
        *(apply(store, *log[start:], *log[:start]) for start, store in zip((0, 20, 40), stores, strict=True))
    )
    listed = await page(stores[0])
    assert (listed.total, listed.unread, len(ids_of(listed))) == (5, 5, 5)
    for number in range(5):
        found = await get(stores[0], number)
        assert found.metadata.unread_count == 12
        assert len(await messages(stores[1], number)) == 12
        assert found.created_at == (await messages(stores[2], number))[0].sent_at
        assert found.last_message == (await messages(stores[2], number))[-1]


async def test_a_caller_that_goes_away_leaves_its_connection_usable(store: Store) -> None:
    """Calls cut off at any moment; each later answer belongs to its own question."""
    await apply(store, *(message(n, n) for n in range(1, 21)))
    for rounds in range(30):
        calls = [asyncio.ensure_future(get(store, number)) for number in range(1, 21)]
        for _ in range(rounds % 5):
            await asyncio.sleep(0)
        for call in calls[rounds % 3 :: 2]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        found = await asyncio.gather(*(get(store, number) for number in range(1, 21)))
        assert [one.id for one in found] == [conversation_id(number) for number in range(1, 21)]
