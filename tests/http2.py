"""Raw HTTP/2, for clients that do not keep to the rules: one connection, frames as the test wants them."""

import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.settings

__all__ = ["Http2", "Reply", "frame"]

Headers = Sequence[tuple[str, str]]


def frame(message: bytes, length: int | None = None) -> bytes:
    """Return a gRPC frame, with a length that need not be that of the message."""
    return struct.pack(">BI", 0, len(message) if length is None else length) + message


@dataclass(slots=True)
class Reply:
    """What has come on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    """Headers and trailers."""
    data: bytes = b""
    ended: bool = False
    reset: int | None = None
    """Error code of a reset."""

    @property
    def grpc_status(self) -> int | None:
        """The status of a gRPC call; None where there is none."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None


class Http2:
    """A connection."""

    def __init__(self, port: int, settings: Mapping[h2.settings.SettingCodes, int] | None = None) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        if settings:
            self._connection.update_settings({int(code): value for code, value in settings.items()})
        self._connection.initiate_connection()
        self._replies: dict[int, Reply] = {}
        self.closed = False
        """Whether the server has closed the connection, or said that it will."""
        self._flush()

    @property
    def refuses_streams(self) -> bool:
        """Whether the server takes no more streams on this connection for now."""
        return self._connection.open_outbound_streams >= self._connection.remote_settings.max_concurrent_streams

    def start(self, path: str, headers: Headers = (), *, method: str = "POST", end: bool = False) -> int:
        """Begin a stream; return its number."""
        stream = self._connection.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", f"127.0.0.1:{self._port}")]
        replaced = {name for name, _ in headers if name.startswith(":")}
        pseudo = [pair for pair in pseudo if pair[0] not in replaced] + [h for h in headers if h[0] in replaced]
        self._connection.send_headers(stream, [*pseudo, *(h for h in headers if h[0] not in replaced)], end_stream=end)
        self._replies[stream] = Reply()
        self._flush()
        return stream

    def start_call(self, method: str, headers: Headers = ()) -> int:
        """Begin a gRPC call; return the number of its stream."""
        return self.start(method, [("content-type", "application/grpc"), ("te", "trailers"), *headers])

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send a part of a body, as far as the window allows."""
        while True:
            room = min(self._connection.local_flow_control_window(stream), self._connection.max_outbound_frame_size)
            part, data = data[:room], data[room:]
            self._connection.send_data(stream, part, end_stream=end and not data)
            self._flush()
            if not data:
                return
            while self._connection.local_flow_control_window(stream) == 0:
                self._receive(10)

    def reset(self, stream: int) -> None:
        """Cancel a stream."""
        self._connection.reset_stream(stream, 8)
        self._flush()

    def reply(self, stream: int, seconds: float = 10.0) -> Reply:
        """Return what came until the stream ended, or the time."""
        reply, deadline = self._replies[stream], time.monotonic() + seconds
        while not reply.ended and not self.closed and (left := deadline - time.monotonic()) > 0:
            self._receive(left)
        return reply

    def call(self, method: str, body: bytes, headers: Headers = (), seconds: float = 10.0) -> Reply:
        """Make a gRPC call with a body that need not be one frame."""
        stream = self.start_call(method, headers)
        self.send(stream, body, end=True)
        return self.reply(stream, seconds)

    def drain(self) -> None:
        """Take in what has come, without waiting."""
        self._receive(0.0001)

    def _receive(self, seconds: float) -> None:
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self._connection.receive_data(data):
            self._note(event)
        self._flush()

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.closed = True
        reply = self._replies.get(getattr(event, "stream_id", None) or 0)
        if reply is None:
            return
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                reply.headers.update((str(name), str(value)) for name, value in event.headers)
            case h2.events.DataReceived():
                reply.data += event.data
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamReset():
                reply.reset, reply.ended = int(event.error_code), True
            case h2.events.StreamEnded():
                reply.ended = True

    def _flush(self) -> None:
        try:
            self._socket.sendall(self._connection.data_to_send())
        except OSError:
            self.closed = True

    def close(self) -> None:
        """Close the connection, without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
