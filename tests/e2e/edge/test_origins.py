"""Pages of other origins and names of other hosts: refused before anything happens."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.clients import EMPTY_FRAME, Http2, exchange, grpc_headers, outcome, request_bytes
from tests.e2e.edge.running import ORIGIN, Edge, running_edge
from tests.rest import Answer, Rest

from conversations.edge import rest_routes

LIST_TAGS = "/conversations.v1.TagService/ListTags"
NOT_ALLOWED = (403, 7, "ORIGIN_NOT_ALLOWED")
OTHER_HOST = (421, 7, "HOST_NOT_ALLOWED")
OK = (200, 0, "")

FOREIGN = [
    "http://evil.example",
    "https://evil.example",
    f"{ORIGIN}.evil.example",
    "https://inbox.example.org.",
    "https://inbox.example.org:8443",
    "http://inbox.example.org",
    f"{ORIGIN}/",
    f"{ORIGIN}, {ORIGIN}",
    f"{ORIGIN} https://evil.example",
    "null",
    "",
    "*",
    "http://localhost:1",
    "http://127.0.0.1",
    "http://user@localhost",
    "file://",
    "\xff",
]


def calls(client: Rest) -> int:
    """Return how many lists the worker has been asked for; this one counts."""
    count: int = client.post("/conversations.list", {"filters": "calls"}).json["pagination_data"]["badge_unread_count"]
    return count


def own(edge: Edge) -> str:
    return f"http://127.0.0.1:{edge.port}"


class TestOrigin:
    @pytest.mark.parametrize("origin", FOREIGN)
    def test_page_of_another_origin_changes_nothing(self, edge: Edge, client: Rest, origin: str) -> None:
        before = calls(client)
        for content_type in ("text/plain", "application/json"):
            sent = {"origin": origin, "content-type": content_type}
            reply = exchange(edge.port, request_bytes("/conversations.list", b"{}", **sent))
            assert outcome(reply) == NOT_ALLOWED
            assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert calls(client) == before + 1

    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "PUT"])
    @pytest.mark.parametrize("path", ["/healthz", "/tags.list", "/nowhere", LIST_TAGS])
    def test_every_path_and_method_refuses_it(self, client: Rest, method: str, path: str) -> None:
        ask = {"access-control-request-method": "POST"} if method == "OPTIONS" else {}
        answer = client.request(method, path, None, origin="http://evil.example", **ask)
        assert answer.status == 403
        assert method == "HEAD" or outcome(answer) == NOT_ALLOWED

    @pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web", "application/grpc-web-text"])
    def test_grpc_refuses_it(self, edge: Edge, content_type: str) -> None:
        body = b"AAAAAAA=" if content_type.endswith("text") else EMPTY_FRAME
        headers = grpc_headers(edge.port, LIST_TAGS, ("origin", "http://evil.example"), content_type=content_type)
        with Http2(edge.port) as client:
            assert outcome(client.call(headers, body)) == (200, 7, "ORIGIN_NOT_ALLOWED")

    def test_it_is_refused_before_its_body_is_here(self, edge: Edge) -> None:
        call = request_bytes("/tags.list", b"{}", origin="http://evil.example")
        assert outcome(exchange(edge.port, call[:-2], timeout=0.8)) == NOT_ALLOWED

    def test_two_origins_are_none(self, edge: Edge) -> None:
        call = request_bytes("/tags.list", b"{}", origin=ORIGIN).replace(
            b"\r\n\r\n", b"\r\norigin: http://evil.example\r\n\r\n"
        )
        assert outcome(exchange(edge.port, call)) == NOT_ALLOWED

    @pytest.mark.parametrize("origin", [b"\xff", b"http://\xc3\x28", b""])
    def test_bytes_that_are_no_text_are_no_origin(self, edge: Edge, origin: bytes) -> None:
        call = request_bytes("/tags.list", b"{}", origin="?").replace(b"origin: ?", b"origin: " + origin)
        assert outcome(exchange(edge.port, call)) == NOT_ALLOWED

    def test_own_page_may_call(self, edge: Edge, client: Rest) -> None:
        for origin in (own(edge), own(edge).upper().replace("HTTP", "http")):
            assert client.post("/tags.list", {}, origin=origin).status == 200

    @pytest.mark.parametrize(
        ("host", "origin", "wanted"),
        [
            ("localhost", "http://localhost", OK),
            ("localhost:80", "http://localhost", OK),
            ("localhost", "http://localhost:80", OK),
            ("LOCALHOST:7", "http://localhost:7", OK),
            ("[::1]:7", "http://[::1]:7", OK),
            ("inbox.example.org", "http://inbox.example.org", OK),
            ("localhost:7", "http://localhost:8", NOT_ALLOWED),
            ("localhost:7", "https://localhost:7", NOT_ALLOWED),
            ("localhost:443", "http://localhost", NOT_ALLOWED),
            ("localhost.", "http://localhost", NOT_ALLOWED),
            ("127.0.0.1:7", "http://localhost:7", NOT_ALLOWED),
            # A name of another's that resolves to this machine.
            ("evil.example", "http://evil.example", OTHER_HOST),
            ("evil.example", "http://localhost", NOT_ALLOWED),
        ],
    )
    def test_own_is_the_host_that_the_request_names(
        self, edge: Edge, host: str, origin: str, wanted: tuple[int, int, str]
    ) -> None:
        assert outcome(exchange(edge.port, request_bytes("/tags.list", b"{}", host=host, origin=origin))) == wanted

    def test_without_origin_nothing_changes(self, client: Rest) -> None:
        assert client.post("/tags.list", {}).status == 200
        assert client.post("/tags.list", {}, referer="http://evil.example/").status == 200


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            *("localhost", "LocalHost", "localhost:1", "localhost.", "localhost.:8080"),
            *("127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:80", "inbox.example.org", "INBOX.example.org.:443"),
        ],
    )
    def test_own_names_are_answered_whatever_the_port(self, edge: Edge, host: str) -> None:
        assert outcome(exchange(edge.port, request_bytes("/tags.list", b"{}", host=host))) == OK

    @pytest.mark.parametrize(
        "host",
        [
            *(
                "evil.example",
                "evil.example:8080",
                "localhost.evil.example",
                "evil.localhost",
                "127.0.0.1.evil.example",
            ),
            *(
                "localhost@evil.example",
                "evil.example@localhost",
                "localhost:80@evil.example",
                "",
                "127.1",
                "127.0.0.2",
            ),
            *("[::]", "::1", "inbox.example.com", "x.inbox.example.org"),
        ],
    )
    def test_other_names_are_refused(self, edge: Edge, host: str) -> None:
        for path in ("/tags.list", "/nowhere", "/"):
            assert outcome(exchange(edge.port, request_bytes(path, b"{}", host=host))) == OTHER_HOST

    @pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web"])
    def test_grpc_refuses_them(self, edge: Edge, content_type: str) -> None:
        headers = [
            (name, "evil.example" if name == ":authority" else value)
            for name, value in grpc_headers(edge.port, LIST_TAGS, content_type=content_type)
        ]
        with Http2(edge.port) as client:
            assert outcome(client.call(headers, EMPTY_FRAME)) == (200, 7, "HOST_NOT_ALLOWED")

    @pytest.mark.parametrize("hosts", [("evil.example", "localhost"), ("localhost", "evil.example")])
    def test_two_hosts_are_none(self, edge: Edge, hosts: tuple[str, str]) -> None:
        call = request_bytes("/tags.list", b"{}", host=hosts[0])
        second = f"\r\nhost: {hosts[1]}\r\n\r\n".encode()
        assert outcome(exchange(edge.port, call.replace(b"\r\n\r\n", second)))[0] in (400, 421)

    @pytest.mark.parametrize(
        ("target", "wanted"),
        [
            ("http://evil.example/tags.list", OTHER_HOST),
            ("http://localhost@evil.example/tags.list", OTHER_HOST),
            ("http://localhost/tags.list", OK),
            ("http://LOCALHOST:7/tags.list", OK),
            ("http://[::1]/tags.list", OK),
        ],
    )
    def test_a_target_that_names_a_host_counts(self, edge: Edge, target: str, wanted: tuple[int, int, str]) -> None:
        assert outcome(exchange(edge.port, request_bytes(target, b"{}"))) == wanted

    def test_probes_of_a_load_balancer_are_answered_by_any_name(self, edge: Edge) -> None:
        for host in ("10.0.0.7:8080", "evil.example", "localhost@evil.example"):
            for path in ("/healthz", "/healthz?x=1"):
                assert outcome(exchange(edge.port, request_bytes(path, b"", "GET", host=host))) == OK
            assert outcome(exchange(edge.port, request_bytes("/healthz", b"{}", host=host)))[0] in (405, 421)


EXPOSED = "grpc-message, grpc-status, grpc-status-details-bin, retry-after, x-request-id"
TO_NAMED = {
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": EXPOSED,
    "vary": "origin",
}
TO_ALL = {"access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED, "vary": "origin"}


def told_to_the_page(answer: Answer) -> dict[str, str]:
    """Return the headers that are for the browser."""
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control-") or name == "vary"
    }


def failing(code: int) -> bytes:
    return json.dumps({"conversation_id": json.dumps({"code": code, "reason": "WISH"})}).encode()


WEB = {"content-type": "application/grpc-web"}
# HTTP status, method, path, body, headers: each way in which an answer comes about.
ANSWERS: list[tuple[int, str, str, bytes | None, Mapping[str, str]]] = [
    (200, "POST", "/conversations.list", b"{}", {}),
    (200, "GET", "/healthz", None, {}),
    (201, "POST", "/tags.create", b'{"name": "a"}', {}),
    (204, "POST", "/conversations.read", b'{"conversation_id": "1"}', {}),
    (200, "POST", LIST_TAGS, EMPTY_FRAME, WEB),
    # The worker's errors.
    *((status, "POST", "/conversations.info", failing(code), {}) for code, status in ((5, 404), (7, 403), (8, 429))),
    *((status, "POST", "/conversations.info", failing(code), {}) for code, status in ((13, 500), (14, 503))),
    # Envoy's.
    (400, "POST", "/conversations.list", b"{", {}),
    *(
        (404, method, path, None, {})
        for method in ("GET", "POST", "PUT", "OPTIONS", "HEAD")
        for path in ("/nowhere", "/")
    ),
    *(
        (405, method, "/conversations.list", None, {})
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
    ),
    *((405, method, "/healthz", None, {}) for method in ("POST", "PUT", "OPTIONS", "HEAD")),
    (413, "POST", "/conversations.list", b" " * 257 * 1024, {}),
    (413, "POST", "/events.ingest", b" " * 3 * 1024 * 1024, {}),
    (421, "POST", "/conversations.list", b"{}", {"host": "evil.example"}),
    (421, "POST", "/conversations.list", b"{}", {"host": "evil@localhost"}),
    (431, "POST", "/conversations.list", b"{}", {"x-large": "x" * 70_000}),
    (504, "POST", "/conversations.list", b'{"filters": "sleep 1.5"}', {}),
    (200, "POST", "/foo.Bar/Baz", EMPTY_FRAME, WEB),
    (200, "POST", LIST_TAGS, EMPTY_FRAME, {**WEB, "grpc-timeout": "abc"}),
]
EACH_ANSWER = pytest.mark.parametrize(
    ("status", "method", "path", "body", "sent"), ANSWERS, ids=[f"{row[0]} {row[1]} {row[2]}" for row in ANSWERS]
)


@pytest.fixture(scope="module")
def open_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge for all pages, one of which is named."""
    with running_edge(
        tmp_path_factory.mktemp("open"),
        cors_origins=["*", ORIGIN],
        cors_headers=["X-Tenant", "x-request-id"],
        call_ms=1000,
    ) as running:
        yield running


