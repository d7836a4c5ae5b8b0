"""Answers are put together from stored bytes: the same that protobuf would write of the parsed message."""

from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from tests.integration.store.events import (
    apply,
    channel,
    conversation_id,
    get,
    ids_of,
    message,
    message_metadata,
    metadata,
    page,
    receipt,
    tag_id,
)

from conversations.servicers.wire import page_bytes, split_items
from conversations.store import ConversationPage, Store
from conversations.v1 import conversation_pb2, message_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse, PaginationData

CHANNEL = {"source_channel_id": "fb-page-1", "connected": True, "metadata": {"name": "Page"}}


# One key for each object: the order of several is left open by protobuf.
@pytest.fixture(
    params=[
        pytest.param([], id="a message alone"),
        pytest.param([receipt(1, 60)], id="read"),
        pytest.param([message(1, n, n) for n in range(2, 202)], id="unread in two bytes"),
        pytest.param([channel("318efa04-7cc1-4200-988e-50699d0dd6e3", **CHANNEL)], id="a channel of its own"),
        pytest.param([metadata(1, contact={"display_name": "Ada"})], id="a name"),
        pytest.param([metadata(1, contact={"avatar_url": "http://x"})], id="an avatar beside the default name"),
        pytest.param([metadata(1, contact={"display_name": "Ä" * 200, "avatar_url": ""})], id="a long name"),
        pytest.param([metadata(1, state="OPEN")], id="open"),
        pytest.param([metadata(1, state="CLOSED"), receipt(1, 60)], id="closed and read"),
        pytest.param([metadata(1, tags={tag_id(1): ""})], id="a tag"),
        pytest.param([metadata(1, user_data={})], id="empty user data"),
        pytest.param([metadata(1, user_data={"a": [None, {"b": 1.5}, "é", True]})], id="user data"),
        pytest.param([metadata(1, user_data={"a": "x" * 60_000})], id="much user data"),
        pytest.param([message_metadata(1, k=None), message_metadata(1, k={"x": []})], id="message metadata"),
        pytest.param([message(1, 2, 9, sender={}, content={}, from_contact=False, delivery_state="FAILED")], id="ours"),
        pytest.param([message(1, 2, 9, sent_at="9999-12-31T23:59:59.999Z", source="A.b-c_9")], id="odd facts"),
        pytest.param(
            [metadata(1, state="OPEN", tags={tag_id(1): ""}, user_data={"k": 1}, contact={"display_name": "A"})],
            id="all at once",
        ),
    ]
)
def changes(request: pytest.FixtureRequest) -> Any:
    return request.param


def check(stored: bytes, kind: type[Message]) -> None:
    parsed = kind.FromString(stored)
    assert parsed.SerializeToString(deterministic=True) == stored
    # No field is there that the service does not know.
    parsed.DiscardUnknownFields()
    assert parsed.ByteSize() == len(stored)


async def test_every_answer(store: Store, changes: list[Any]) -> None:
    await apply(store, message(1, 1, 1, metadata={"k": 1}), *changes)
    await apply(store, message(2, 1000, 1))
    stored = await store.conversations.get(conversation_id(1))
    check(stored, conversation_pb2.Conversation)
    for filters in ("", "source:*"):
        listed = await page(store, filters)
        assert stored in split_items(listed.conversations, 1000)
        check(response(listed), ListConversationsResponse)
    for item in split_items((await store.messages.list_page(conversation_id(1), "", 100)).messages, 1000):
        check(item, message_pb2.Message)


def response(listed: ConversationPage) -> bytes:
    pagination = PaginationData(filtered_total=listed.filtered_total, total=listed.total)
    return page_bytes(listed.conversations, pagination.SerializeToString(deterministic=True))


async def test_what_an_answer_always_has(any_store: Store) -> None:
    facts: dict[str, Any] = {"sender": None, "content": None, "delivery_state": None}
    await apply(any_store, message(1, 1, 1, **facts))
    found = await get(any_store, 1)
    present: list[tuple[Message, str]] = [
        (found, "channel"),
        (found, "metadata"),
        (found, "last_message"),
        (found.channel, "metadata"),
        (found.metadata, "contact"),
        (found.last_message, "content"),
        (found.last_message, "sender"),
        (found.last_message, "metadata"),
    ]
    absent: list[tuple[Message, str]] = [
        (found.metadata, "state"),
        (found.metadata, "user_data"),
        (found.metadata.contact, "avatar_url"),
        (found.last_message.sender, "name"),
    ]
    assert [name for part, name in present if not part.HasField(name)] == []
    assert [name for part, name in absent if part.HasField(name)] == []
    assert found.last_message.delivery_state == found.last_message.state == message_pb2.Message.DELIVERED


async def test_free_data_of_many_keys_comes_back(any_store: Store) -> None:
    data = {f"k{n}": {f"x{m}": [n, m] for m in range(5)} for n in range(20)}
    await apply(any_store, message(1, 1, 1, content=data, metadata=data), metadata(1, user_data=data))
    expected = Struct()
    expected.update(data)
    found = await get(any_store, 1)
    assert (
        found.last_message.content.struct_value == found.last_message.metadata == found.metadata.user_data == expected
    )
    assert ids_of(await page(any_store, "metadata.user_data.k7.x3:7")) == [conversation_id(1)]
