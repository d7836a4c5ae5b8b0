"""Bounds on what one caller may send, unnoticed by others: against a worker in its own process."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from tests.clients import EMPTY_FRAME, Http2, grpc_headers, outcome
from tests.conftest import GrpcServer

from conversations.v1 import (
    conversation_service_pb2,
    conversation_service_pb2_grpc,
    event_pb2,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    metadata_service_pb2,
    metadata_service_pb2_grpc,
    tag_service_pb2,
    tag_service_pb2_grpc,
)

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
INGEST = "/conversations.v1.IngestService/IngestEvents"
UPSERT = "/conversations.v1.MetadataService/UpsertMetadata"
# So long may a call of another take at most: slices of two milliseconds, a large event, and room for a noisy machine.
OTHERS_SECONDS = 0.25


@pytest.fixture
def server(grpc_server: Callable[[int], GrpcServer]) -> GrpcServer:
    found = grpc_server(1)
    found.flush()
    return found


@pytest.mark.parametrize("path", [b"/\xff", b"/conversations.v1.TagService/ListTags?\xff", b"\xf0\x9f", b"", b"?"])
async def test_path_that_is_not_text_is_an_unknown_method(server: GrpcServer, path: bytes) -> None:
    """gRPC's own loop decodes it as UTF-8, and accepts no more calls after an error."""
    port = int(server.target.rpartition(":")[2])
    headers = [(name, path if name == ":path" else value) for name, value in grpc_headers(port, "")]
    with Http2(port) as client:
        assert outcome(client.call(headers, EMPTY_FRAME)) == (200, 12, "UNKNOWN_METHOD")
    async with channel_to(server) as channel:
        await tag_service_pb2_grpc.TagServiceStub(channel).ListTags(tag_service_pb2.ListTagsRequest())


@asynccontextmanager
async def channel_to(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(server.target, options) as channel:
        yield channel


async def longest_call_of_another(server: GrpcServer, until: "asyncio.Future[Any]") -> float:
    """Return how long the longest call of another caller took, in seconds, until something is done."""
    longest = 0.0
    async with channel_to(server) as channel:
        tags = tag_service_pb2_grpc.TagServiceStub(channel)
        while not until.done():
            began = time.monotonic()
            await tags.ListTags(tag_service_pb2.ListTagsRequest())
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.001)
    return longest


async def call(channel: grpc.aio.Channel, method: str, data: bytes) -> bytes:
    raw: Any = channel.unary_unary(method)
    answer: bytes = await raw(data)
    return answer


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def message_event(number: int, **content: Any) -> event_pb2.Event:
    struct = Struct()
    struct.update(content)
    return event_pb2.Event(
        message=event_pb2.MessageEvent(
            id=f"00000000-0000-4000-8000-{number:012d}",
            conversation_id=ID,
            channel_id=ID,
            content=Value(struct_value=struct),
            from_contact=True,
            sent_at="2019-01-07T09:01:44.000Z",
            source="facebook",
        )
    )


def zeros(count: int) -> bytes:
    """Return a Struct with an array of zeros, serialised, without building it."""
    value = b"\x11" + bytes(8)
    items = (b"\x0a" + varint(len(value)) + value) * count
    array = b"\x32" + varint(len(items)) + items
    entry = b"\x0a\x01a\x12" + varint(len(array)) + array
    return b"\x0a" + varint(len(entry)) + entry


def varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*septets, number])


def test_the_zeros_are_a_struct() -> None:
    assert json_format.MessageToDict(Struct.FromString(zeros(3))) == {"a": [0.0, 0.0, 0.0]}


async def test_millions_of_empty_events_are_counted_and_not_built(server: GrpcServer) -> None:
    data = b"\x0a\x00" * (8 * 1024 * 1024)
    async with channel_to(server) as channel:
        calls = asyncio.gather(*(refusal(call(channel, INGEST, data)) for _ in range(3)))
        assert await longest_call_of_another(server, calls) < OTHERS_SECONDS
        for code, text in await calls:
            assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "events: may have at most 1000 items")


