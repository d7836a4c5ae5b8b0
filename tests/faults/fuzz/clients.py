"""Clients that send what is wrong by the thousand, and wait for what comes back."""

import asyncio
import struct
from collections.abc import Sequence
from typing import cast

from hpack import Decoder
from hpack.exceptions import HPACKError
from tests.faults.fuzz.cases import Bytes, Call, Frames
from tests.faults.fuzz.headers import block
from tests.faults.fuzz.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.faults.fuzz.oracle import Answer

__all__ = ["Connection", "NotHttpError", "exchange_bytes", "exchange_frames", "exchange_pipelined"]

PATIENCE_SECONDS = 10.0
# What is to come may never come, where a request did not end.
_QUIET_SECONDS = 0.4
# Envoy closes a connection that is in error after a second, unless its client does.
_CLOSING_SECONDS = 2.0
_FIRST_WINDOW = 65_535
_LARGE_WINDOW = 2**31 - 1
_MAX_FRAME = 16_384


class NotHttpError(Exception):
    """What came is not an answer of HTTP."""


# HTTP/1


def http1_bytes(call: Call) -> bytes:
    """Return a call as HTTP/1 has it."""
    headers = [(b"host", call.authority), *call.headers, (b"content-length", b"%d" % len(call.body))]
    lines = [call.method + b" " + call.path + b" HTTP/1.1", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + call.body


class _Answers:
    """The answers that come on a connection, one behind the other."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._data = bytearray()

    async def _more(self) -> bool:
        try:
            received = await self._reader.read(65536)
        except ConnectionError:
            return False
        self._data += received
        return bool(received)

    async def _up_to(self, end: bytes, problem: str) -> bytes:
        while (at := self._data.find(end)) < 0:
            if not await self._more():
                raise NotHttpError(f"{problem}: {bytes(self._data[:100])!r}")
        return self._take(at + len(end))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    async def _body(self, size: int) -> bytes:
        while len(self._data) < size:
            if not await self._more():
                raise NotHttpError("an answer that was cut")
        return self._take(size)

    async def next(self) -> Answer | None:
        """Return the next answer; None where the connection ended before it.

        Raises:
            NotHttpError: It is none, or has no end.
        """
        if not self._data and not await self._more():
            return None
        head = await self._up_to(b"\r\n\r\n", "an answer without headers")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
            raise NotHttpError(f"an answer that begins with {first[:100]!r}")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = Answer(int(rest[:3]), headers)
        if answer.status == 100:
            return await self.next()
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self._up_to(b"\r\n", "a piece without a size"), 16):
                answer.body += (await self._body(size + 2))[:-2]
            await self._up_to(b"\r\n", "a body without an end")
        elif (size := int(headers.get("content-length", 0))) and not await self._is_of_head():
            answer.body = await self._body(size)
        return answer

    async def _is_of_head(self) -> bool:
        """Whether no body follows headers that tell of one, but the next answer, or the end."""
        return not (self._data or await self._more()) or self._data.startswith(b"H")


async def exchange_pipelined(port: int, calls: Sequence[Call]) -> list[Answer | None]:
    """Send calls one behind the other, and return their answers, None for a connection that was closed.

    There are fewer answers than calls where the connection ended with one: the others were not looked at.

    Raises:
        TimeoutError: An answer does not come; the calls before it got theirs.
    """
    answers: list[Answer | None] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        writer.write(b"".join(map(http1_bytes, calls)))
        arriving = _Answers(reader)
        for _ in calls:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await arriving.next()
            if answer is None and answers:
                break
            answers.append(answer)
            if answer is None or answer.headers.get("connection") == "close":
                break
    except (TimeoutError, NotHttpError) as error:
        error.args = (*error.args, len(answers))
        raise
    finally:
        writer.transport.abort()
    return answers


async def exchange_bytes(port: int, case: Bytes) -> tuple[list[Answer], bool]:
    """Send bytes, and return all answers, and whether the connection ended, or its last answer said that it does."""
    answers: list[Answer] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        writer.write(case.data)
        arriving = _Answers(reader)
        while True:
            async with asyncio.timeout(_QUIET_SECONDS):
                answer = await arriving.next()
            if answer is None:
                return answers, True
            answers.append(answer)
            if answer.headers.get("connection") == "close":
                return answers, True
    except TimeoutError:
        return answers, False
    finally:
        writer.transport.abort()


# HTTP/2


class Connection(asyncio.Protocol):
    """A connection with many streams."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._began = False
        self._received = bytearray()
        self._decoder = Decoder()
        self._decoder.max_header_list_size = 2**24
        self._partial: tuple[int, int, bytes] | None = None
        self.answers: dict[int, Answer] = {}
        self.unexpected: list[Answer] = []
        """Answers that nobody waited for."""
        self.waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._room = _FIRST_WINDOW
        self._more_room = asyncio.Event()
        self.next_stream = 1
        self.closed = asyncio.Event()
        self.leaving = False
        """Whether the other side takes no more streams."""
        self.ponged = asyncio.Event()
        self.problem = ""

    @classmethod
    async def open(cls, port: int, *, raw: bool = False) -> "Connection":
        """Connect; the first bytes are the caller's own if it is `raw`."""
        _, protocol = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        if not raw:
            settings = struct.pack(">HI", 4, _LARGE_WINDOW)
            grow = struct.pack(">I", _LARGE_WINDOW - _FIRST_WINDOW)
            protocol.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, grow))
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._began = True
        if not self.closed.is_set():
            self._transport.write(data)

    def _answer(self, data: bytes) -> None:
        """Send what a frame of the other side asks for, if it is not before the first bytes of ours."""
        if self._began:
            self.write(data)

    def close(self) -> None:
        """Leave."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.leaving = True
        self._more_room.set()
        for future in self.waiting.values():
            if not future.done():
                future.set_result(None)
        self.waiting.clear()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= 9:
            length = int.from_bytes(received[at : at + 3], "big")
            if len(received) - at - 9 < length:
                break
            payload = bytes(received[at + 9 : at + 9 + length])
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            at += 9 + length
            self._take(kind, flags, stream, payload)
        del received[:at]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_HEADERS:
            self._take_headers(stream, payload)
        elif kind == HEADERS:
            self._partial = (flags, stream, payload)
        elif kind == CONTINUATION and self._partial is not None:
            first, stream, before = self._partial
            self._partial = (first, stream, before + payload)
            if flags & END_HEADERS:
                self._partial = None
                self._take_headers(stream, before + payload)
                flags = first
        elif kind == DATA:
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            self.answers.setdefault(stream, Answer()).body += payload
        elif kind == RST_STREAM:
            answer = self.answers.setdefault(stream, Answer())
            if not answer.status:
                answer.reset = int.from_bytes(payload, "big")
            flags = END_STREAM
        elif kind == SETTINGS and not flags & 1:
            self._answer(frame(SETTINGS, 1, 0))
        elif kind == PING:
            if flags & 1:
                self.ponged.set()
            else:
                self._answer(frame(PING, 1, 0, payload))
        elif kind == WINDOW_UPDATE and not stream:
            self._room += int.from_bytes(payload, "big")
            self._more_room.set()
        elif kind == GOAWAY:
            self.leaving = True
            last, code = struct.unpack(">II", payload[:8])
            # With an error nothing comes any more.
            for number in [number for number in self.waiting if code or number > last]:
                self.waiting.pop(number).set_result(None)
        if kind in (DATA, HEADERS, CONTINUATION, RST_STREAM) and flags & END_STREAM and self._partial is None:
            self._end(stream)

    def _take_headers(self, stream: int, payload: bytes) -> None:
        answer = self.answers.setdefault(stream, Answer())
        try:
            for name, value in self._decoder.decode(payload, raw=True):
                if name == b":status":
                    answer.status = int(value) if value != b"100" else 0
                else:
                    answer.headers[name.decode("latin-1")] = value.decode("latin-1")
        except HPACKError as error:
            self.problem = f"headers that cannot be decoded: {error}"

    def _end(self, stream: int) -> None:
        future, answer = self.waiting.pop(stream, None), self.answers.pop(stream)
        if future is None:
            self.unexpected.append(answer)
        elif not future.done():
            future.set_result(answer)
        self._more_room.set()

    def expect(self, stream: int) -> "asyncio.Future[Answer | None]":
        """Return what will be the answer of a stream; None where the connection ends before."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.waiting[stream] = future
        return future

    async def call(self, call: Call) -> Answer | None:
        """Send a call and return its answer; None where the connection ended before it.

        Raises:
            TimeoutError: It does not come.
        """
        stream = self.next_stream
        self.next_stream += 2
        future = self.expect(stream)
        headers = [
            (b":method", call.method),
            (b":scheme", b"http"),
            (b":path", call.path),
            (b":authority", call.authority),
            *call.headers,
        ]
        ends = not call.body and not call.trailers
        self.write(_header_frames(headers, stream, END_STREAM if ends else 0))
        async with asyncio.timeout(PATIENCE_SECONDS):
            if call.body:
                await self._send(stream, call.body, future, END_STREAM if not call.trailers else 0)
            if call.trailers and not future.done():
                self.write(_header_frames(call.trailers, stream, END_STREAM))
            return await future

    async def _send(self, stream: int, body: bytes, future: "asyncio.Future[Answer | None]", flags: int) -> None:
        for at in range(0, len(body), _MAX_FRAME):
            piece = body[at : at + _MAX_FRAME]
            # An answer that comes early makes room too, so that it does not wait for ever.
            while self._room < len(piece) and not future.done():
                self._more_room.clear()
                await self._more_room.wait()
            if future.done():
                return
            self._room -= len(piece)
            self.write(frame(DATA, flags if at + len(piece) == len(body) else 0, stream, piece))


