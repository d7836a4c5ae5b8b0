"""Sends prepared requests that differ from each other, one at a time on each connection, and measures the answers.

h2load and redis-benchmark repeat one request; this does what they do for calls that write. It speaks just enough of
HTTP/2 for gRPC, and Redis' protocol:

    python -m bench.pump --address 127.0.0.1:50051 --requests FILE --seconds 2

It prints a JSON object: calls, seconds, latencies in microseconds, bytes of the answers.

Source:
    https://www.rfc-editor.org/rfc/rfc9113, https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import asyncio
import json
import pickle
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import click
import hiredis

__all__ = ["Tally", "WrongAnswerError", "frame", "literal_headers", "send_all", "write_requests"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 1, 2, 4, 5
_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535

# Without a table of headers, as this client asks for, a server spells them out: length and text of name and value.
_STATUS_OK = b"\x0bgrpc-status\x010"


class WrongAnswerError(Exception):
    """Raised when an answer is not the success that a measurement is of."""


@dataclass(slots=True)
class Tally:
    """What came back so far."""

    requests: Iterator[tuple[str, bytes]]
    """What is still to be sent: path (empty for Redis) and bytes."""
    deadline: float
    latencies_us: list[int] = field(default_factory=list)
    answer_bytes: int = 0

    def next(self) -> tuple[str, bytes] | None:
        """Return the next request; None when it is over."""
        return next(self.requests, None) if time.perf_counter() < self.deadline else None


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return an HTTP/2 frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def literal_headers(headers: Sequence[tuple[str, str]]) -> bytes:
    """Return a header block of literals without indexing: no state, so one block serves every call."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 126:
        raise ValueError("a longer text has a length of several bytes")
    return bytes([len(raw)]) + raw


