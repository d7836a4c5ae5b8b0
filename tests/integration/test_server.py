"""The gRPC server: what every call can rely on, with Redis there, away and back, and while it stops."""

import asyncio
import signal
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
import redis
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from pydantic import SecretStr
from tests.clients import Http2, Reply, frame, grpc_headers
from tests.lossy import LossyProxy

from conversations.errors import ConfigurationError
from conversations.local.engines import RedisEngine, find_redis, private_directory
from conversations.server import Server, serve
from conversations.settings import Settings
from conversations.store import Store, open_store
from conversations.v1 import (
    channel_service_pb2,
    conversation_pb2,
    conversation_service_pb2,
    conversation_service_pb2_grpc,
    filter_service_pb2,
    health_service_pb2,
    health_service_pb2_grpc,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
    tag_service_pb2_grpc,
)

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICES = {
    module.DESCRIPTOR.services_by_name[name].full_name: module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (conversation_service_pb2, "ConversationService"),
        (message_service_pb2, "MessageService"),
        (tag_service_pb2, "TagService"),
        (channel_service_pb2, "ChannelService"),
        (metadata_service_pb2, "MetadataService"),
        (ingest_service_pb2, "IngestService"),
        (filter_service_pb2, "FilterService"),
        (health_service_pb2, "HealthService"),
    )
}
METHODS = [f"/{name}/{method.name}" for name, service in SERVICES.items() for method in service.methods]
OTHER_METHODS = [
    *(f"/grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch")),
    *(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")),
]
LIST_TAGS = "/conversations.v1.TagService/ListTags"
MESSAGE = {
    "id": ID,
    "conversation_id": ID,
    "channel_id": ID,
    "from_contact": True,
    "sent_at": "2019-01-07T09:01:44Z",
    "source": "facebook",
}


@dataclass(frozen=True)
class Worker:
    """A server in this process."""

    server: Server
    store: Store
    channel: grpc.aio.Channel

    def call(self, method: str, data: bytes) -> Awaitable[bytes]:
        """Call a method with raw bytes."""
        raw: Any = self.channel.unary_unary(method)
        call: Awaitable[bytes] = raw(data)
        return call

    def conversations(self) -> Any:
        return conversation_service_pb2_grpc.ConversationServiceStub(self.channel)

    def tags(self) -> Any:
        return tag_service_pb2_grpc.TagServiceStub(self.channel)

    def ingest(self) -> Any:
        return ingest_service_pb2_grpc.IngestServiceStub(self.channel)

    def health(self) -> Any:
        return health_pb2_grpc.HealthStub(self.channel)

    async def add_conversation(self) -> None:
        request = json_format.ParseDict({"events": [{"message": MESSAGE}]}, ingest_service_pb2.IngestEventsRequest())
        assert (await self.ingest().IngestEvents(request)).accepted == 1


StartWorker = Callable[..., Awaitable[Worker]]


