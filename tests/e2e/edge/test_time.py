"""What never ends: requests that do not arrive, answers that nobody reads, connections without a call.

The Envoy of these tests waits a second for a request, two and a half for a call that stands still.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.clients import (
    EMPTY_FRAME,
    Http2,
    Reply,
    frame,
    grpc_headers,
    outcome,
    read_reply,
    request_bytes,
)
from tests.e2e.edge.running import Edge, nobody_notices

from conversations.v1.conversation_service_pb2 import ListConversationsRequest

LIST_TAGS = "/conversations.v1.TagService/ListTags"
LIST_CONVERSATIONS = "/conversations.v1.ConversationService/ListConversations"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"
LATE_IN_JSON = (408, 4, "OUT_OF_TIME")
LATE_IN_GRPC = (200, 4, "OUT_OF_TIME")
SLACK_SECONDS = 1.5
"""Envoy's own second before it closes a connection, and a busy machine."""


def in_http1(edge: Edge, sent: bytes, drip: bytes = b"") -> Reply:
    """Send a part of a request, and more of it ten times a second, until it is answered and the connection ends."""
    with socket.create_connection(("127.0.0.1", edge.port), 10) as connection:
        connection.sendall(sent)
        stop = threading.Event()

        def go_on() -> None:
            with contextlib.suppress(OSError):
                while drip and not stop.wait(0.1):
                    connection.sendall(drip)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            reply = read_reply(connection)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(65536) == b""
        finally:
            stop.set()
            thread.join()
    return reply


def in_http2(edge: Edge, path: str, content_type: str, body: bytes) -> Reply:
    with Http2(edge.port) as client:
        return client.reply(client.request(grpc_headers(edge.port, path, content_type=content_type), body, end=False))


def part_of(call: bytes) -> bytes:
    return call[:-5]


SLOW: dict[str, tuple[Callable[[Edge], Reply], tuple[int, int, str]]] = {
    "headers that do not end": (lambda edge: in_http1(edge, b"POST /tags.list HTTP/1.1\r\nhost: "), LATE_IN_JSON),
    "headers that drip": (lambda edge: in_http1(edge, b"POST /tags.list HTTP/1.1\r\nx: ", b"x"), LATE_IN_JSON),
    "body that stops": (lambda edge: in_http1(edge, part_of(request_bytes("/tags.list", b" " * 99))), LATE_IN_JSON),
    "body that never comes": (lambda edge: in_http1(edge, request_bytes("/tags.list", b" ")[:-1]), LATE_IN_JSON),
    "body that drips": (
        lambda edge: in_http1(edge, part_of(request_bytes("/tags.list", b" " * 999))[:-900], b" "),
        LATE_IN_JSON,
    ),
    "chunked body that stops": (
        lambda edge: in_http1(
            edge, b"POST /tags.list HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"
        ),
        LATE_IN_JSON,
    ),
    "body for no path": (lambda edge: in_http1(edge, request_bytes("/nowhere", b" ")[:-1]), LATE_IN_JSON),
    "body of gRPC-Web": (
        lambda edge: in_http1(
            edge, part_of(request_bytes(LIST_TAGS, b"\0" * 9, **{"content-type": "application/grpc-web"}))
        ),
        LATE_IN_GRPC,
    ),
    "HTTP/2: body that stops": (lambda edge: in_http2(edge, "/tags.list", "application/json", b"{"), LATE_IN_JSON),
    "gRPC: headers alone": (lambda edge: in_http2(edge, LIST_TAGS, "application/grpc", b""), LATE_IN_GRPC),
    "gRPC: half a frame": (lambda edge: in_http2(edge, LIST_TAGS, "application/grpc", b"\0\0"), LATE_IN_GRPC),
    "gRPC: a frame and no end": (lambda edge: in_http2(edge, LIST_TAGS, "application/grpc", EMPTY_FRAME), LATE_IN_GRPC),
    "gRPC: a stream of nothing": (lambda edge: in_http2(edge, REFLECTION, "application/grpc", b""), LATE_IN_GRPC),
}


