"""Tags: when one is deleted no conversation has it, whatever comes late, until an event brings it back."""

import asyncio

import pytest
from tests.integration.store.events import apply, conversation_id, find, get, message, metadata, page, tag, tag_id

from conversations.errors import ConversationNotFoundError, InvalidFieldError, TagExistsError, TagNotFoundError
from conversations.store import ConversationPatch, Store
from conversations.v1 import conversation_pb2, tag_pb2


async def tags_of(store: Store, conversation: int) -> set[str]:
    return set((await get(store, conversation)).metadata.tags)


async def test_tags_are_listed_by_name_then_id(any_store: Store) -> None:
    await apply(any_store, tag(3, "b"), tag(2, "a"), tag(1, "b"), tag(4, "B", "tag-blue"))
    assert [(found.name, found.id) for found in await any_store.tags.list_all()] == [
        ("B", tag_id(4)),
        ("a", tag_id(2)),
        ("b", tag_id(1)),
        ("b", tag_id(3)),
    ]


async def test_a_tag_is_created_once_however_often_it_is_asked(any_store: Store) -> None:
    tag = tag_pb2.Tag(id=tag_id(1), name="x", color="tag-red")
    for _ in range(2):
        await any_store.tags.create(tag)
    other = tag_pb2.Tag(id=tag_id(1), name="y", color="tag-red")
    with pytest.raises(TagExistsError, match=f"another tag has the id {tag_id(1)}"):
        await any_store.tags.create(other)
    assert await any_store.tags.list_all() == [tag]
    await any_store.tags.delete(tag.id)
    await any_store.tags.create(other)
    await apply(any_store, message(1, 1, 1))
    await any_store.conversations.tag(conversation_id(1), tag_id(1))
    assert await any_store.tags.list_all() == [other]


async def test_an_update_keeps_what_it_does_not_name(any_store: Store) -> None:
    await apply(any_store, tag(1, "Urgent", "tag-red"))
    await any_store.tags.update(tag_id(1), "Later", None)
    await any_store.tags.update(tag_id(1), None, "tag-blue")
    assert await any_store.tags.list_all() == [tag_pb2.Tag(id=tag_id(1), name="Later", color="tag-blue")]


async def test_updates_side_by_side_lose_nothing(any_store: Store) -> None:
    await apply(any_store, tag(1, "Urgent", "tag-red"))
    await asyncio.gather(
        *(any_store.tags.update(tag_id(1), "Later", None) for _ in range(10)),
        *(any_store.tags.update(tag_id(1), None, "tag-blue") for _ in range(10)),
    )
    assert await any_store.tags.list_all() == [tag_pb2.Tag(id=tag_id(1), name="Later", color="tag-blue")]


async def test_an_unknown_tag(any_store: Store) -> None:
    for call in (
        any_store.tags.update(tag_id(1), "x", None),
        any_store.tags.delete(tag_id(1)),
        any_store.tags.require(tag_id(1)),
    ):
        with pytest.raises(TagNotFoundError):
            await call


async def test_tags_go_on_and_off(any_store: Store) -> None:
    await apply(any_store, tag(1), tag(2), message(1, 1))
    id = conversation_id(1)
    await any_store.conversations.tag(id, tag_id(1))
    await any_store.conversations.tag(id, tag_id(1))
    await any_store.conversations.tag(id, tag_id(2))
    assert await tags_of(any_store, 1) == {tag_id(1), tag_id(2)}
    assert await find(any_store, f"tag_ids:{tag_id(1)}") == await find(any_store, "tag_ids:*") == {1}
    await any_store.conversations.untag(id, tag_id(1))
    await any_store.conversations.untag(id, tag_id(1))
    assert await tags_of(any_store, 1) == {tag_id(2)}
    assert await find(any_store, f"tag_ids:{tag_id(1)}") == set()
    await any_store.conversations.untag(id, tag_id(2))
    assert await find(any_store, "tag_ids:*") == set()
    with pytest.raises(ConversationNotFoundError):
        await any_store.conversations.tag(conversation_id(2), tag_id(1))


async def test_a_deleted_tag_leaves_every_conversation(any_store: Store) -> None:
    """More of them than one call clears."""
    numbers = range(1, 451)
    await apply(any_store, tag(1), tag(2), *(message(n, n) for n in numbers))
    await apply(any_store, *(metadata(n, tags={tag_id(1): "", tag_id(2): ""}) for n in numbers))
    await any_store.tags.delete(tag_id(1))
    assert [found.id for found in await any_store.tags.list_all()] == [tag_id(2)]
    assert await find(any_store, f"tag_ids:{tag_id(1)}") == set()
    assert (await page(any_store, f"tag_ids:{tag_id(2)}")).filtered_total == len(numbers)
    for number in (1, 225, 450):
        assert await tags_of(any_store, number) == {tag_id(2)}


