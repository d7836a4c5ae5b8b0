"""Pages of other origins and names of other hosts: refused before anything happens."""

from collections.abc import Mapping

import pytest
from tests.clients import EMPTY_FRAME, Http2, exchange, grpc_headers, outcome, request_bytes
from tests.e2e.edge.running import ORIGIN, Edge
from tests.rest import Rest

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


class TestCors:
    ASK: Mapping[str, str] = {"origin": ORIGIN, "access-control-request-method": "POST"}

    def test_page_of_an_allowed_origin_may_call(self, client: Rest) -> None:
        preflight = client.request("OPTIONS", "/conversations.list", None, **self.ASK)
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "content-type" in preflight.headers["access-control-allow-headers"]
        assert client.post("/conversations.list", {}, origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN

    def test_it_may_read_errors(self, edge: Edge, client: Rest) -> None:
        answers = {
            400: client.post("/conversations.list", b"{", origin=ORIGIN),
            404: client.post("/nowhere", {}, origin=ORIGIN),
            405: client.request("PUT", "/conversations.list", None, origin=ORIGIN),
            413: client.post("/conversations.list", b"x" * (edge.settings.max_request_bytes + 1), origin=ORIGIN),
            429: client.post("/conversations.info", {"conversation_id": '{"code": 8, "reason": "X"}'}, origin=ORIGIN),
            431: client.post("/conversations.list", {}, origin=ORIGIN, large="x" * 70_000),
            504: client.post("/conversations.list", {"filters": "sleep 1.5"}, origin=ORIGIN),
        }
        assert {status: answer.status for status, answer in answers.items()} == {status: status for status in answers}
        assert {answer.headers.get("access-control-allow-origin") for answer in answers.values()} == {ORIGIN}

    def test_nobody_asks_a_worker_about_methods(self, client: Rest, edge: Edge) -> None:
        """What the cors filter does not answer is a wrong method like any other."""
        for headers in ({"access-control-request-method": "POST"}, {**self.ASK, "origin": own(edge)}):
            assert client.request("OPTIONS", "/tags.list", None, **headers).status == 405
