"""`x-request-id`: a caller's own is kept wherever the call ends, unless it could do harm."""

import json
import re
from typing import Any

import pytest
from tests.clients import EMPTY_FRAME, Http2, Reply, exchange, frame, grpc_headers, outcome, request_bytes
from tests.e2e.edge.running import Edge, wait_until

from conversations.v1.conversation_service_pb2 import ListConversationsRequest, ListConversationsResponse

LIST_TAGS = "/conversations.v1.TagService/ListTags"
LIST_CONVERSATIONS = "/conversations.v1.ConversationService/ListConversations"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
HEADERS = json.dumps({"filters": "headers"}).encode()

KEPT = [
    *("a", "a" * 128, "7", "order/1:2@x=y", '"},{"\\\\', "<script>", "%41%00", "${jndi:x}"),
    # A character of what looks like a UUID means something to Envoy's tracing.
    *("00000000-0000-0000-0000-000000000000", "deadbeef-dead-9eef-dead-beefdeadbeef"),
    *("0" * 36, "01J9ZJ3W5T6Y7Q8R9S0ABCDEFG", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]
REPLACED = [
    b"",
    b"a" * 129,
    b"a" * 50_000,
    b"a b",
    b"a\tb",
    b"\xff",
    b"caf\xc3\xa9",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xae",
]


def call(
    edge: Edge, request_id: bytes, path: str = "/conversations.list", body: bytes = HEADERS, **headers: str
) -> Reply:
    sent = request_bytes(path, body, **headers).replace(b"\r\n\r\n", b"\r\nx-request-id: %s\r\n\r\n" % request_id, 1)
    return exchange(edge.port, sent)


def seen_by_the_worker(cursor: str) -> Any:
    return dict(json.loads(cursor)).get("x-request-id")


def logged(edge: Edge, path: str, calls: int) -> list[dict[str, Any]]:
    """Wait until so many calls of a path are in the access log; return their lines."""

    def lines() -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in edge.settings.access_log.read_bytes().splitlines()]
        return [line for line in parsed if (line["path"] or "").startswith(path)]

    wait_until(lambda: len(lines()) >= calls)
    return lines()


@pytest.mark.parametrize("request_id", KEPT)
def test_it_is_kept_in_the_answer_and_by_the_worker(edge: Edge, request_id: str) -> None:
    reply = call(edge, request_id.encode())
    assert reply.headers["x-request-id"] == request_id
    assert seen_by_the_worker(reply.json["pagination_data"]["next_cursor"]) == request_id


def test_it_is_in_the_access_log(edge: Edge) -> None:
    """Nothing has looked at the last two when Envoy refuses their calls."""
    calls = [
        *((request_id.encode(), "/logged") for request_id in KEPT),
        *((request_id, "/logged") for request_id in REPLACED),
        *((request_id, "/logged%00") for request_id in (b"mine", b"x" * 5000, b'\xff"\xfe')),
    ]
    answered = [call(edge, request_id, path, b"{}").headers["x-request-id"] for request_id, path in calls]
    found = [line["request_id"] for line in logged(edge, "/logged", len(calls))]
    assert found == [request_id[:128] for request_id in answered]


@pytest.mark.parametrize("request_id", REPLACED)
def test_one_that_could_do_harm_is_replaced(edge: Edge, request_id: bytes) -> None:
    reply = call(edge, request_id)
    new = reply.headers["x-request-id"]
    assert re.fullmatch(UUID, new)
    assert seen_by_the_worker(reply.json["pagination_data"]["next_cursor"]) == new


def test_new_ones_differ(edge: Edge) -> None:
    given = [
        *(exchange(edge.port, request_bytes("/tags.list", b"{}")).headers["x-request-id"] for _ in range(5)),
        *(call(edge, b"a b").headers["x-request-id"] for _ in range(5)),
    ]
    assert len(set(given)) == 10


def test_two_become_one(edge: Edge) -> None:
    assert call(edge, b"a\r\nx-request-id: b").headers["x-request-id"] == "a,b"
    assert re.fullmatch(UUID, call(edge, b"a\r\nx-request-id: " + b"b" * 128).headers["x-request-id"])


@pytest.mark.parametrize(
    ("status", "path", "body", "headers"),
    [
        (204, "/conversations.read", b'{"conversation_id": "1"}', {}),
        (400, "/conversations.list", b"{", {}),
        (400, "/%00", b"{}", {}),
        (403, "/tags.list", b"{}", {"origin": "http://evil.example"}),
        (404, "/nowhere", b"{}", {}),
        (405, "/healthz", b"{}", {}),
        (413, "/tags.list", b" " * 257 * 1024, {}),
        (421, "/tags.list", b"{}", {"host": "evil.example"}),
        (429, "/conversations.info", json.dumps({"conversation_id": '{"code": 8, "reason": "WISH"}'}).encode(), {}),
        (431, "/tags.list", b"{}", {"x-large": "x" * 70_000}),
        (501, "/tags.list", b"{}", {"connection": "upgrade", "upgrade": "websocket"}),
        (503, "/conversations.info", json.dumps({"conversation_id": '{"code": 14, "reason": "WISH"}'}).encode(), {}),
        (504, "/conversations.list", b'{"filters": "sleep 1.5"}', {}),
    ],
)
def test_every_answer_has_it(edge: Edge, status: int, path: str, body: bytes, headers: dict[str, str]) -> None:
    reply = call(edge, b"mine-%d" % status, path, body, **headers)
    assert (reply.status, reply.headers["x-request-id"]) == (status, f"mine-{status}")


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web"])
def test_grpc_has_it_too(edge: Edge, content_type: str) -> None:
    message = frame(ListConversationsRequest(filters="headers").SerializeToString())
    with Http2(edge.port) as client:
        for request_id, wanted in (("mine", "mine"), ("a b", UUID)):
            header = ("x-request-id", request_id)
            reply = client.call(grpc_headers(edge.port, LIST_CONVERSATIONS, header, content_type=content_type), message)
            length = int.from_bytes(reply.body[1:5], "big")
            answer = ListConversationsResponse.FromString(reply.body[5 : 5 + length])
            assert re.fullmatch(wanted, reply.headers["x-request-id"])
            assert seen_by_the_worker(answer.pagination_data.next_cursor) == reply.headers["x-request-id"]
        refused = client.call(
            grpc_headers(
                edge.port, LIST_TAGS, ("x-request-id", "mine"), ("grpc-timeout", "abc"), content_type=content_type
            ),
            EMPTY_FRAME,
        )
    assert (outcome(refused), refused.headers["x-request-id"]) == ((200, 3, "MALFORMED_REQUEST"), "mine")