def _header_frames(headers: Sequence[tuple[bytes, bytes]], stream: int, flags: int) -> bytes:
    data = block(headers)
    pieces = [data[at : at + _MAX_FRAME] for at in range(0, len(data), _MAX_FRAME)] or [b""]
    frames = [
        frame(
            CONTINUATION if number else HEADERS,
            (0 if number else flags) | (END_HEADERS if number == len(pieces) - 1 else 0),
            stream,
            piece,
        )
        for number, piece in enumerate(pieces)
    ]
    return b"".join(frames)


async def exchange_frames(port: int, case: Frames) -> tuple[list[Answer], str]:
    """Send frames, and return all answers that came, and how the connection was then.

    It is `answered` where the good request was, `closed`, or `silent`: then what came before was not whole.
    """
    connection = await Connection.open(port, raw=True)
    try:
        last = connection.expect(case.last)
        connection.write(case.data + frame(PING, 0, 0, b"question"))
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                answer = await asyncio.shield(last)
        except TimeoutError:
            answer, state = None, "silent"
            if case.certain and connection.ponged.is_set():
                # It reads what comes: the answer to a good request must come too.
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        answer = await asyncio.shield(last)
                    state = "answered" if answer is not None else "closed"
                except TimeoutError:
                    state = "hangs"
        else:
            state = "answered" if answer is not None else "closed"
        answers = connection.unexpected
        if answer is not None:
            answers.append(answer)
        if connection.problem:
            raise NotHttpError(connection.problem)
        return answers, state
    finally:
        connection.close()