def new_channel(port: int) -> grpc.aio.Channel:
    """Return a channel with a connection of its own."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture
async def start() -> AsyncIterator[StartWorker]:
    """A function that starts a worker on a Redis, with more settings; all are stopped at the end."""
    async with AsyncExitStack() as cleanup:

        async def start_worker(url: str, **settings: Any) -> Worker:
            values = {"port": 0, "drain_seconds": 0.0, "grace_seconds": 0.0, "redis_url": SecretStr(url), **settings}
            chosen = Settings(**values)
            store = await open_store(chosen)
            cleanup.push_async_callback(store.close)
            async with asyncio.timeout(10):
                while await store.index_progress() < 1.0:
                    await asyncio.sleep(0.002)
            server = Server(chosen, store)
            await server.start()
            cleanup.push_async_callback(server.stop)
            channel = await cleanup.enter_async_context(new_channel(server.port))
            return Worker(server, store, channel)

        yield start_worker


@pytest.fixture
async def worker(start: StartWorker, redis_url: str) -> Worker:
    return await start(redis_url)


@pytest.fixture(scope="module")
def engine() -> RedisEngine:
    return find_redis()


class OwnRedis:
    """A Redis that a test may kill and start again, always in the same place."""

    def __init__(self, engine: RedisEngine, directory: Path) -> None:
        self._socket = directory / "redis.sock"
        self.url = f"unix://{self._socket}"
        place = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(directory), "--save", ""]
        self._command = [str(engine.server), *place, "--appendonly", "yes", *engine.search_arguments]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - killed, not awaited
        async with asyncio.timeout(20):
            while True:
                try:
                    with redis.Redis.from_url(self.url) as client:
                        client.ping()
                    return
                except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                    assert self._process.poll() is None
                    await asyncio.sleep(0.01)

    def pause(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def own_redis(engine: RedisEngine) -> Iterator[OwnRedis]:
    with private_directory() as directory:
        server = OwnRedis(engine, directory)
        yield server
        server.kill()


@contextmanager
def paused_writes(url: str) -> Iterator[redis.Redis]:
    """Hold back every write at Redis, until the end."""
    with redis.Redis.from_url(url) as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        try:
            yield client
        finally:
            client.execute_command("CLIENT", "UNPAUSE")


async def until_blocked(client: redis.Redis) -> None:
    """Wait until a call has reached Redis and is held back there."""
    async with asyncio.timeout(5):
        while client.info("clients")["blocked_clients"] < 1:
            await asyncio.sleep(0.002)


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """Return what is in a status, by the name of the message."""
    # It asks for no more than an error has; its type says a call.
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None
    assert (status.code, status.message) == (error.code().value[0], error.details())
    unpacked = {}
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
        for packed in status.details:
            message = kind()
            if packed.Unpack(message):
                unpacked[kind.DESCRIPTOR.name] = message
    assert len(unpacked) == len(status.details)
    assert unpacked["ErrorInfo"].domain == "conversations.v1"
    return unpacked


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def statuses(worker: Worker, service: str = "") -> AsyncGenerator[int, None]:
    """Yield each status that the health service says, at once when it changes."""
    watch = worker.health().Watch(health_pb2.HealthCheckRequest(service=service))
    try:
        async for answer in watch:
            yield answer.status
    finally:
        watch.cancel()


async def next_status(watch: AsyncIterator[int]) -> int:
    async with asyncio.timeout(10):
        return await anext(watch)


def list_request(filters: str = "") -> conversation_service_pb2.ListConversationsRequest:
    return conversation_service_pb2.ListConversationsRequest(filters=filters)


def read_request() -> conversation_service_pb2.MarkConversationReadRequest:
    return conversation_service_pb2.MarkConversationReadRequest(conversation_id=ID)


# What every method answers


@pytest.mark.parametrize("method", [*METHODS, *OTHER_METHODS])
async def test_bytes_that_are_no_message_are_the_callers_fault(worker: Worker, method: str) -> None:
    for data in (b"\xff\xff\xff", b"\x0a\x05abc"):
        error = await failure(worker.call(method, data))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "the request is not a message of the method's type"
        assert details(error)["ErrorInfo"].reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\0\0\0\x09abc", frame(b"")[:4]],
    ids=["nothing", "a byte", "half a message", "half a frame"],
)
@pytest.mark.parametrize("method", [LIST_TAGS, *OTHER_METHODS[:3]])
async def test_a_request_that_was_cut_off_is_refused(worker: Worker, method: str, body: bytes) -> None:
    with Http2(worker.server.port) as client:
        reply = await asyncio.to_thread(client.call, grpc_headers(worker.server.port, method), body)
    assert (reply.grpc_status, reply.headers["grpc-message"]) == (3, "the request is missing or incomplete")


@pytest.mark.parametrize("method", [LIST_TAGS, *OTHER_METHODS])
async def test_a_request_that_does_not_come_is_not_waited_for(start: StartWorker, redis_url: str, method: str) -> None:
    worker = await start(redis_url, request_timeout_seconds=0.3)
    with Http2(worker.server.port) as client:
        headers = grpc_headers(worker.server.port, method)
        for stream in [client.request(headers, body, end=False) for body in (b"", b"\0\0", frame(b"abc" * 9)[:8])]:
            reply = await asyncio.to_thread(client.reply, stream)
            assert (reply.grpc_status, reply.headers["grpc-message"]) == (4, "the request did not arrive in time")


async def test_callers_that_never_send_their_requests_hurt_nobody(start: StartWorker, redis_url: str) -> None:
    worker = await start(redis_url, max_arriving_calls=100)
    request = tag_service_pb2.ListTagsRequest()
    clients = [Http2(worker.server.port) for _ in range(5)]
    headers = grpc_headers(worker.server.port, LIST_TAGS)
    streams = [(client, client.request(headers, end=False)) for client in clients for _ in range(100)]
    for _ in range(20):
        assert await worker.tags().ListTags(request, timeout=1) == tag_service_pb2.ListTagsResponse()
    refused = [await asyncio.to_thread(reply_so_far, client, stream) for client, stream in streams]
    statuses = [reply.grpc_status for reply in refused]
    assert 400 <= statuses.count(14) < 500
    [reason] = {reply.headers["grpc-message"] for reply in refused if reply.grpc_status == 14}
    assert reason == "the server has more calls than it can answer soon; try again"
    for client in clients:
        client.close()


def reply_so_far(client: Http2, stream: int) -> Reply:
    client.socket.settimeout(0.01)
    with suppress(TimeoutError):
        client.reply(stream)
    return client.replies[stream]


async def test_headers_have_one_bound(worker: Worker) -> None:
    for size, status in ((8_000, 0), (30_000, 0), (65_000, 0), (66_000, 8), (150_000, 8)):
        for _ in range(10):
            with Http2(worker.server.port) as client:
                headers = [(f"x-{number}", "a" * (size // 10)) for number in range(10)]
                call = grpc_headers(worker.server.port, LIST_TAGS, *headers)
                reply = await asyncio.to_thread(client.call, call, frame(b""))
                assert (reply.grpc_status, reply.ended) == (status, True)
                assert reply.headers["grpc-message"] == ("the headers are too large" if status else "")


async def test_text_that_is_not_utf_8_is_the_callers_fault(worker: Worker) -> None:
    error = await failure(worker.call("/conversations.v1.ConversationService/GetConversation", b"\x0a\x02\xc3\x28"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(error)["ErrorInfo"].reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    "method",
    [
        "/conversations.v1.ConversationService/Nothing",
        "/conversations.v1.Nothing/ListConversations",
        "/conversations.v1.ConversationService/listConversations",
        "/nothing",
        "/" + "x" * 3000,
    ],
    ids=lambda method: method[:60],
)
async def test_an_unknown_method(worker: Worker, method: str) -> None:
    error = await failure(worker.call(method, b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert details(error)["ErrorInfo"].reason == "UNKNOWN_METHOD"


async def test_an_unknown_stream(worker: Worker) -> None:
    stream: Any = worker.channel.unary_stream("/conversations.v1.ConversationService/Watch")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stream(b""):
            pass
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_bad_field_is_named(worker: Worker) -> None:
    request = conversation_service_pb2.GetConversationRequest(conversation_id="x")
    error = await failure(worker.conversations().GetConversation(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = details(error)
    assert found["ErrorInfo"].metadata == {"field": "conversation_id"}
    [violation] = found["BadRequest"].field_violations
    assert (violation.field, violation.description) == (
        "conversation_id",
        "has to be a UUID, 8-4-4-4-12 hexadecimal digits",
    )


async def test_what_is_not_there_is_not_found(worker: Worker) -> None:
    request = conversation_service_pb2.GetConversationRequest(conversation_id=ID.upper())
    error = await failure(worker.conversations().GetConversation(request))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == f"no conversation has the id {ID}"
    info = details(error)["ErrorInfo"]
    assert (info.reason, info.metadata) == ("CONVERSATION_NOT_FOUND", {"id": ID})


@pytest.mark.parametrize(
    "filters",
    [
        pytest.param("x" * 3900 + ":y", id="a long name of a field"),
        pytest.param("é" * 1900 + ":y", id="a long name beyond ASCII"),
        pytest.param("unread_count:" + "9x" * 1900, id="a long value"),
        pytest.param("unread_count:" + "é" * 1900, id="a long value beyond ASCII"),
        pytest.param("created_at:[" + "😀" * 900 + " TO *]", id="a long bound"),
        pytest.param('"' + "é" * 2000, id="a long phrase without an end"),
        pytest.param("/" + "(" * 3000 + "/", id="a long regular expression"),
        pytest.param("(" * 4000, id="many parentheses"),
        pytest.param("a " * 2040, id="many clauses"),
        pytest.param("x" * 5000, id="too many bytes"),
    ],
)
async def test_any_wrong_filter_arrives_as_invalid_argument(worker: Worker, filters: str) -> None:
    """gRPC drops a call whose trailing metadata, with all the details, is above 8 KiB."""
    error = await failure(worker.conversations().ListConversations(list_request(filters)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    assert len(b64encode(bytes(packed))) + len(quote(error.details() or "")) < 7 * 1024
    found = details(error)
    assert "position" in found["ErrorInfo"].metadata
    assert [violation.field for violation in found["BadRequest"].field_violations] == ["filters"]


async def test_a_request_that_is_too_large(start: StartWorker, redis_url: str) -> None:
    worker = await start(redis_url, max_request_bytes=2048)
    error = await failure(worker.conversations().ListConversations(list_request(" " * 2048)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await worker.conversations().ListConversations(list_request(" " * 2000))


async def test_a_defect_keeps_its_text_to_itself(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(worker.store.tags, "list_all", broken)
    error = await failure(worker.tags().ListTags(tag_service_pb2.ListTagsRequest()))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    assert details(error)["ErrorInfo"].reason == "INTERNAL_ERROR"
    assert "hunter2" not in str(error.trailing_metadata())
    assert "hunter2" in caplog.text


async def test_bytes_in_a_header_are_nothing_for_the_log(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """No line, and no traceback, for each header of whoever likes to send them."""
    headers = grpc_headers(worker.server.port, LIST_TAGS, ("x-note", b"\xff\xc3"), ("user-agent", b"\xf0\x9f"))
    with Http2(worker.server.port) as client:
        reply = await asyncio.to_thread(client.call, headers, frame(b""))
    assert reply.grpc_status == 0
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


async def test_an_answer_of_bytes_is_the_message(worker: Worker) -> None:
    await worker.add_conversation()
    request = conversation_service_pb2.GetConversationRequest(conversation_id=ID)
    found = await worker.conversations().GetConversation(request)
    assert isinstance(found, conversation_pb2.Conversation)
    listed = await worker.conversations().ListConversations(list_request("source:facebook"))
    assert list(listed.data) == [found]
    assert (listed.pagination_data.filtered_total, listed.pagination_data.badge_unread_count) == (1, 1)


async def test_each_count_of_a_list_is_told_by_its_name(worker: Worker) -> None:
    messages = [(1, "facebook", True), (2, "facebook", False), (3, "facebook", False), (4, "twilio.sms", True)]
    request = ingest_service_pb2.IngestEventsRequest()
    for number, source, from_contact in [*messages, (5, "google", True)]:
        id = f"{number:08d}{ID[8:]}"
        fields = {"id": id, "conversation_id": id, "source": source, "from_contact": from_contact}
        json_format.ParseDict({"message": MESSAGE | fields}, request.events.add())
    assert (await worker.ingest().IngestEvents(request)).accepted == 5
    listed = await worker.conversations().ListConversations(list_request("source:facebook OR source:twilio.sms"))
    counts = listed.pagination_data
    assert (counts.total, counts.filtered_total, counts.badge_unread_count, len(listed.data)) == (5, 4, 3, 4)


@pytest.mark.parametrize("method", ["TagConversation", "UntagConversation"])
async def test_a_tag_has_to_be_there_to_go_on_or_off(worker: Worker, method: str) -> None:
    await worker.add_conversation()
    request = {
        "TagConversation": conversation_service_pb2.TagConversationRequest,
        "UntagConversation": conversation_service_pb2.UntagConversationRequest,
    }[method](conversation_id=ID, tag_id=ID)
    error = await failure(getattr(worker.conversations(), method)(request))
    assert (error.code(), details(error)["ErrorInfo"].reason) == (grpc.StatusCode.NOT_FOUND, "TAG_NOT_FOUND")
    await worker.tags().CreateTag(tag_service_pb2.CreateTagRequest(id=ID, name="x", color="tag-red"))
    await getattr(worker.conversations(), method)(request)


async def test_bad_events_are_rejected_alone(worker: Worker) -> None:
    events = [{"message": MESSAGE}, {}, {"message": MESSAGE | {"sent_at": "now"}}, {"message": MESSAGE | {"id": ID}}]
    request = json_format.ParseDict({"events": events}, ingest_service_pb2.IngestEventsRequest())
    response = await worker.ingest().IngestEvents(request)
    assert response.accepted == 2
    assert [(one.index, one.code, one.message) for one in response.rejected] == [
        (1, "INVALID_ARGUMENT", "event: has to be one of channel, tag, message, metadata, read_receipt"),
        (
            2,
            "INVALID_ARGUMENT",
            "message.sent_at: not an RFC 3339 time; an example: 2019-01-07T09:01:44.000Z",
        ),
    ]


async def test_more_than_1000_events_are_refused(worker: Worker) -> None:
    request = ingest_service_pb2.IngestEventsRequest()
    for _ in range(1001):
        request.events.add()
    error = await failure(worker.ingest().IngestEvents(request))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "events: may have at most 1000 items")
    del request.events[0]
    assert len((await worker.ingest().IngestEvents(request)).rejected) == 1000


# Discovery


async def reflect(worker: Worker, request: reflection_pb2.ServerReflectionRequest) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast(grpc.Channel, worker.channel))
    [answer] = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    return answer


async def test_reflection_lists_every_service(worker: Worker) -> None:
    answer = await reflect(worker, reflection_pb2.ServerReflectionRequest(list_services=""))
    assert {service.name for service in answer.list_services_response.service} == {
        *SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("symbol", [*SERVICES, "google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"])
async def test_reflection_knows_every_service_and_error_detail(worker: Worker, symbol: str) -> None:
    """Without the details' types, clients by reflection cannot show an error."""
    answer = await reflect(worker, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
    assert answer.WhichOneof("message_response") == "file_descriptor_response"


# Deadlines, and callers that go away


async def test_a_deadline_ends_a_call_and_not_the_connection(worker: Worker, redis_url: str) -> None:
    await worker.add_conversation()
    with paused_writes(redis_url):
        error = await failure(worker.conversations().MarkConversationRead(read_request(), timeout=0.1))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # Reads go on meanwhile.
        assert (await worker.conversations().ListConversations(list_request())).pagination_data.total == 1
    async with asyncio.timeout(5):
        await worker.conversations().MarkConversationRead(read_request())


async def test_a_deadline_that_the_server_sees_first_has_its_details(worker: Worker, redis_url: str) -> None:
    await worker.add_conversation()
    metadata = (("grpc-timeout", "100m"),)
    with paused_writes(redis_url):
        error = await failure(worker.conversations().MarkConversationRead(read_request(), metadata=metadata))
    assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "the call ran out of time")
    assert details(error)["ErrorInfo"].reason == "OUT_OF_TIME"


