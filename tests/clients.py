"""Clients that ignore the rules: HTTP/1 with any bytes, HTTP/2 with any headers and frames."""

import base64
import json
import re
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from tests.rest import Answer

__all__ = [
    "EMPTY_FRAME",
    "WEBSOCKET",
    "Headers",
    "Http2",
    "Reply",
    "connect",
    "exchange",
    "frame",
    "grpc_headers",
    "json_headers",
    "outcome",
    "read_reply",
    "request_bytes",
    "web_messages",
]

TIMEOUT_SECONDS = 10.0
# The flag of a frame of gRPC-Web.
_TRAILERS = 0x80
Headers = Sequence[tuple[str | bytes, str | bytes]]
WEBSOCKET = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""Headers of a request for a WebSocket."""


def frame(message: bytes) -> bytes:
    """Return a message as gRPC sends it."""
    return struct.pack(">BI", 0, len(message)) + message


EMPTY_FRAME = frame(b"")


@dataclass(slots=True)
class Reply:
    """The response to one request."""

    status: int = 0
    """0 if nothing came."""
    headers: dict[str, str] = field(default_factory=dict)
    """By lower-case name; including trailers."""
    body: bytes = b""
    reset: int | None = None
    """The error code, if the stream was reset."""
    ended: bool = False

    @property
    def grpc_status(self) -> int | None:
        """The status of a gRPC call; None if there is none."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None

    @property
    def json(self) -> Any:
        """The body, parsed."""
        assert self.headers.get("content-type") == "application/json", self
        return json.loads(self.body)


def outcome(reply: Reply | Answer) -> tuple[int, int, str]:
    """Return HTTP status, gRPC code and reason, of JSON, gRPC and gRPC-Web; success has code 0 and no reason."""
    if reply.headers.get("content-type", "").startswith("application/grpc"):
        trailers = {**_web_trailers(reply.body), **reply.headers}
        packed = trailers.get("grpc-status-details-bin")
        reason = _reason(Status.FromString(_unpadded(packed))) if packed else ""
        return reply.status, int(trailers.get("grpc-status", -1)), reason
    if reply.status in (200, 201, 204):
        return reply.status, 0, ""
    error = reply.json
    assert set(error) == {"code", "message", "details"}, error
    assert error["message"], error
    return reply.status, error["code"], error["details"][0]["reason"]


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _reason(status: Status) -> str:
    info = ErrorInfo()
    return info.reason if status.details and status.details[0].Unpack(info) else ""


def web_messages(body: bytes) -> list[bytes]:
    """Return the messages in the body of a gRPC-Web answer."""
    return [part for flags, part in _web_frames(body) if not flags & _TRAILERS]


def _web_frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    while len(body) >= 5:
        flags, length = struct.unpack(">BI", body[:5])
        yield flags, body[5 : 5 + length]
        body = body[5 + length :]


def _web_trailers(body: bytes) -> dict[str, str]:
    text = b"".join(part for flags, part in _web_frames(body) if flags & _TRAILERS).decode()
    lines = (line.partition(":") for line in text.split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}


# HTTP/1


def exchange(port: int, *parts: bytes, timeout: float = TIMEOUT_SECONDS) -> Reply:
    """Send bytes on a new connection, and return the first answer."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        for part in parts:
            connection.sendall(part)
        return read_reply(connection)


def request_bytes(path: str, body: bytes = b"", method: str = "POST", **headers: str) -> bytes:
    """Return a request, with the host localhost unless another one is given."""
    sent = {"host": "localhost", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def read_reply(connection: socket.socket, data: bytes = b"") -> Reply:
    """Return the next answer on a connection; `data` is what has come of it, what follows it is lost."""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return Reply()
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.1 (\d+)", first)
    assert found, first
    if found[1] == "100":
        return read_reply(connection, body)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    reply = Reply(int(found[1]), headers)
    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(connection)
        reply.body = _unchunked(body)
    else:
        length = int(headers.get("content-length", 0))
        while len(body) < length:
            body += _more(connection)
        reply.body = body[:length]
    reply.ended = True
    return reply


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    assert received, "the answer was cut"
    return received


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole, body = whole + body[:length], body[length + 2 :]


# HTTP/2


def grpc_headers(
    port: int, path: str, *more: tuple[str, str | bytes], content_type: str = "application/grpc"
) -> Headers:
    """Return the headers of a gRPC call."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", f"127.0.0.1:{port}"),
        ("te", "trailers"),
        ("content-type", content_type),
        *more,
    ]