@pytest.fixture
def open_client(open_edge: Edge) -> Iterator[Rest]:
    with Rest(open_edge.url) as opened:
        yield opened


class TestCors:
    """https://fetch.spec.whatwg.org/#http-cors-protocol"""

    @EACH_ANSWER
    def test_page_of_a_named_origin_may_read_every_answer(
        self, client: Rest, status: int, method: str, path: str, body: bytes | None, sent: Mapping[str, str]
    ) -> None:
        answer = client.request(method, path, body, origin=ORIGIN, **sent)
        assert (answer.status, told_to_the_page(answer)) == (status, TO_NAMED)

    @EACH_ANSWER
    def test_page_of_another_origin_may_read_none(
        self, client: Rest, status: int, method: str, path: str, body: bytes | None, sent: Mapping[str, str]
    ) -> None:
        answer = client.request(method, path, body, origin="https://evil.example", **sent)
        assert (answer.status, told_to_the_page(answer)) == (200 if sent.items() >= WEB.items() else 403, {})
        assert method == "HEAD" or outcome(answer)[1:] == NOT_ALLOWED[1:]

    @EACH_ANSWER
    def test_where_all_may_call_they_have_no_credentials(
        self, open_client: Rest, status: int, method: str, path: str, body: bytes | None, sent: Mapping[str, str]
    ) -> None:
        for origin in ("https://evil.example", "null"):
            answer = open_client.request(method, path, body, origin=origin, **sent)
            assert (answer.status, told_to_the_page(answer)) == (status, TO_ALL)

    @EACH_ANSWER
    def test_without_origin_nothing_is_said(
        self, client: Rest, status: int, method: str, path: str, body: bytes | None, sent: Mapping[str, str]
    ) -> None:
        answer = client.request(method, path, body, **sent)
        assert (answer.status, told_to_the_page(answer)) == (status, {})

    def test_who_is_named_has_credentials_where_all_may_call(self, open_client: Rest) -> None:
        assert told_to_the_page(open_client.post("/tags.list", {}, origin=ORIGIN)) == TO_NAMED

    @pytest.mark.parametrize("origin", ["HTTPS://Inbox.Example.ORG", f"{ORIGIN}:443"])
    def test_an_origin_is_answered_as_it_was_written(self, client: Rest, origin: str) -> None:
        answer = client.post("/tags.list", {}, origin=origin)
        assert told_to_the_page(answer) == {**TO_NAMED, "access-control-allow-origin": origin}

    def test_own_page_needs_none_of_it(self, edge: Edge, client: Rest) -> None:
        assert told_to_the_page(client.post("/tags.list", {}, origin=own(edge))) == {}

    def test_without_a_worker_too(self, tmp_path: Path) -> None:
        with running_edge(tmp_path) as edge, Rest(edge.url) as client:
            edge.workers[0].kill()
            for answer in (
                client.post("/tags.list", {}, origin=ORIGIN),
                client.request("GET", "/healthz", origin=ORIGIN),
            ):
                assert (outcome(answer), told_to_the_page(answer)) == ((503, 14, "NO_SERVER"), TO_NAMED)

    def test_request_that_does_not_arrive_too(self, edge: Edge) -> None:
        reply = exchange(edge.port, request_bytes("/tags.list", b"{}", origin=ORIGIN)[:-1])
        assert outcome(reply) == (408, 4, "OUT_OF_TIME")
        assert reply.headers["access-control-allow-origin"] == ORIGIN


