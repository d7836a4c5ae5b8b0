"""Headers: what means nothing to JSON is ignored, what gRPC has in no such form is refused, and nobody else notices."""

import json
from typing import Any

import pytest
from tests.clients import (
    EMPTY_FRAME,
    Headers,
    Http2,
    exchange,
    frame,
    grpc_headers,
    json_headers,
    outcome,
    request_bytes,
)
from tests.e2e.edge.running import Edge, nobody_notices
from tests.rest import Rest

from conversations.v1.conversation_service_pb2 import ListConversationsRequest, ListConversationsResponse

LIST_TAGS = "/conversations.v1.TagService/ListTags"
LIST_CONVERSATIONS = "/conversations.v1.ConversationService/ListConversations"
KIB = 1024

OK = (200, 0, "")
MALFORMED = (200, 3, "MALFORMED_REQUEST")
TOO_LARGE = (200, 8, "REQUEST_TOO_LARGE")
PROTOCOL_ERROR = 1

MEANINGLESS_IN_JSON = [
    ("grpc-encoding", "br"),
    ("grpc-timeout", "abc"),
    ("grpc-accept-encoding", "gzip"),
    ("grpc-status", "abc"),
    ("grpc-message", "%zz"),
    ("grpc-previous-rpc-attempts", "x"),
    ("grpc-internal-encoding-request", "foo"),
    ("grpc-status-details-bin", "!"),
    ("grpclb_client_stats", "x"),
    ("lb-cost-bin", "x"),
    ("x-recycle-bin", "no!"),
    ("x-recycle-bin", "AAAA"),
    ("a+b", "1"),
    ("x!y", "1"),
    ("te", "trailers"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-original-path", "/"),
]
MALFORMED_IN_GRPC: list[tuple[str, str | bytes]] = [
    ("grpc-timeout", "abc"),
    ("grpc-timeout", ""),
    ("grpc-timeout", "1"),
    ("grpc-timeout", "S"),
    ("grpc-timeout", "1s"),
    ("grpc-timeout", "-1S"),
    ("grpc-timeout", "1.5S"),
    ("grpc-timeout", "123456789S"),
    ("grpc-timeout", "1S,2S"),
    ("grpc-encoding", "br"),
    ("grpc-encoding", "identity, br"),
    ("x-recycle-bin", "no!"),
    ("x-recycle-bin", "A"),
    ("x-recycle-bin", "AA="),
    ("x-recycle-bin", "AA==AA=="),
    ("x-recycle-bin", "AA,BB"),
    ("x-recycle-bin", "--__"),
    ("x-recycle-bin", "AB"),
    ("x-recycle-bin", "AAB="),
    ("grpc-trace-bin", "no!"),
]
IGNORED_IN_GRPC: list[tuple[str, str | bytes]] = [
    ("a+b", "1"),
    ("x!y", "1"),
    ("grpc-status", "abc"),
    ("grpc-previous-rpc-attempts", "x"),
    ("grpc-retry-pushback-ms", "x"),
    ("grpc-internal-encoding-request", "foo"),
    ("grpc-status-details-bin", "!"),
    ("lb-cost-bin", "x"),
    ("endpoint-load-metrics-bin", "!"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
]
FINE_IN_GRPC: list[tuple[str, str | bytes]] = [
    ("grpc-timeout", "10S"),
    ("grpc-timeout", "99999999n"),
    ("grpc-encoding", "gzip"),
    ("grpc-accept-encoding", "identity, foo"),
    ("x-recycle-bin", ""),
    ("x-recycle-bin", "AA"),
    ("x-recycle-bin", "AA=="),
    ("x-recycle-bin", "ab+/AQ=="),
    ("x-plain", b"caf\xe9"),
    ("user-agent", b"\xff"),
    ("traceparent", "x"),
]
MALFORMED_IN_HTTP2 = [
    ("te", "gzip"),
    ("X-Upper", "1"),
    ("", "1"),
    ("x-control", "\x01"),
    ("cookie", "a\0b"),
    ("connection", "grpc-timeout"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "websocket"),
    (":protocol", "websocket"),
    (":unknown", "1"),
    ("content-length", "3"),
]


def h2(edge: Edge, headers: Headers, body: bytes | None) -> Any:
    with Http2(edge.port) as client:
        return client.call(headers, body)


def seen_by_the_worker(body: str) -> dict[str, str]:
    """Return the headers that came to the worker, from the cursor in which it sends them back."""
    return dict(json.loads(body))


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web", "application/grpc-web+proto"])
def test_one_malformed_call_fails_nobody_elses(edge: Edge, content_type: str) -> None:
    sent = {"content-type": content_type, "grpc-timeout": "abc"}
    with nobody_notices(edge):
        for _ in range(5):
            assert outcome(exchange(edge.port, request_bytes(LIST_TAGS, EMPTY_FRAME, **sent))) == MALFORMED


class TestJson:
    @pytest.mark.parametrize(("name", "value"), MEANINGLESS_IN_JSON)
    def test_what_is_meant_for_grpc_is_ignored(self, edge: Edge, name: str, value: str) -> None:
        body = b'{"filters": "headers"}'
        replies = [
            exchange(edge.port, request_bytes("/conversations.list", body, **{name: value})),
            h2(edge, json_headers(edge.port, "/conversations.list", (name, value)), body),
        ]
        for reply in replies:
            assert outcome(reply) == OK
            seen = seen_by_the_worker(reply.json["pagination_data"]["next_cursor"])
            # The transcoder keeps the path for itself.
            assert name == "x-envoy-original-path" or name not in seen

    def test_nobody_notices_any_of_them(self, edge: Edge) -> None:
        with nobody_notices(edge):
            for name, value in MEANINGLESS_IN_JSON:
                exchange(edge.port, request_bytes("/tags.list", b"{}", **{name: value}))

    def test_other_headers_reach_the_worker(self, client: Rest) -> None:
        sent = {"authorization": "Bearer x", "x-custom": "1", "traceparent": "00-1"}
        answer = client.post("/conversations.list", {"filters": "headers"}, **sent)
        assert sent.items() <= seen_by_the_worker(answer.json["pagination_data"]["next_cursor"]).items()

    @pytest.mark.parametrize(
        "line",
        [
            b"te: gzip",
            b"connection: grpc-timeout, te, x-foo",
            b"content-type: application/json\r\ncontent-type: application/grpc",
            b"expect: 100-continue",
            b"x-text: caf\xe9",
            b"x_under: 1",
        ],
    )
    def test_oddities_of_http1_are_ignored(self, edge: Edge, line: bytes) -> None:
        call = b"POST /tags.list HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n%s\r\n\r\n{}" % line
        assert outcome(exchange(edge.port, call)) == OK

    @pytest.mark.parametrize("line", [b"x-control: a\x01b", b": no name", b"no colon", b"na me: 1", b"nul: \0"])
    def test_what_is_no_header_is_refused(self, edge: Edge, line: bytes) -> None:
        call = b"POST /tags.list HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n%s\r\n\r\n{}" % line
        reply = exchange(edge.port, call)
        assert outcome(reply) == (400, 3, "MALFORMED_REQUEST")
        assert reply.json["message"] == "the request is malformed: its first line, a header, or where its body ends"


class TestGrpc:
    def test_what_only_looks_like_grpc_is_refused_in_words_of_ours(self, edge: Edge) -> None:
        headers = [*grpc_headers(edge.port, "/healthz/"), ("content-type", "*/*"), ("grpc-encoding", "::1")]
        reply = h2(edge, headers, EMPTY_FRAME)
        assert outcome(reply) == (400, 3, "MALFORMED_REQUEST")
        assert reply.json["message"] == "grpc-encoding is unknown"

    @pytest.mark.parametrize(("name", "value"), MALFORMED_IN_GRPC)
    def test_what_grpc_has_in_no_such_form_is_refused(self, edge: Edge, name: str, value: str | bytes) -> None:
        assert outcome(h2(edge, grpc_headers(edge.port, LIST_TAGS, (name, value)), EMPTY_FRAME)) == MALFORMED

    @pytest.mark.parametrize(("name", "value"), IGNORED_IN_GRPC)
    def test_what_is_not_a_callers_to_say_is_ignored(self, edge: Edge, name: str, value: str) -> None:
        message = ListConversationsRequest(filters="headers").SerializeToString()
        reply = h2(edge, grpc_headers(edge.port, LIST_CONVERSATIONS, (name, value)), frame(message))
        assert outcome(reply) == OK
        answer = ListConversationsResponse.FromString(reply.body[5:])
        assert name not in seen_by_the_worker(answer.pagination_data.next_cursor)

    @pytest.mark.parametrize(("name", "value"), FINE_IN_GRPC)
    def test_the_rest_passes(self, edge: Edge, name: str, value: str | bytes) -> None:
        assert outcome(h2(edge, grpc_headers(edge.port, LIST_TAGS, (name, value)), EMPTY_FRAME)) == OK

    def test_nobody_notices_any_of_them(self, edge: Edge) -> None:
        with nobody_notices(edge), Http2(edge.port) as client:
            for header in (*MALFORMED_IN_GRPC, *IGNORED_IN_GRPC, *FINE_IN_GRPC):
                client.call(grpc_headers(edge.port, LIST_TAGS, header), EMPTY_FRAME)

    def test_every_type_of_grpc_has_the_same_rules(self, edge: Edge) -> None:
        headers = grpc_headers(edge.port, LIST_TAGS, ("grpc-timeout", "abc"), content_type="application/grpc+json")
        assert outcome(h2(edge, headers, EMPTY_FRAME)) == MALFORMED

    @pytest.mark.parametrize(
        "content_type",
        ["application/grpcfoo", "application/grpc, a/b", "application/grpc-web, a/b", "application/grpc;x=y"],
    )
    @pytest.mark.parametrize("path", [LIST_TAGS, "/tags.list"])
    def test_type_that_only_looks_like_grpc_is_refused(self, edge: Edge, path: str, content_type: str) -> None:
        headers = grpc_headers(edge.port, path, content_type=content_type)
        assert outcome(h2(edge, headers, EMPTY_FRAME)) == (415, 3, "MALFORMED_REQUEST")

    def test_paths_of_rest_are_not_for_grpc(self, edge: Edge) -> None:
        with nobody_notices(edge):
            for path in ("/tags.list", "/healthz"):
                assert outcome(h2(edge, grpc_headers(edge.port, path), EMPTY_FRAME)) == (200, 12, "UNKNOWN_METHOD")

    def test_te_may_be_missing(self, edge: Edge) -> None:
        headers = [header for header in grpc_headers(edge.port, LIST_TAGS) if header[0] != "te"]
        assert outcome(h2(edge, headers, EMPTY_FRAME)) == OK

    @pytest.mark.parametrize("path", [LIST_TAGS, "/tags.list"])
    def test_trailers_of_a_request_are_ignored(self, edge: Edge, path: str) -> None:
        grpc = path == LIST_TAGS
        headers = grpc_headers(edge.port, path) if grpc else json_headers(edge.port, path)
        with nobody_notices(edge), Http2(edge.port) as client:
            for _ in range(3):
                stream = client.request(headers, EMPTY_FRAME if grpc else b"{}", end=False)
                client.trailers(stream, [("x-recycle-bin", "no!"), ("a+b", "1"), ("grpc-timeout", "abc")])
                assert outcome(client.reply(stream)) == OK


class TestHttp2:
    @pytest.mark.parametrize(("name", "value"), MALFORMED_IN_HTTP2)
    def test_malformed_request_ends_its_own_stream_only(self, edge: Edge, name: str, value: str) -> None:
        """Others may share the connection: those behind one proxy do."""
        message = frame(ListConversationsRequest(filters="sleep 0.1").SerializeToString())
        with Http2(edge.port) as client:
            running = client.request(grpc_headers(edge.port, LIST_CONVERSATIONS), message)
            malformed = client.call(grpc_headers(edge.port, LIST_TAGS, (name, value)), EMPTY_FRAME)
            assert (malformed.status, malformed.reset) == (0, PROTOCOL_ERROR)
            assert outcome(client.reply(running)) == OK
            assert outcome(client.call(grpc_headers(edge.port, LIST_TAGS), EMPTY_FRAME)) == OK

    @pytest.mark.parametrize("missing", [":method", ":path", ":scheme", ":authority"])
    def test_request_without_a_part_is_refused(self, edge: Edge, missing: str) -> None:
        headers = [header for header in grpc_headers(edge.port, LIST_TAGS) if header[0] != missing]
        assert h2(edge, headers, EMPTY_FRAME).reset == PROTOCOL_ERROR

    @pytest.mark.parametrize("scheme", ["https", "ftp"])
    def test_scheme_is_not_believed(self, edge: Edge, scheme: str) -> None:
        headers = [(name, scheme if name == ":scheme" else value) for name, value in grpc_headers(edge.port, LIST_TAGS)]
        assert outcome(h2(edge, headers, EMPTY_FRAME)) == OK


class TestSize:
    """60 KiB and 100 headers pass, whoever sends them and however; what is above is refused."""

    @pytest.mark.parametrize("size", [1, 8 * KIB, 15 * KIB, 17 * KIB, 59 * KIB + 512])
    def test_up_to_the_bound_headers_always_pass(self, edge: Edge, client: Rest, size: int) -> None:
        for _ in range(5):
            assert client.post("/tags.list", {}, authorization="x" * size).status == 200
        call = request_bytes(LIST_TAGS, EMPTY_FRAME, **{"content-type": "application/grpc-web", "x-a": "x" * size})
        assert outcome(exchange(edge.port, call)) == OK
        with Http2(edge.port) as h2_client:
            for headers, body in self._calls(edge, ("authorization", "x" * size)):
                assert outcome(h2_client.call(headers, body)) == OK

    @pytest.mark.parametrize("size", [61 * KIB, 70 * KIB, 110 * KIB])
    def test_above_the_bound_headers_never_pass(self, edge: Edge, size: int) -> None:
        with nobody_notices(edge):
            self._assert_too_large(edge, {"authorization": "x" * size})

    def test_many_headers_make_up_the_same_size(self, edge: Edge) -> None:
        self._assert_too_large(edge, {f"x-{number}": "x" * KIB for number in range(61)})

    def test_a_hundred_headers_pass(self, edge: Edge) -> None:
        headers = {f"x-{number}": "1" for number in range(90)}
        assert outcome(exchange(edge.port, request_bytes("/tags.list", b"{}", **headers))) == OK
        with Http2(edge.port) as client:
            for call, body in self._calls(edge, *headers.items()):
                assert outcome(client.call(call, body)) == OK

    @pytest.mark.parametrize("count", [120, 200, 900])
    def test_more_headers_never_pass(self, edge: Edge, count: int) -> None:
        self._assert_too_large(edge, {f"x-{number}": "1" for number in range(count)})

    def test_http1_has_no_end_of_it(self, edge: Edge) -> None:
        """Where HTTP/2 is cut, HTTP/1 is answered still."""
        for headers in ({"x-a": "x" * 1000 * KIB}, {f"x-{number}": "1" for number in range(5000)}):
            reply = exchange(edge.port, request_bytes("/tags.list", b"{}", **headers))
            assert outcome(reply) == (431, 8, "REQUEST_TOO_LARGE")

    def _assert_too_large(self, edge: Edge, headers: dict[str, str]) -> None:
        reply = exchange(edge.port, request_bytes("/tags.list", b"{}", **headers))
        assert outcome(reply) == (431, 8, "REQUEST_TOO_LARGE")
        assert reply.json["message"] == "the headers are too large"
        web = request_bytes(LIST_TAGS, EMPTY_FRAME, **{"content-type": "application/grpc-web", **headers})
        assert outcome(exchange(edge.port, web)) == TOO_LARGE
        (json_call, json_body), (grpc_call, grpc_body) = self._calls(edge, *headers.items())
        with Http2(edge.port) as client:
            assert outcome(client.call(json_call, json_body)) == (431, 8, "REQUEST_TOO_LARGE")
            refused = client.call(grpc_call, grpc_body)
            assert outcome(refused) == TOO_LARGE
            assert refused.headers["grpc-message"] == "the headers are too large"

    def _calls(self, edge: Edge, *headers: tuple[str, str]) -> list[tuple[Headers, bytes]]:
        return [
            (json_headers(edge.port, "/tags.list", *headers), b"{}"),
            (grpc_headers(edge.port, LIST_TAGS, *headers), EMPTY_FRAME),
        ]


class TestCaller:
    """Workers tell callers apart by their connections."""

    def test_worker_learns_the_connection(self, edge: Edge) -> None:
        body = b'{"filters": "headers"}'
        with Http2(edge.port) as client:
            host, port = client.socket.getsockname()
            spoofed = ("x-conversations-caller", "someone else")
            in_json = client.call(json_headers(edge.port, "/conversations.list", spoofed), body)
            message = frame(ListConversationsRequest(filters="headers").SerializeToString())
            in_grpc = client.call(grpc_headers(edge.port, LIST_CONVERSATIONS, spoofed), message)
        seen = [
            in_json.json["pagination_data"]["next_cursor"],
            ListConversationsResponse.FromString(in_grpc.body[5:]).pagination_data.next_cursor,
        ]
        assert [seen_by_the_worker(cursor)["x-conversations-caller"] for cursor in seen] == [f"{host}:{port}"] * 2