def json_headers(port: int, path: str, *more: tuple[str, str | bytes]) -> Headers:
    """Return the headers of a call in JSON."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", f"127.0.0.1:{port}"),
        ("content-type", "application/json"),
        *more,
    ]


class _PlainEncoder(Encoder):
    """Writes text uncompressed: compressing takes longer than everything else here."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        encoded: bytes = super().encode(headers, huffman=False)
        return encoded


class Http2:
    """A connection that sends anything, and accepts anything."""

    def __init__(self, port: int, timeout: float = TIMEOUT_SECONDS, *, window: int | None = None) -> None:
        """Connect.

        Args:
            port: Where, on this machine.
            timeout: The longest wait for anything, in seconds.
            window: How many bytes of an answer may come before it is read; None takes all.
        """
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.h2 = H2Connection(
            H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                header_encoding="latin-1",
            )
        )
        self.h2.encoder = _PlainEncoder()
        self.replies: dict[int, Reply] = {}
        self.terminated: int | None = None
        """The error code with which the peer ended the connection; -1 if it just closed."""
        self._window = window
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def request(self, headers: Headers, body: bytes | None = b"", *, end: bool = True) -> int:
        """Send a request and return its stream; a body of None sends only headers, without `end` it stays open."""
        stream = self.h2.get_next_available_stream_id()
        self.replies[stream] = Reply()
        self.h2.send_headers(stream, list(headers), end_stream=end and body is None)
        if body is not None:
            self.flush()
            self.data(stream, body, end=end)
        self.flush()
        return stream

    def data(self, stream: int, body: bytes, *, end: bool = False) -> None:
        """Send more of a body, as flow control allows."""
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if not room:
                self.flush()
                if not self.pump() or self.replies[stream].ended:
                    return
                continue
            self.h2.send_data(stream, body[:room])
            body = body[room:]
        if end and not self.replies[stream].ended:
            self.h2.end_stream(stream)
        self.flush()

    @property
    def refuses_streams(self) -> bool:
        """Whether the peer accepts no more streams on this connection for now."""
        return self.h2.open_outbound_streams >= self.h2.remote_settings.max_concurrent_streams

    def reset(self, stream: int) -> None:
        """Cancel a request."""
        self.h2.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()

    def trailers(self, stream: int, headers: Headers) -> None:
        """End a request with trailers."""
        self.h2.send_headers(stream, list(headers), end_stream=True)
        self.flush()

    def flush(self) -> None:
        """Send pending bytes."""
        try:
            self.socket.sendall(self.h2.data_to_send())
        except OSError:
            self.terminated = -1 if self.terminated is None else self.terminated

    def pump(self) -> bool:
        """Take what comes next; False when the connection has ended.

        Raises:
            TimeoutError: Nothing comes.
        """
        try:
            received = self.socket.recv(65536)
        except ConnectionError:
            received = b""
        if not received:
            self.terminated = -1 if self.terminated is None else self.terminated
            return False
        try:
            events = self.h2.receive_data(received)
        except ProtocolError:
            self.terminated = -1
            return False
        for event in events:
            self._take(event)
        self.flush()
        return True

    def reply(self, stream: int) -> Reply:
        """Wait until a stream has ended, and return what came.

        Raises:
            TimeoutError: It does not end.
        """
        while not self.replies[stream].ended and self.pump():
            pass
        return self.replies[stream]

    def call(self, headers: Headers, body: bytes | None = b"") -> Reply:
        """Send a request and return the answer."""
        return self.reply(self.request(headers, body))

    def _take(self, event: Any) -> None:
        match event:
            case ResponseReceived() | TrailersReceived():
                reply = self.replies[event.stream_id]
                headers = {_text(name): _text(value) for name, value in event.headers or ()}
                reply.status = int(headers.pop(":status", reply.status))
                reply.headers.update(headers)
            case DataReceived():
                self.replies[event.stream_id].body += event.data
                if self._window is None:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.replies[event.stream_id].ended = True
            case StreamReset():
                reply = self.replies[event.stream_id]
                reply.ended = True
                if not reply.status:
                    reply.reset = int(event.error_code)
            case ConnectionTerminated():
                self.terminated = int(event.error_code or 0)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(port: int, *more: tuple[str, str]) -> Reply:
    """Ask for a tunnel over HTTP/2, and return the answer."""
    headers: Headers = [(":method", "CONNECT"), (":authority", "127.0.0.1:80"), *more]
    with Http2(port) as client:
        return client.call(headers, None)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