async def test_cancelled_calls_leave_every_connection_usable(worker: Worker, redis_url: str) -> None:
    await worker.add_conversation()
    with paused_writes(redis_url) as client:
        calls = [worker.conversations().MarkConversationRead(read_request()) for _ in range(10)]
        await until_blocked(client)
        for call in calls:
            assert call.cancel()
        for call in calls:
            with suppress(asyncio.CancelledError):
                await call
    request = conversation_service_pb2.GetConversationRequest(conversation_id=ID)
    found = await asyncio.gather(*(worker.conversations().GetConversation(request) for _ in range(30)))
    assert {one.id for one in found} == {ID}


# Health, and a Redis that goes and comes


async def test_health_says_serving_for_every_service(worker: Worker) -> None:
    for service in ("", *SERVICES):
        answer = await worker.health().Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == SERVING
    error = await failure(worker.health().Check(health_pb2.HealthCheckRequest(service="nothing")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_health_can_be_listed(worker: Worker) -> None:
    answer = await worker.health().List(health_pb2.HealthListRequest())  # type: ignore[attr-defined]
    assert {name: response.status for name, response in answer.statuses.items()} == dict.fromkeys(
        ("", *SERVICES), SERVING
    )


async def test_health_of_an_unknown_service(worker: Worker) -> None:
    error = await failure(worker.health().Check(health_pb2.HealthCheckRequest(service="a.B")))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "there is no service a.B")
    watch = statuses(worker, "a.B")
    assert await next_status(watch) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def test_who_watches_and_does_not_read_holds_up_nobody(worker: Worker) -> None:
    with Http2(worker.server.port, window=0) as client:
        for _ in range(3):
            client.request(grpc_headers(worker.server.port, "/grpc.health.v1.Health/Watch"), frame(b""))
        watch = statuses(worker)
        assert await next_status(watch) == SERVING
        worker.server._health.publish(serving=False)
        assert await next_status(watch) == NOT_SERVING


async def test_health_in_words(start: StartWorker, own_redis: OwnRedis) -> None:
    await own_redis.start()
    worker = await start(own_redis.url)
    stub: Any = health_service_pb2_grpc.HealthServiceStub(worker.channel)
    request = health_service_pb2.GetHealthRequest()
    serving = health_service_pb2.GetHealthResponse(status=health_service_pb2.GetHealthResponse.SERVING)
    assert await stub.GetHealth(request) == serving

    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
        answer = await until_other(stub.GetHealth, request, serving)
        assert answer.status == health_service_pb2.GetHealthResponse.DEGRADED
        full = "the store is unavailable: Redis is out of memory and rejects writes, except those that free memory"
        assert answer.causes == [full]
        # Reads go on, writes say why not.
        assert await worker.conversations().ListConversations(list_request())
        error = await failure(worker.tags().CreateTag(tag_service_pb2.CreateTagRequest(name="x", color="tag-red")))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, full)
        assert (await worker.health().Check(health_pb2.HealthCheckRequest())).status == SERVING
        client.config_set("maxmemory", 0)
        assert await until_other(stub.GetHealth, request, answer) == serving

    own_redis.pause()
    began = time.monotonic()
    error = await failure(until_other(stub.GetHealth, request, serving))
    assert time.monotonic() - began < 3.0
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "Redis does not answer")
    own_redis.resume()
    async with asyncio.timeout(5):
        while (await worker.health().Check(health_pb2.HealthCheckRequest())).status != SERVING:
            await asyncio.sleep(0.05)
    assert await stub.GetHealth(request) == serving