class TestPreflight:
    PATHS = ("/", "/nowhere", "/healthz", LIST_TAGS, *(route.path for route in rest_routes()))
    USUAL = "authorization, content-type, grpc-timeout, x-grpc-web, x-request-id, x-requested-with, x-user-agent"

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
    def test_it_is_answered_on_every_path(self, client: Rest, method: str) -> None:
        """What is wrong with the request is said in its own answer, which the page can read."""
        for path in self.PATHS:
            for host in ({}, {"host": "evil.example"}):
                ask = {"origin": ORIGIN, "access-control-request-method": method, **host}
                answer = client.request("OPTIONS", path, None, **ask)
                assert (answer.status, answer.body) == (200, b"")
                assert told_to_the_page(answer) == {
                    **TO_NAMED,
                    "access-control-allow-methods": "DELETE, GET, HEAD, PATCH, POST, PUT",
                    "access-control-allow-headers": self.USUAL,
                    "access-control-max-age": "600",
                }

    def test_headers_of_the_settings_are_allowed_too(self, open_client: Rest) -> None:
        for origin, told in ((ORIGIN, TO_NAMED), ("https://evil.example", TO_ALL)):
            ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-tenant"}
            answer = open_client.request("OPTIONS", "/tags.list", None, origin=origin, **ask)
            assert answer.status == 200
            assert told_to_the_page(answer).items() >= told.items()
            assert answer.headers["access-control-allow-headers"] == f"{self.USUAL}, x-tenant"

    def test_of_another_origin_it_is_refused(self, client: Rest) -> None:
        for path in self.PATHS:
            ask = {"origin": "https://evil.example", "access-control-request-method": "POST"}
            answer = client.request("OPTIONS", path, None, **ask)
            assert (outcome(answer), told_to_the_page(answer)) == (NOT_ALLOWED, {})

    def test_without_origin_or_from_the_own_one_it_is_a_method_like_any_other(self, client: Rest, edge: Edge) -> None:
        for headers in ({}, {"origin": own(edge)}):
            answer = client.request(
                "OPTIONS", "/tags.list", None, **headers, **{"access-control-request-method": "POST"}
            )
            assert (answer.status, told_to_the_page(answer)) == (405, {})
