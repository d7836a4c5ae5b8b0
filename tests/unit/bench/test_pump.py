"""The pump against a gRPC server and a stand-in for Redis: framing, flow control, and errors that must not pass."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from bench.pump import WrongAnswerError, frame, literal_headers, send_all

_CONNECTIONS = 4


class _Server(grpc.GenericRpcHandler):
    """`/echo` answers a message's bytes, `/fail` an error, and `received` holds all messages."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        method = call.method
        return grpc.unary_unary_rpc_method_handler(self._echo if method == "/a/echo" else self._fail)

    async def _echo(self, message: bytes, _: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        self.received.append(message)
        return message

    async def _fail(self, _: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "it is not there")
        raise AssertionError


@pytest.fixture
async def server() -> AsyncIterator[tuple[_Server, str]]:
    handler = _Server()
    running = grpc.aio.server()
    running.add_generic_rpc_handlers((handler,))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    yield handler, f"127.0.0.1:{port}"
    await running.stop(0)


def test_a_frame_has_length_kind_flags_stream_payload() -> None:
    assert frame(1, 5, 3, b"abc") == b"\0\0\x03\x01\x05\0\0\0\x03abc"


def test_literal_headers_have_lengths_and_no_index() -> None:
    assert literal_headers([("te", "trailers")]) == b"\0\x02te\x08trailers"
    with pytest.raises(ValueError, match="longer"):
        literal_headers([("name", "x" * 127)])


async def test_every_request_arrives_once(server: tuple[_Server, str]) -> None:
    handler, address = server
    messages = [b"%d" % number for number in range(200)]
    tally = await send_all(address, [("/a/echo", message) for message in messages], 20, _CONNECTIONS)
    assert sorted(handler.received) == sorted(messages)
    assert len(tally.latencies_us) == len(messages)
    assert tally.answer_bytes == sum(len(message) + 5 for message in messages)


async def test_a_message_larger_than_frames_and_windows_arrives_whole(server: tuple[_Server, str]) -> None:
    handler, address = server
    messages = [bytes([number]) * 300_000 for number in range(20)]
    await send_all(address, [("/a/echo", message) for message in messages], 20, 2)
    assert sorted(handler.received) == messages


async def test_it_ends_in_time(server: tuple[_Server, str]) -> None:
    _, address = server
    tally = await send_all(address, [("/a/echo", b"")] * 1_000_000, 0.1, _CONNECTIONS)
    assert 0 < len(tally.latencies_us) < 1_000_000


async def test_a_call_that_fails_is_no_measurement(server: tuple[_Server, str]) -> None:
    _, address = server
    with pytest.raises(WrongAnswerError, match="it is not there"):
        await send_all(address, [("/a/echo", b""), ("/a/fail", b"")], 20, 1)


async def _redis(path: Path, answer: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answer)
        writer.close()

    return await asyncio.start_unix_server(serve, path)


async def test_redis_answers_are_counted_by_request(tmp_path: Path) -> None:
    async with await _redis(tmp_path / "s", b"+OK\r\n$3\r\nabc\r\n"):
        tally = await send_all(f"unix://{tmp_path / 's'}", [("2", b"x")] * 50, 20, _CONNECTIONS)
    assert len(tally.latencies_us) == 50


async def test_an_error_of_redis_is_no_measurement(tmp_path: Path) -> None:
    async with await _redis(tmp_path / "s", b"-ERR no\r\n"):
        with pytest.raises(WrongAnswerError, match="ERR no"):
            await send_all(f"unix://{tmp_path / 's'}", [("1", b"x")] * 50, 20, 1)