async def test_a_huge_event_is_refused_alone_and_not_built(server: GrpcServer) -> None:
    content = zeros(1_000_000)
    field = b"\x2a" + varint(len(content)) + content
    huge = b"\x1a" + varint(len(field)) + field
    good = ingest_service_pb2.IngestEventsRequest(events=[message_event(1, text="hello")]).SerializeToString()
    data = good + b"\x0a" + varint(len(huge)) + huge
    async with channel_to(server) as channel:
        calls = asyncio.gather(*(call(channel, INGEST, data) for _ in range(3)))
        assert await longest_call_of_another(server, calls) < OTHERS_SECONDS
        for answer in map(ingest_service_pb2.IngestEventsResponse.FromString, await calls):
            assert answer.accepted == 1
            assert [(one.index, one.message) for one in answer.rejected] == [
                (1, "event: is too large: at most 262144 bytes")
            ]


async def test_a_large_request_of_another_method_is_not_parsed(server: GrpcServer) -> None:
    data = b"\x1a" + varint(len(zeros(1_000_000))) + zeros(1_000_000)
    async with channel_to(server) as channel:
        calls = asyncio.gather(*(refusal(call(channel, UPSERT, data)) for _ in range(3)))
        assert await longest_call_of_another(server, calls) < OTHERS_SECONDS
        for code, text in await calls:
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert text == "a request of this method may have at most 262144 bytes"


async def test_requests_of_the_largest_valid_events_leave_room_for_others(server: GrpcServer) -> None:
    """Each takes tens of milliseconds to check, to merge and to index."""
    struct = Struct()
    struct.update({"a": [True] * 15_000})
    events = [
        event_pb2.Event(
            metadata=event_pb2.MetadataEvent(
                subject="conversation", id=f"00000000-0000-4000-8000-{number:012d}", metadata={"user_data": struct}
            )
        )
        for number in range(20)
    ]
    request = ingest_service_pb2.IngestEventsRequest(events=events)
    async with channel_to(server) as channel:
        ingest = ingest_service_pb2_grpc.IngestServiceStub(channel)
        calls: Any = asyncio.gather(*(ingest.IngestEvents(request) for _ in range(3)))
        assert await longest_call_of_another(server, calls) < 2 * OTHERS_SECONDS
        assert [answer.accepted for answer in await calls] == [20, 20, 20]


async def test_many_writers_of_one_conversation_have_fair_turns(server: GrpcServer) -> None:
    async with channel_to(server) as channel:
        ingest = ingest_service_pb2_grpc.IngestServiceStub(channel)
        await ingest.IngestEvents(ingest_service_pb2.IngestEventsRequest(events=[message_event(1, text="hello")]))
        metadata = metadata_service_pb2_grpc.MetadataServiceStub(channel)
        took: list[float] = []

        async def write(number: int) -> None:
            for turn in range(4):
                request = metadata_service_pb2.UpsertMetadataRequest(subject="conversation", id=ID)
                request.data.update({f"writer {number}": turn})
                began = time.monotonic()
                await metadata.UpsertMetadata(request)
                took.append(time.monotonic() - began)

        await asyncio.gather(*(write(number) for number in range(64)))
        conversations = conversation_service_pb2_grpc.ConversationServiceStub(channel)
        found = await conversations.GetConversation(conversation_service_pb2.GetConversationRequest(conversation_id=ID))
    assert dict(found.metadata.user_data.items()) == {f"writer {number}": 3.0 for number in range(64)}
    # 64 wait for each other: none for much longer than the others.
    took.sort()
    assert took[-1] < max(6 * took[len(took) // 2], 0.5)


def test_memory_of_the_server_is_bounded(server: GrpcServer) -> None:
    """The tests above sent it 200 MB, which parsed would be some gigabytes."""
    status = Path(f"/proc/{server.pid}/status")
    if not status.exists():
        pytest.skip("only Linux tells")
    peak_kib = int(status.read_text().split("VmHWM:")[1].split()[0])
    assert peak_kib < 600 * 1024