async def until_other(method: Any, request: Any, known: Any) -> Any:
    """Return the first answer that is not the one that is known."""
    async with asyncio.timeout(5):
        while (answer := await method(request)) == known:
            await asyncio.sleep(0.02)
    return answer


async def test_redis_goes_and_comes(start: StartWorker, own_redis: OwnRedis) -> None:
    """NOT_SERVING while it is away, each call UNAVAILABLE with a delay; SERVING when it is back, with all the data."""
    await own_redis.start()
    worker = await start(own_redis.url)
    await worker.add_conversation()
    watch = statuses(worker)
    by_service = statuses(worker, "conversations.v1.TagService")
    assert await next_status(watch) == SERVING
    assert await next_status(by_service) == SERVING

    own_redis.kill()
    assert await next_status(watch) == NOT_SERVING
    assert await next_status(by_service) == NOT_SERVING
    for call in (
        worker.conversations().ListConversations(list_request()),
        worker.conversations().ListConversations(list_request("fac*")),
        worker.conversations().MarkConversationRead(read_request()),
        worker.tags().CreateTag(tag_service_pb2.CreateTagRequest(name="x", color="tag-red")),
    ):
        error = await failure(call)
        assert (error.code(), error.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "the store is unavailable: Redis cannot be reached",
        )
        found = details(error)
        assert found["ErrorInfo"].reason == "STORE_UNAVAILABLE"
        assert found["RetryInfo"].retry_delay.ToMilliseconds() == 1000

    await own_redis.start()
    assert await next_status(watch) == SERVING
    assert await next_status(by_service) == SERVING
    for filters in ("", "fac*"):
        assert (await worker.conversations().ListConversations(list_request(filters))).pagination_data.total == 1


