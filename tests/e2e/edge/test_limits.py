"""What never ends, and what is too much: each call within its bound, and nobody else notices.

The edge of these tests has a second of patience where the service has thirty.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.clients import EMPTY_FRAME, Http2, Reply, exchange, frame, grpc_headers, outcome, read_reply, request_bytes
from tests.e2e.edge.running import Edge, nobody_notices, running_edge
from tests.rest import Rest

from conversations.v1.conversation_service_pb2 import ListConversationsRequest

LIST_TAGS = "/conversations.v1.TagService/ListTags"
INGEST = "/conversations.v1.IngestService/IngestEvents"
LIST = "/conversations.v1.ConversationService/ListConversations"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"
MIB = 1024 * 1024

SLOW_PATHS = {"/tags.list": "application/json", "/events.ingest": "application/json", LIST_TAGS: "application/grpc-web"}
OUT_OF_TIME = {
    "application/json": (408, 4, "OUT_OF_TIME"),
    "application/grpc": (200, 4, "OUT_OF_TIME"),
    "application/grpc-web": (200, 4, "OUT_OF_TIME"),
}


class TestTime:
    """A request has a second to arrive."""

    def test_body_of_http1(self, edge: Edge) -> None:
        framings = ("content-length: 100\r\n\r\n", "transfer-encoding: chunked\r\n\r\n5\r\n")
        cases = [(path, framing, drips) for path in SLOW_PATHS for framing in framings for drips in (False, True)]
        with nobody_notices(edge), ThreadPoolExecutor(len(cases)) as pool:
            replies = list(pool.map(lambda case: slow_http1(edge.port, *case), cases))
        assert [outcome(reply) for reply in replies] == [OUT_OF_TIME[SLOW_PATHS[path]] for path, _, _ in cases]

    def test_body_of_http2(self, edge: Edge) -> None:
        cases = [
            ("/tags.list", "application/json", b"{"),
            (LIST_TAGS, "application/grpc", b""),
            (LIST_TAGS, "application/grpc", b"\0\0"),
            (LIST_TAGS, "application/grpc-web", frame(b"abc" * 9)[:8]),
            ("/events.ingest", "application/json", b'{"events": ['),
            (INGEST, "application/grpc", frame(b"abc" * 9)[:8]),
            (REFLECTION, "application/grpc", b""),
            (WATCH, "application/grpc", b"\0\0"),
        ]
        with nobody_notices(edge), ThreadPoolExecutor(len(cases)) as pool:
            replies = list(pool.map(lambda case: slow_http2(edge.port, *case), cases))
        assert [outcome(reply) for reply in replies] == [OUT_OF_TIME[kind] for _, kind, _ in cases]

    def test_idle_connections_are_closed(self, edge: Edge) -> None:
        starts = [b"", b"POST /tags.list HTTP/1.1\r\nhost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        with ThreadPoolExecutor(len(starts)) as pool:
            assert max(pool.map(lambda start: seconds_until_closed(edge.port, start), starts)) < 5

    @pytest.mark.parametrize("path", ["/conversations.list", LIST])
    def test_client_that_does_not_read_is_cut(self, edge: Edge, path: str) -> None:
        request = ListConversationsRequest(filters="answer 1900000").SerializeToString()
        with nobody_notices(edge), Http2(edge.port, window=10) as client:
            headers = grpc_headers(edge.port, path)
            body = frame(request)
            if path == "/conversations.list":
                headers = grpc_headers(edge.port, path, content_type="application/json")
                body = b'{"filters": "answer 1900000"}'
            reply = client.call(headers, body)
        assert reply.ended

    def test_answer_that_is_long_in_coming_is_waited_for(self, edge: Edge) -> None:
        request = frame(ListConversationsRequest(filters="sleep 1.6").SerializeToString())
        with Http2(edge.port) as client:
            assert outcome(client.call(grpc_headers(edge.port, LIST), request)) == (200, 0, "")

    def test_stream_goes_on(self, edge: Edge) -> None:
        """Who watches hears nothing for long."""
        with Http2(edge.port, timeout=4.0) as client:
            stream = client.request(grpc_headers(edge.port, WATCH), EMPTY_FRAME)
            with pytest.raises(TimeoutError):
                client.reply(stream)
            assert client.replies[stream].status == 200


def slow_http1(port: int, path: str, framing: str, drips: bool) -> Reply:
    """Return the answer to a body that stops, or that comes a byte at a time."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {SLOW_PATHS[path]}\r\n{framing}"
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(head.encode() + b"abc")
        if drips:
            threading.Thread(target=drip, args=(connection,)).start()
        return read_reply(connection)


def slow_http2(port: int, path: str, content_type: str, body: bytes) -> Reply:
    """Return the answer to a body that stops."""
    with Http2(port, timeout=5) as client:
        return client.reply(client.request(grpc_headers(port, path, content_type=content_type), body, end=False))


def seconds_until_closed(port: int, start: bytes) -> float:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(start)
        began = time.monotonic()
        while connection.recv(65536):
            pass
        return time.monotonic() - began


def drip(connection: socket.socket) -> None:
    with suppress(OSError):
        for _ in range(100):
            time.sleep(0.05)
            connection.sendall(b" ")


