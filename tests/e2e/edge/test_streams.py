"""A made-up method whose answers are a stream, through Envoy: that it streams follows from its descriptor alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.api.annotations_pb2 import http as http_option
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from tests.conftest import free_port
from tests.rest import Rest

from conversations.edge import Address, EnvoySettings, render, routes
from conversations.errors import InvalidFieldError
from conversations.local.engines import find_envoy
from conversations.local.envoy_process import envoy_command
from conversations.rpc import Admission, Context, Handlers, Health, Limits, Method, Peers, make_server


def protos() -> FileDescriptorSet:
    """Return those of the service, and a service more."""
    files = FileDescriptorSet.FromString(routes.descriptor_set())
    file = FileDescriptorProto(
        name="numbers.proto",
        package="conversations.v1",
        syntax="proto3",
        dependency=["google/api/annotations.proto"],
    )
    number = file.message_type.add(name="Number").field.add(name="value", number=1)
    number.type, number.label = number.TYPE_INT32, number.LABEL_OPTIONAL
    service = file.service.add(name="NumberService")
    kind = ".conversations.v1.Number"
    count = service.method.add(name="CountTo", input_type=kind, output_type=kind, server_streaming=True)
    rule = count.options.Extensions[http_option]
    rule.post, rule.body = "/numbers.countTo", "*"
    service.method.add(
        name="DoubleEach", input_type=kind, output_type=kind, client_streaming=True, server_streaming=True
    )
    files.file.append(file)
    return files


class Numbers:
    """The methods; an answer of 0 comes late."""

    def __init__(self, number: Any) -> None:
        self._number = number
        self.remaining: list[float | None] = []
        self.go_on = asyncio.Event()

    async def CountTo(self, request: Any, context: Context) -> AsyncIterator[Any]:
        self.remaining.append(context.time_remaining())
        if request.value < 0:
            raise InvalidFieldError("value", "is negative")
        for value in range(1, request.value + 1):
            yield self._number(value=value)
            if value == 2:
                await self.go_on.wait()

    async def DoubleEach(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            yield self._number(value=2 * request.value)


class Running:
    """A worker with the made-up service, and Envoy before it."""

    def __init__(self, port: int, numbers: Numbers, number: Any) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.numbers = numbers
        self.number = number

    def multicallable(self, kind: str, name: str) -> Any:
        """Return what calls a method."""
        path = f"/conversations.v1.NumberService/{name}"
        return getattr(self.channel, kind)(path, self.number.SerializeToString, self.number.FromString)


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    files = protos()
    (tmp_path / "protos").write_bytes(files.SerializeToString())
    monkeypatch.setattr(routes, "DESCRIPTORS", tmp_path / "protos")
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    service: Any = pool.FindServiceByName("conversations.v1.NumberService")
    number = GetMessageClass(service.methods[0].input_type)
    numbers, health = Numbers(number), Health([])
    health.publish(serving=True)
    methods = [Method(method, getattr(numbers, method.name)) for method in service.methods]
    handlers = Handlers([*methods, *health.methods()], Admission(Limits()), Peers([ip_network("127.0.0.1")]))
    async with AsyncExitStack() as cleanup:
        server = make_server(handlers, handlers.paths, [])
        worker_port, port = server.add_insecure_port("127.0.0.1:0"), free_port()
        await server.start()
        cleanup.push_async_callback(server.stop, 0)
        # Calls and silences longer than these are cut, but for streams.
        settings = EnvoySettings(
            port, [Address("127.0.0.1", worker_port)], access_log=tmp_path / "log", call_ms=1000, stream_idle_ms=1000
        )
        (tmp_path / "envoy.yaml").write_text(render(settings))
        command = envoy_command(find_envoy(), tmp_path / "envoy.yaml")
        envoy = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        cleanup.push_async_callback(envoy.wait)
        cleanup.callback(envoy.terminate)
        made = Running(port, numbers, number)
        cleanup.push_async_callback(made.channel.close)
        call = made.multicallable("unary_stream", "CountTo")
        async with asyncio.timeout(15):
            while True:
                try:
                    assert (await call(number(value=1)).read()).value == 1
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)
        yield made
        assert envoy.returncode is None


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def test_each_message_comes_when_it_is_sent_and_silence_is_no_end(running: Running) -> None:
    call = running.multicallable("unary_stream", "CountTo")(running.number(value=3))
    assert [(await call.read()).value, (await call.read()).value] == [1, 2]
    await asyncio.sleep(1.5)
    running.numbers.go_on.set()
    assert (await call.read()).value == 3
    assert await call.read() is grpc.aio.EOF


async def test_over_http_it_is_a_stream_of_events(running: Running, cleanup: ExitStack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
    cleanup.callback(writer.close)
    head = "POST /numbers.countTo HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\ncontent-length: 11\r\n\r\n"
    writer.write(head.encode() + b'{"value":3}')
    headers = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in headers
    assert b"content-type: text/event-stream\r\n" in headers
    assert b"grpc-" not in headers
    event = await reader.readuntil(b"\n\n")
    while b'"value":2' not in event:
        event += await reader.readuntil(b"\n\n")
    assert b'data: {"value":1}' in event
    await asyncio.sleep(1.5)
    running.numbers.go_on.set()
    assert b'data: {"value":3}' in await reader.readuntil(b"\n\n")
    # No deadline is set for it.
    assert running.numbers.remaining[-1] is None


@pytest.mark.parametrize(
    ("body", "wanted"),
    [({"value": -1}, "value: is negative"), ({"valve": 1}, "valve: is unknown; did you mean value?")],
)
async def test_an_error_before_the_first_message_is_one_of_json(
    running: Running, body: dict[str, int], wanted: str
) -> None:
    def ask() -> tuple[int, Any]:
        with Rest(running.url) as client:
            answer = client.post("/numbers.countTo", body)
            return answer.status, json.loads(answer.body)["message"]

    assert await asyncio.to_thread(ask) == (400, wanted)


async def test_a_dialogue_is_not_held_back(running: Running) -> None:
    call = running.multicallable("stream_stream", "DoubleEach")()
    for value in (1, 2):
        await call.write(running.number(value=value))
        assert (await call.read()).value == 2 * value
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