def test_requests_that_do_not_arrive_end_in_time(edge: Edge) -> None:
    """All at once: each waits for its second."""

    def ended(case: Callable[[Edge], Reply]) -> tuple[tuple[int, int, str], float]:
        start = time.monotonic()
        return outcome(case(edge)), time.monotonic() - start

    with nobody_notices(edge), ThreadPoolExecutor(len(SLOW)) as pool:
        found = dict(zip(SLOW, pool.map(ended, (case for case, _ in SLOW.values())), strict=True))
    assert {name: result for name, (result, _) in found.items()} == {name: wanted for name, (_, wanted) in SLOW.items()}
    limit = edge.settings.request_ms / 1000 + SLACK_SECONDS
    assert {name: seconds for name, (_, seconds) in found.items() if seconds > limit} == {}


def test_call_whose_message_never_comes_whole_ends(edge: Edge) -> None:
    """The request is complete for HTTP; the worker waits for more."""
    start = time.monotonic()
    with nobody_notices(edge), Http2(edge.port) as client:
        streams = [
            client.request(grpc_headers(edge.port, LIST_TAGS), body) for body in (b"\0", b"\0\0\0\0\x64abc", b"")
        ]
        assert [outcome(client.reply(stream)) for stream in streams] == [LATE_IN_GRPC] * 3
    assert time.monotonic() - start < edge.settings.stream_idle_ms / 1000 + SLACK_SECONDS


def test_silent_answer_may_stream_on(edge: Edge) -> None:
    """Health.Watch says nothing until something changes."""
    with Http2(edge.port) as client:
        stream = client.request(grpc_headers(edge.port, WATCH), EMPTY_FRAME)
        client.socket.settimeout(edge.settings.stream_idle_ms / 1000 + 1)
        with pytest.raises(TimeoutError):
            client.reply(stream)
        assert len(client.replies[stream].body) > len(EMPTY_FRAME)
        assert (client.replies[stream].ended, client.terminated) == (False, None)


def test_reflection_that_asks_nothing_more_ends(edge: Edge) -> None:
    ask = frame(b"\x3a\x00")
    with Http2(edge.port) as client:
        stream = client.request(grpc_headers(edge.port, REFLECTION), ask, end=False)
        reply = client.reply(stream)
    assert len(reply.body) > 5
    assert reply.ended


def test_connections_without_a_call_end(edge: Edge) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    call = request_bytes("/healthz", b"", "GET")
    sent = {"nothing": b"", "a beginning": b"PRI * HT", "HTTP/2": preface, "HTTP/1": call}
    start = time.monotonic()
    with contextlib.ExitStack() as cleanup:
        open_ones = {}
        for name, data in sent.items():
            connection = cleanup.enter_context(socket.create_connection(("127.0.0.1", edge.port), 10))
            connection.sendall(data)
            open_ones[connection] = name
        while open_ones:
            ready, _, _ = select.select(list(open_ones), [], [], 0.5)
            for connection in ready:
                if not connection.recv(65536):
                    del open_ones[connection]
            # An idle connection is announced to end, and ended a second later.
            assert time.monotonic() - start < edge.settings.connection_idle_ms / 1000 + 1 + 2 * SLACK_SECONDS, open_ones


def test_clients_that_do_not_read_are_cut(edge: Edge) -> None:
    """They hold up nobody, and their connections end."""
    body = b'{"filters": "answer 5000000"}'
    message = frame(ListConversationsRequest(filters="answer 5000000").SerializeToString())
    with contextlib.ExitStack() as cleanup:
        plain = []
        for _ in range(3):
            connection = cleanup.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(10)
            connection.connect(("127.0.0.1", edge.port))
            connection.sendall(request_bytes("/conversations.list", body))
            plain.append(connection)
        multiplexed = cleanup.enter_context(Http2(edge.port, window=1000))
        with nobody_notices(edge):
            for _ in range(30):
                multiplexed.request(grpc_headers(edge.port, LIST_CONVERSATIONS), message)
            time.sleep(edge.settings.stream_idle_ms / 1000)

        def gone() -> bool:
            names = ("http.front.downstream_cx_active", "http.front.downstream_rq_active")
            stats = edge.stats(r"^http\.front\.downstream_(cx|rq)_active$")
            return stats[names[0]] <= 1 and stats[names[1]] == 0

        deadline = time.monotonic() + 10
        while not gone():
            assert time.monotonic() < deadline, edge.stats(r"^http\.front\.downstream_(cx|rq)_active$")
            time.sleep(0.05)
