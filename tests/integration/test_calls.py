"""What is around every call, on a server of its own with made-up methods: one answer or a stream of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from time import monotonic
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from conversations.callers import CALLER, Caller
from conversations.errors import InvalidFieldError, OverloadedError
from conversations.rpc import (
    INTERCEPTORS,
    Admission,
    Answer,
    Call,
    Context,
    Handlers,
    Interceptor,
    Limits,
    Method,
    Peers,
    make_server,
)


def made_up_service() -> Any:
    """Return the descriptor of a service with a method of each kind; all messages are numbers."""
    file = FileDescriptorProto(name="made_up.proto", package="made.up", syntax="proto3")
    number = file.message_type.add(name="Number").field.add(name="value", number=1)
    number.type, number.label = number.TYPE_INT64, number.LABEL_OPTIONAL
    service = file.service.add(name="Numbers")
    for name, client_streaming, server_streaming in (
        ("Double", False, False),
        ("Sum", True, False),
        ("CountTo", False, True),
        ("DoubleEach", True, True),
    ):
        service.method.add(
            name=name,
            input_type=".made.up.Number",
            output_type=".made.up.Number",
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName("made.up.Numbers")


SERVICE = made_up_service()
Number: Any = GetMessageClass(SERVICE.methods[0].input_type)
ONE_ANSWER, STREAM = "Double", "CountTo"


class Numbers:
    """The methods, and the contexts that they were called with."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.callers: list[Caller] = []
        self.ended = asyncio.Event()

    def _note(self, context: Context) -> None:
        self.contexts.append(context)
        self.callers.append(CALLER.get())

    async def Double(self, request: Any, context: Context) -> Any:
        self._note(context)
        await self._misbehave(request.value)
        return Number(value=2 * request.value)

    async def Sum(self, requests: list[Any], context: Context) -> Any:
        self._note(context)
        return Number(value=sum(request.value for request in requests))

    async def CountTo(self, request: Any, context: Context) -> AsyncIterator[Any]:
        self._note(context)
        try:
            yield Number(value=1)
            await self._misbehave(request.value)
            for value in range(2, request.value + 1):
                yield Number(value=value)
        finally:
            self.ended.set()

    async def DoubleEach(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        self._note(context)
        async for request in requests:
            yield Number(value=2 * request.value)

    @staticmethod
    async def _misbehave(value: int) -> None:
        if value == -1:
            raise InvalidFieldError("value", "is negative")
        if value == -2:
            raise RuntimeError("a secret")
        if value == -3:
            await asyncio.sleep(60)


@dataclass
class Running:
    """A server, and a connection to it."""

    channel: grpc.aio.Channel
    numbers: Numbers
    log: list[str] = field(default_factory=list)

    async def call(self, name: str, *values: int, **options: Any) -> list[int]:
        """Return all answers of a method to some numbers."""
        method = next(method for method in SERVICE.methods if method.name == name)
        kind = "_".join("stream" if s else "unary" for s in (method.client_streaming, method.server_streaming))
        made: Any = getattr(self.channel, kind)(f"/made.up.Numbers/{name}", Number.SerializeToString, Number.FromString)
        requests = [Number(value=value) for value in values]
        call = made(requests if method.client_streaming else requests[0], **options)
        if method.server_streaming:
            return [answer.value async for answer in call]
        return [(await call).value]

    async def failure(self, name: str, value: int, **options: Any) -> tuple[grpc.StatusCode, str, str]:
        """Return how a call fails: code, reason and text."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(name, value, **options)
        status: Any = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        info = ErrorInfo()
        assert status is not None
        status.details[0].Unpack(info)
        return caught.value.code(), info.reason, caught.value.details() or ""


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """A function that starts a server, with interceptors inside the usual ones."""
    stops: list[Callable[[], Awaitable[None]]] = []

    async def start_server(*interceptors: Interceptor, **limits: Any) -> Running:
        numbers = Numbers()
        handlers = Handlers(
            [Method(method, getattr(numbers, method.name)) for method in SERVICE.methods],
            Admission(Limits(**limits)),
            Peers([ip_network("127.0.0.1")]),
            [*INTERCEPTORS, *interceptors],
        )
        server = make_server(handlers, handlers.paths, [])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stops.extend([channel.close, lambda: server.stop(0)])
        return Running(channel, numbers)

    yield start_server
    for stop in stops:
        await stop()


async def test_whether_a_method_streams_follows_from_its_descriptor(start: Start) -> None:
    running = await start()
    assert await running.call("Double", 3) == [6]
    assert await running.call("Sum", 1, 2, 3) == [6]
    assert await running.call("CountTo", 3) == [1, 2, 3]
    assert await running.call("DoubleEach", 1, 2, 3) == [2, 4, 6]


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_a_method_knows_its_call(start: Start, name: str) -> None:
    running = await start()
    metadata = [("x-conversations-caller", "192.0.2.9:77"), ("x-request-id", "abc"), ("x-bytes-bin", b"\xff")]
    await running.call(name, 1, metadata=metadata, timeout=30)
    [context] = running.numbers.contexts
    assert context.method == f"Numbers/{name}"
    assert context.caller == Caller("192.0.2.9", "192.0.2.9:77")
    assert running.numbers.callers == [context.caller]
    assert context.request_id == "abc"
    assert set(metadata) <= set(context.metadata)
    remaining = context.time_remaining()
    assert remaining is not None
    # gRPC rounds up what it sends.
    assert 20 < remaining < 31
    assert context.identity is None


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_a_call_knows_nothing_of_the_one_before(start: Start, name: str) -> None:
    running = await start()
    await running.call(
        name, 1, metadata=[("x-conversations-caller", "192.0.2.9:77"), ("x-request-id", "abc")], timeout=30
    )
    await running.call(name, 1)
    context = running.numbers.contexts[1]
    assert (context.caller.address, context.request_id, context.time_remaining()) == ("127.0.0.1", "", None)


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_an_interceptor_surrounds_calls_of_every_kind(start: Start, name: str) -> None:
    """It sees the method, may say who the caller is, and that the call has ended, with all that it has streamed."""
    seen: list[str] = []

    def identify(method: Method, answer: Answer) -> Answer:
        seen.append(method.path)

        async def answer_to_whom(call: Call) -> Any:
            call.identity = "ada"
            result = await answer(call)
            seen.append(f"{call.method} ended")
            return result

        return answer_to_whom

    running = await start(identify)
    assert sorted(seen) == sorted(f"/made.up.Numbers/{method.name}" for method in SERVICE.methods)
    seen.clear()
    await running.call(name, 2)
    assert running.numbers.contexts[0].identity == "ada"
    assert seen == [f"Numbers/{name} ended"]


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_an_interceptor_may_refuse_calls_of_every_kind(start: Start, name: str) -> None:
    def limit(method: Method, answer: Answer) -> Answer:
        async def refuse(call: Call) -> Any:
            raise OverloadedError("not so fast")

        return refuse

    running = await start(limit)
    assert await running.failure(name, 1) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED", "not so fast")
    assert running.numbers.contexts == []


async def test_the_first_interceptor_is_the_outermost(start: Start) -> None:
    seen: list[str] = []

    def named(name: str) -> Interceptor:
        def intercept(_method: Method, answer: Answer) -> Answer:
            async def note(call: Call) -> Any:
                seen.append(name)
                return await answer(call)

            return note

        return intercept

    await (await start(named("a"), named("b"))).call("Double", 1)
    assert seen == ["a", "b"]


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_an_error_becomes_a_status_and_a_line_of_the_log(
    start: Start, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start()
    with caplog.at_level(logging.INFO, "conversations.rpc"):
        failure = await running.failure(name, -1)
        await running.failure(name, -1, metadata=[("x-request-id", "abc " + "d" * 200)])
    assert failure == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "value: is negative")
    # The second as the access log has it, without what an edge would not let pass.
    assert [record.getMessage() for record in caplog.records] == [
        f"Numbers/{name} failed: 'value: is negative'",
        f"Numbers/{name} abc {'d' * 124} failed: 'value: is negative'",
    ]


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_a_defect_is_told_to_the_log_alone(start: Start, name: str, caplog: pytest.LogCaptureFixture) -> None:
    running = await start()
    failure = await running.failure(name, -2)
    assert failure == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR", "internal error")
    [record] = [record for record in caplog.records if record.name.startswith("conversations.")]
    assert record.getMessage() == f"Numbers/{name} failed due to a defect"
    assert "a secret" in str(record.exc_info)


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_a_deadline_ends_calls_of_every_kind_with_details(start: Start, name: str) -> None:
    running = await start()
    began = monotonic()
    # Its own timer would end the call too, and give no reason.
    failure = await running.failure(name, -3, metadata=[("grpc-timeout", "200m")])
    assert failure == (grpc.StatusCode.DEADLINE_EXCEEDED, "OUT_OF_TIME", "the call ran out of time")
    assert 0.1 < monotonic() - began < 5


async def test_a_caller_that_goes_ends_its_stream(start: Start) -> None:
    running = await start()
    stream: Any = running.channel.unary_stream("/made.up.Numbers/CountTo", Number.SerializeToString)
    call = stream(Number(value=-3))
    await call.read()
    assert not running.numbers.ended.is_set()
    call.cancel()
    async with asyncio.timeout(5):
        await running.numbers.ended.wait()


@pytest.mark.parametrize("name", [ONE_ANSWER, STREAM])
async def test_bytes_that_are_no_message_are_refused(start: Start, name: str) -> None:
    running = await start()
    kind: Any = running.channel.unary_stream if name == STREAM else running.channel.unary_unary
    call = kind(f"/made.up.Numbers/{name}")(b"\xff")
    with pytest.raises(grpc.aio.AioRpcError, match="is not a message of the method's type"):
        await (call.read() if name == STREAM else call)


async def test_streams_have_a_bound_of_their_own(start: Start) -> None:
    """The one that is beyond it is refused; it is the newest of the only caller."""
    running = await start(max_streams=1)
    stream: Any = running.channel.unary_stream("/made.up.Numbers/CountTo", Number.SerializeToString)
    first = stream(Number(value=-3))
    await first.read()
    assert (await running.failure(STREAM, 1))[:2] == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert await running.call(ONE_ANSWER, 1) == [2]
    first.cancel()