async def test_a_deleted_tag_leaves_conversations_that_wait(any_store: Store) -> None:
    await apply(any_store, tag(1), tag(2), metadata(1, tags={tag_id(1): "", tag_id(2): ""}), metadata(2, tags={}))
    await any_store.tags.delete(tag_id(1))
    await apply(any_store, message(1, 1))
    assert await tags_of(any_store, 1) == {tag_id(2)}


async def test_a_late_event_does_not_bring_a_deleted_tag_back(any_store: Store) -> None:
    await apply(any_store, tag(1), tag(2), message(1, 1))
    await any_store.tags.delete(tag_id(1))
    await apply(any_store, metadata(1, tags={tag_id(1): "", tag_id(2): ""}), metadata(2, tags={tag_id(1): ""}))
    await apply(any_store, message(2, 2))
    assert await tags_of(any_store, 1) == {tag_id(2)}
    assert await tags_of(any_store, 2) == set()
    with pytest.raises(TagNotFoundError):
        await any_store.conversations.tag(conversation_id(1), tag_id(1))


async def test_an_event_brings_a_deleted_tag_back(any_store: Store) -> None:
    await apply(any_store, tag(1), message(1, 1), metadata(1, tags={tag_id(1): ""}))
    await any_store.tags.delete(tag_id(1))
    # One request: what stands behind the tag's event sees the tag.
    await apply(any_store, tag(1, "Again"), metadata(1, tags={tag_id(1): ""}))
    assert [found.name for found in await any_store.tags.list_all()] == ["Again"]
    assert await tags_of(any_store, 1) == {tag_id(1)}


async def test_within_a_request_what_stands_before_the_tag_does_not_see_it(any_store: Store) -> None:
    await apply(any_store, tag(1), message(1, 1), message(2, 2))
    await any_store.tags.delete(tag_id(1))
    await apply(any_store, metadata(1, tags={tag_id(1): ""}), tag(1), metadata(2, tags={tag_id(1): ""}))
    assert await tags_of(any_store, 1) == set()
    assert await tags_of(any_store, 2) == {tag_id(1)}


async def test_metadata_may_name_a_tag_before_its_event(any_store: Store) -> None:
    await apply(any_store, message(1, 1), metadata(1, tags={tag_id(1): ""}), tag(1))
    assert await tags_of(any_store, 1) == {tag_id(1)}


async def test_all_tags_at_once_go_off(any_store: Store) -> None:
    await apply(any_store, tag(1), tag(2), message(1, 1), metadata(1, tags={tag_id(1): "", tag_id(2): ""}))
    await apply(any_store, metadata(1, tags=None))
    assert await tags_of(any_store, 1) == set()


async def test_a_deletion_side_by_side_with_writers_is_complete(any_store: Store) -> None:
    await apply(any_store, tag(1), *(message(n, n) for n in range(1, 41)))

    async def put(number: int) -> None:
        try:
            if number % 2:
                await any_store.conversations.tag(conversation_id(number), tag_id(1))
            else:
                await any_store.conversations.patch(conversation_id(number), ConversationPatch(added_tags=(tag_id(1),)))
        except TagNotFoundError:
            pass

    await asyncio.gather(*map(put, range(1, 21)), any_store.tags.delete(tag_id(1)), *map(put, range(21, 41)))
    assert await find(any_store, f"tag_ids:{tag_id(1)}") == set()


async def test_a_conversation_has_a_thousand_tags_at_most(any_store: Store) -> None:
    """Each change of its tags keeps Redis busy for as long as there are many, and each list has all of them."""
    ids = [tag_id(number) for number in range(1001)]
    await apply(any_store, message(1, 1), message(2, 2), metadata(1, state="OPEN", tags=dict.fromkeys(ids[:999], "")))
    refused = await any_store.ingest.apply(
        [metadata(1, state="CLOSED", tags=dict.fromkeys(ids[999:], "")), metadata(2, state="CLOSED")]
    )
    assert {index: str(error) for index, error in refused.items()} == {0: "tags: a conversation has 1000 at most"}
    found = (await get(any_store, 1)).metadata
    assert (len(found.tags), found.state) == (999, conversation_pb2.ConversationMetadata.OPEN)
    assert await find(any_store, "state:closed") == {2}
    await any_store.conversations.tag(conversation_id(1), ids[999])
    await any_store.conversations.tag(conversation_id(1), ids[999])
    with pytest.raises(InvalidFieldError, match="^tags: a conversation has 1000 at most$"):
        await any_store.conversations.tag(conversation_id(1), ids[1000])
    await apply(any_store, metadata(1, tags={ids[0]: None, ids[1000]: ""}))
    assert await tags_of(any_store, 1) == set(ids[1:])