async def test_answers_that_are_lost_take_no_worker_away(start: StartWorker, redis_url: str) -> None:
    """Redis is well, and other connections to it are: what asks for its health has to try another one too."""
    async with LossyProxy(redis_url) as proxy:
        worker = await start(proxy.url)
        watch = statuses(worker)
        assert await next_status(watch) == SERVING
        # Longer than from one question to the next.
        proxy.lose(0.8)
        changed = asyncio.ensure_future(next_status(watch))
        began = time.monotonic()
        while time.monotonic() - began < 5:
            asked = time.monotonic()
            assert (await worker.conversations().ListConversations(list_request())).pagination_data.total == 0
            assert time.monotonic() - asked < 3
            await asyncio.sleep(0.05)
        assert proxy.lost > 0
        assert not changed.done()
        changed.cancel()


async def test_a_redis_that_was_emptied_serves_again(worker: Worker, redis_url: str) -> None:
    watch = statuses(worker)
    assert await next_status(watch) == SERVING
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.function_flush()
    error = await failure(worker.conversations().ListConversations(list_request("fac*")))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await next_status(watch) == NOT_SERVING
    assert await next_status(watch) == SERVING
    await worker.add_conversation()
    assert (await worker.conversations().ListConversations(list_request("fac*"))).pagination_data.filtered_total == 1


