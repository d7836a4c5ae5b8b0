"""Responses put together from bytes are the bytes that protobuf would write."""

from hypothesis import given
from hypothesis import strategies as st

from conversations.servicers.wire import page_bytes
from conversations.v1 import conversation_pb2, message_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse, PaginationData
from conversations.v1.message_service_pb2 import ListMessagesResponse, MessagePaginationData

# Lengths around the first bounds of a varint.
TEXT = st.integers(0, 20_000).map("x".__mul__) | st.sampled_from([0, 125, 126, 127, 128, 16_381, 16_384]).map(
    "x".__mul__
)


@given(st.lists(TEXT, max_size=4), TEXT)
def test_a_page_of_conversations(ids: list[str], cursor: str) -> None:
    items = [conversation_pb2.Conversation(id=id) for id in ids]
    pagination = PaginationData(next_cursor=cursor, total=len(ids))
    expected = ListConversationsResponse(data=items, pagination_data=pagination).SerializeToString()
    framed = ListConversationsResponse(data=items).SerializeToString()
    assert page_bytes(framed, pagination.SerializeToString()) == expected


@given(st.lists(TEXT, max_size=4), TEXT)
def test_a_page_of_messages(ids: list[str], cursor: str) -> None:
    items = [message_pb2.Message(id=id) for id in ids]
    pagination = MessagePaginationData(next_cursor=cursor, total=len(ids))
    expected = ListMessagesResponse(data=items, pagination_data=pagination).SerializeToString()
    framed = ListMessagesResponse(data=items).SerializeToString()
    assert page_bytes(framed, pagination.SerializeToString()) == expected


def test_an_empty_page_has_its_pagination() -> None:
    assert ListConversationsResponse.FromString(page_bytes(b"", b"")).HasField("pagination_data")