class GrpcConnection(asyncio.Protocol):
    """One call after the other on an HTTP/2 connection."""

    def __init__(self, tally: Tally, authority: str) -> None:
        self._tally = tally
        self._authority = authority
        self._blocks: dict[str, bytes] = {}
        self._buffer = bytearray()
        self._stream = -1
        self._sent_at = 0.0
        self._unsent = b""
        self._window = self._stream_window = self._first_window = _DEFAULT_WINDOW
        self._max_frame_bytes = 16_384
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is none by class
        settings = ((_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW_SIZE, _LARGEST_WINDOW))
        self._transport.write(
            _PREFACE
            + frame(_SETTINGS, 0, 0, b"".join(struct.pack(">HI", *setting) for setting in settings))
            # So large that no measurement uses it up.
            + frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW))
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(WrongAnswerError(f"the server closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) >= start + 9:
            length, kind, flags, stream = _frame_head(self._buffer, start)
            end = start + 9 + length
            if len(self._buffer) < end:
                break
            try:
                self._receive(kind, flags, stream & _LARGEST_WINDOW, bytes(self._buffer[start + 9 : end]))
            except WrongAnswerError as error:
                self._end(error)
            start = end
        del self._buffer[:start]

    def _receive(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._tally.answer_bytes += len(payload)
        elif kind == _HEADERS:
            if flags & _END_STREAM:
                self._finish(payload)
        elif kind == _WINDOW_UPDATE:
            self._widen(stream, struct.unpack(">I", payload)[0])
        elif kind == _SETTINGS and not flags & _ACK:
            self._set(payload)
        elif kind == _PING and not flags & _ACK:
            self._transport.write(frame(_PING, _ACK, 0, payload))
        elif kind in (_RST_STREAM, _GOAWAY):
            raise WrongAnswerError(f"the server broke off: {payload!r}")

    def _set(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._first_window
                self._first_window = value
            elif name == _MAX_FRAME_SIZE:
                self._max_frame_bytes = value
        self._transport.write(frame(_SETTINGS, _ACK, 0))
        if self._stream < 0:  # the first settings: the server is there
            self._call()
        else:
            self._send_body()

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream == self._stream:
            self._stream_window += size
        self._send_body()

    def _call(self) -> None:
        request = self._tally.next()
        if request is None:
            self._end(None)
            return
        path, message = request
        self._stream += 2
        self._stream_window = self._first_window
        self._unsent = struct.pack(">BI", 0, len(message)) + message
        self._sent_at = time.perf_counter()
        self._send_body(frame(_HEADERS, _END_HEADERS, self._stream, self._block(path)))

    def _block(self, path: str) -> bytes:
        if path not in self._blocks:
            self._blocks[path] = literal_headers(
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", path),
                    (":authority", self._authority),
                    ("te", "trailers"),
                    ("content-type", "application/grpc"),
                ]
            )
        return self._blocks[path]

    def _send_body(self, parts: bytes = b"") -> None:
        while self._unsent and (size := min(self._max_frame_bytes, self._window, self._stream_window)) > 0:
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._window -= len(part)
            self._stream_window -= len(part)
            parts += frame(_DATA, 0 if self._unsent else _END_STREAM, self._stream, part)
        if parts:
            self._transport.write(parts)

    def _finish(self, trailers: bytes) -> None:
        if _STATUS_OK not in trailers:
            raise WrongAnswerError(f"a call failed: {trailers!r}")
        self._tally.latencies_us.append(round((time.perf_counter() - self._sent_at) * 1e6))
        self._call()

    def _end(self, error: WrongAnswerError | None) -> None:
        if not self.done.done():
            if error:
                self.done.set_exception(error)
            else:
                self.done.set_result(None)
        self._transport.close()


def _frame_head(buffer: bytearray, at: int) -> tuple[int, int, int, int]:
    length_and_kind, flags, stream = struct.unpack_from(">IBI", buffer, at)
    return length_and_kind >> 8, length_and_kind & 0xFF, flags, stream


class RedisConnection(asyncio.Protocol):
    """One request after the other on a connection to Redis; a request of several commands is sent at once."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._reader = hiredis.Reader()
        self._expected = 0
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is none by class
        self._call()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(WrongAnswerError(f"Redis closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._tally.answer_bytes += len(data)
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                self.done.set_exception(WrongAnswerError(str(reply)))
                self._transport.close()
                return
            self._expected -= 1
            if self._expected == 0:
                self._tally.latencies_us.append(round((time.perf_counter() - self._sent_at) * 1e6))
                self._call()

    def _call(self) -> None:
        request = self._tally.next()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        commands, data = request
        self._expected = int(commands)
        self._sent_at = time.perf_counter()
        self._transport.write(data)


def write_requests(file: Path, requests: Sequence[tuple[str, bytes]]) -> None:
    """Prepare requests: path and message of gRPC calls, or number and bytes of Redis commands."""
    file.write_bytes(pickle.dumps(list(requests)))


async def send_all(address: str, requests: Sequence[tuple[str, bytes]], seconds: float, connections: int) -> Tally:
    """Send requests until they or the time are over, and return what came back.

    Args:
        address: `HOST:PORT` of a gRPC server, or `unix://PATH` of a Redis.
        requests: As `write_requests` takes them.
        seconds: How long; calls that are under way then are waited for.
        connections: How many, with one call at a time on each.

    Raises:
        WrongAnswerError: An answer was an error.
    """
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    tally = Tally(iter(requests), start + seconds)
    made: list[GrpcConnection] | list[RedisConnection]
    if address.startswith("unix://"):
        made = [
            (await loop.create_unix_connection(lambda: RedisConnection(tally), address.removeprefix("unix://")))[1]
            for _ in range(connections)
        ]
    else:
        host, _, port = address.rpartition(":")
        made = [
            (await loop.create_connection(lambda: GrpcConnection(tally, address), host, int(port)))[1]
            for _ in range(connections)
        ]
    await asyncio.gather(*(connection.done for connection in made))
    return tally


@click.command(help=__doc__)
@click.option("--address", required=True, help="HOST:PORT of a gRPC server, or unix://PATH of a Redis.")
@click.option(
    "--requests", required=True, type=click.Path(path_type=Path, exists=True), help="As write_requests has it."
)
@click.option("--seconds", default=2.0, show_default=True, help="How long, unless the requests end before.")
@click.option("--connections", default=16, show_default=True)
def main(address: str, requests: Path, seconds: float, connections: int) -> None:
    """Send the requests, print what came back."""
    import uvloop

    prepared = pickle.loads(requests.read_bytes())  # noqa: S301 - written by the harness
    start = time.perf_counter()
    try:
        tally = uvloop.run(send_all(address, prepared, seconds, connections))
    except WrongAnswerError as error:
        raise click.ClickException(str(error)) from error
    json.dump(
        {
            "calls": len(tally.latencies_us),
            "seconds": time.perf_counter() - start,
            "latencies_us": tally.latencies_us,
            "answer_bytes": tally.answer_bytes,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