async def test_serving_starts_when_redis_does_and_ends_when_told(own_redis: OwnRedis) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = asyncio.Event()
    settings = Settings(port=port, redis_url=SecretStr(own_redis.url), drain_seconds=0, grace_seconds=1)
    serving = asyncio.create_task(serve(settings, stop))
    try:
        await asyncio.sleep(0)
        await own_redis.start()
        async with new_channel(port) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20)
            async for answer in watch:
                if answer.status == SERVING:
                    break
            watch.cancel()
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await serving


async def test_told_to_stop_it_waits_for_redis_no_longer(own_redis: OwnRedis) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        await serve(Settings(port=0, redis_url=SecretStr(own_redis.url)), stop)


# Stopping


async def test_a_stopping_server_says_so_and_finishes_running_calls(start: StartWorker, redis_url: str) -> None:
    worker = await start(redis_url, drain_seconds=0.2, grace_seconds=10)
    await worker.add_conversation()
    watch = statuses(worker)
    assert await next_status(watch) == SERVING
    with paused_writes(redis_url) as client:
        running = worker.conversations().MarkConversationRead(read_request())
        await until_blocked(client)
        stopping = asyncio.create_task(worker.server.stop())
        assert await next_status(watch) == NOT_SERVING
        await watch.aclose()
        # While those who balance the load learn of it, calls are still answered.
        assert (await worker.conversations().ListConversations(list_request())).pagination_data.total == 1
        async with asyncio.timeout(10):
            while await answers(worker.server.port):
                pass
        assert not running.done()
        assert not stopping.done()
    await running
    async with asyncio.timeout(5):
        await stopping