class TestSize:
    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize(
        ("path", "sizes"), [("/tags.list", (MIB // 4 - 100, MIB // 4 + 100)), ("/events.ingest", (MIB, 3 * MIB))]
    )
    def test_body_above_the_bound_of_its_path(
        self, edge: Edge, path: str, sizes: tuple[int, int], chunked: bool
    ) -> None:
        for size, wanted in zip(sizes, (False, True), strict=True):
            body = b"{" + b" " * (size - 2) + b"}"
            if chunked:
                pieces = [body[at : at + 60_000] for at in range(0, size, 60_000)]
                body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
                head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
                request = head + body
            else:
                request = request_bytes(path, body)
            with nobody_notices(edge):
                assert (outcome(sent(edge.port, request)) == (413, 8, "REQUEST_TOO_LARGE")) == wanted

    def test_grpc_too(self, edge: Edge) -> None:
        with nobody_notices(edge), Http2(edge.port) as client:
            reply = client.call(grpc_headers(edge.port, LIST_TAGS), frame(bytes(MIB // 4)))
        assert outcome(reply) == (200, 8, "REQUEST_TOO_LARGE")


def sent(port: int, request: bytes) -> Reply:
    """Send a request that may be refused before its end."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        with suppress(OSError):
            connection.sendall(request)
        return read_reply(connection)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with small budgets."""
    with running_edge(
        tmp_path_factory.mktemp("small"),
        calls_per_worker=20,
        streams_per_worker=5,
        max_connections=60,
        call_ms=3000,
        connection_idle_ms=60_000,
    ) as running:
        yield running


@contextmanager
def held(edge: Edge, count: int, open_one: Callable[[Http2], int]) -> Iterator[None]:
    """Hold calls, fifty on a connection."""
    with ExitStack() as clients:
        for number in range(count):
            if number % 50 == 0:
                client = clients.enter_context(Http2(edge.port))
            open_one(client)
        time.sleep(0.2)
        yield


class TestBudgets:
    SLEEP = frame(ListConversationsRequest(filters="sleep 2").SerializeToString())

    def test_one_kind_of_calls_leaves_room_for_the_others(self, small: Edge) -> None:
        sleeping = held(small, 30, lambda client: client.request(grpc_headers(small.port, LIST), self.SLEEP))
        with sleeping, Rest(small.url) as rest, Http2(small.port) as grpc_client:
            refused = grpc_client.call(grpc_headers(small.port, LIST_TAGS), EMPTY_FRAME)
            assert outcome(refused) == (200, 14, "NO_SERVER")
            assert rest.post("/conversations.list", {}).status == 200
            assert rest.request("GET", "/healthz").status == 200
            check = grpc_client.call(grpc_headers(small.port, "/grpc.health.v1.Health/Check"), EMPTY_FRAME)
            assert outcome(check) == (200, 0, "")

    def test_streams_have_a_budget_of_their_own(self, small: Edge) -> None:
        watching = held(small, 10, lambda client: client.request(grpc_headers(small.port, WATCH), EMPTY_FRAME))
        with watching, nobody_notices(small):
            time.sleep(0.1)

    def test_requests_that_do_not_arrive_take_nobodys_place(self, small: Edge) -> None:
        """They are held back here, and count for nothing before they are whole."""
        silent = held(small, 200, lambda client: client.request(grpc_headers(small.port, LIST_TAGS), end=False))
        with silent, nobody_notices(small):
            time.sleep(0.2)

    def test_a_connection_has_a_hundred_streams(self, small: Edge) -> None:
        with Http2(small.port) as client:
            client.call(grpc_headers(small.port, LIST_TAGS), EMPTY_FRAME)
            assert client.h2.remote_settings.max_concurrent_streams == 100

    def test_connections_beyond_the_bound_are_refused_and_the_others_go_on(self, small: Edge) -> None:
        with Rest(small.url) as client:
            assert client.post("/conversations.list", {}).status == 200
            connections = [socket.create_connection(("127.0.0.1", small.port), 5) for _ in range(100)]
            try:
                for _ in range(10):
                    assert client.post("/conversations.list", {}).status == 200
                time.sleep(0.2)
                refused = 0
                for connection in connections:
                    connection.setblocking(False)
                    with suppress(BlockingIOError):
                        refused += connection.recv(1) == b""
                assert refused >= 40
            finally:
                for connection in connections:
                    connection.close()


def test_bodies_that_stall_take_little_memory(edge: Edge) -> None:
    """They go to a worker as they come, which can tell whom to refuse."""
    body = b'{"events":[' + b"{}," * 300_000
    head = b"POST /events.ingest HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8000000\r\n\r\n"
    before = edge.memory_bytes()
    with ExitStack() as connections, nobody_notices(edge):
        for _ in range(40):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", edge.port), 5))
            connection.settimeout(0.5)
            with suppress(OSError):
                connection.sendall(head + body)
        assert edge.memory_bytes() - before < 100 * MIB


def test_rapid_reset_leaves_others_their_turn(edge: Edge) -> None:
    """A connection whose streams are reset at once is closed; meanwhile others are served."""
    stop = time.monotonic() + 2

    def attack() -> int:
        closed = 0
        while time.monotonic() < stop:
            with Http2(edge.port) as client:
                while client.terminated is None and time.monotonic() < stop:
                    for _ in range(20):
                        client.reset(client.request(grpc_headers(edge.port, LIST_TAGS), end=False))
                    client.socket.settimeout(0.001)
                    with suppress(TimeoutError):
                        client.pump()
                closed += client.terminated is not None
        return closed

    with ThreadPoolExecutor(1) as pool:
        attacker = pool.submit(attack)
        with nobody_notices(edge):
            time.sleep(1)
        assert attacker.result() > 0


def test_pipelined_calls_of_one_client_do_not_hold_up_others(edge: Edge) -> None:
    with nobody_notices(edge):
        reply = exchange(edge.port, request_bytes("/tags.list", b"{}") * 2000)
    assert reply.status == 200
