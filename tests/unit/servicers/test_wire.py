"""Bytes put together are those that protobuf would write, and bytes taken apart are read as protobuf reads them."""

import time
from contextlib import suppress
from random import Random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from conversations.errors import InvalidFieldError
from conversations.servicers.wire import page_bytes, split_items
from conversations.v1 import conversation_pb2, event_pb2, message_pb2, tag_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse, PaginationData
from conversations.v1.ingest_service_pb2 import IngestEventsRequest
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


EVENTS = st.lists(st.text(max_size=200).map(lambda text: event_pb2.Event(tag=tag_pb2.Tag(name=text))), max_size=6)


@given(EVENTS)
def test_items_are_split_as_protobuf_reads_them(events: list[event_pb2.Event]) -> None:
    data = IngestEventsRequest(events=events).SerializeToString()
    assert split_items(data, 6) == [event.SerializeToString() for event in events]


# Fields of all types with numbers that no request has, as a newer client may send them.
UNKNOWN = [b"\x10\x96\x01", b"\x19" + b"x" * 8, b"\x22\x03abc", b"\x2dabcd", b"\xf2\xff\x07\x01x"]


@given(EVENTS, st.lists(st.sampled_from(UNKNOWN), max_size=7), st.randoms(use_true_random=False))
def test_fields_of_newer_clients_are_passed_over(
    events: list[event_pb2.Event], unknown: list[bytes], random: Random
) -> None:
    parts = [IngestEventsRequest(events=[event]).SerializeToString() for event in events]
    for field in unknown:
        parts.insert(random.randint(0, len(parts)), field)
    data = b"".join(parts)
    assert split_items(data, 6) == [event.SerializeToString() for event in IngestEventsRequest.FromString(data).events]


@given(st.binary(max_size=30))
def test_no_bytes_are_read_that_protobuf_would_not_read(data: bytes) -> None:
    try:
        items = split_items(data, 100)
    except DecodeError:
        return
    with suppress(DecodeError):  # protobuf looks into the items too
        assert len(IngestEventsRequest.FromString(data).events) == len(items)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\x0fabc",
        b"\x0a" + b"\xff" * 11,
        b"\x08\x01",
        b"\x0d1234",
        b"\x02\x01x",
        b"\x13\x14",
        b"\x19abc",
        b"\x10\x80",
        b"\x22\x01x" * 101,
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        split_items(data, 100)


def test_too_many_items_are_counted_and_not_read() -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidFieldError, match="events: may have at most 1000 items"):
        split_items(b"\x0a\x00" * 4_000_000, 1000)
    assert time.perf_counter() - began < 0.1