async def answers(port: int) -> bool:
    """Return whether a new connection is accepted."""
    async with new_channel(port) as channel:
        try:
            await conversation_service_pb2_grpc.ConversationServiceStub(channel).ListConversations(
                list_request(), timeout=1
            )
        except grpc.aio.AioRpcError as error:
            return error.code() is not grpc.StatusCode.UNAVAILABLE
        return True


async def test_calls_that_do_not_end_are_cut_off_after_the_grace(start: StartWorker, redis_url: str) -> None:
    worker = await start(redis_url, grace_seconds=0.1)
    await worker.add_conversation()
    with paused_writes(redis_url) as client:
        running = worker.conversations().MarkConversationRead(read_request())
        await until_blocked(client)
        async with asyncio.timeout(5):
            await worker.server.stop()
            with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
                await running


# Ports


async def test_two_workers_share_a_port(start: StartWorker, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await start(redis_url)
    second = await start(redis_url, port=first.server.port)
    assert first.server.port == second.server.port
    answered = {"first": 0, "second": 0}

    def counting(name: str, worker: Worker) -> None:
        original = worker.store.tags.list_all

        async def counted() -> Any:
            answered[name] += 1
            return await original()

        monkeypatch.setattr(worker.store.tags, "list_all", counted)

    counting("first", first)
    counting("second", second)
    async with asyncio.timeout(20):
        while not all(answered.values()):
            await list_tags(first.server.port)
    before = answered["first"]
    await first.server.stop()
    for _ in range(10):
        await list_tags(second.server.port)
    assert answered["first"] == before


async def list_tags(port: int) -> None:
    async with new_channel(port) as channel:
        stub: Any = tag_service_pb2_grpc.TagServiceStub(channel)
        await stub.ListTags(tag_service_pb2.ListTagsRequest(), wait_for_ready=True, timeout=10)


async def test_a_worker_has_a_port_of_its_own_beside_the_shared_one(start: StartWorker, redis_url: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own_port = probe.getsockname()[1]
    worker = await start(redis_url, own_port=own_port)
    await list_tags(own_port)
    await list_tags(worker.server.port)


@pytest.mark.parametrize("setting", ["port", "own_port"])
async def test_a_port_that_is_taken(start: StartWorker, redis_url: str, setting: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigurationError, match="is a port in use by another program"):
            await start(redis_url, **{setting: other.getsockname()[1]})
