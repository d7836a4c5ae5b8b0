"""Large answers in JSON are compressed for who asks for it; nothing else is."""

import json
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import brotli
import pytest
from tests.clients import Http2, exchange, frame, grpc_headers, outcome, request_bytes, web_messages
from tests.e2e.edge.running import ORIGIN, Edge, running_edge
from tests.rest import Answer, Rest

from conversations.v1.conversation_service_pb2 import ListConversationsRequest, ListConversationsResponse

LIST_CONVERSATIONS = "/conversations.v1.ConversationService/ListConversations"
LARGE = 20_000
BROWSER = "gzip, deflate, br, zstd"
ASKED: Any = {"accept-encoding": BROWSER}


def answer(client: Rest, size: int = LARGE, **headers: Any) -> Answer:
    """Ask for an answer of about so many bytes."""
    return client.post("/conversations.list", {"filters": f"answer {size}"}, **headers)


def decoded(reply: Any) -> Any:
    """Return the JSON of an answer, however it is encoded."""
    match reply.headers.get("content-encoding"):
        case "br":
            body = brotli.decompress(reply.body)
        case "gzip":
            body = zlib.decompress(reply.body, zlib.MAX_WBITS | 16)
        case _:
            body = reply.body
    return json.loads(body)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (BROWSER, "br"),
        ("br", "br"),
        ("gzip, deflate", "gzip"),
        ("gzip", "gzip"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip;q=0.5, br;q=1.0", "br"),
        ("br;q=0, gzip", "gzip"),
        ("gzip;q=0, *", "br"),
        ("*", "br"),
        ("gzip;q=0", None),
        ("identity", None),
        ("deflate, zstd", None),
        ("identity, *;q=0", None),
        ("", None),
        (";;,=q", None),
        ("x" * 1000, None),
    ],
)
def test_a_codec_that_the_client_takes_is_used(client: Rest, accepted: str, encoding: str | None) -> None:
    reply = answer(client, LARGE, **{"accept-encoding": accepted})
    assert (reply.status, reply.headers.get("content-encoding")) == (200, encoding)
    assert decoded(reply)["pagination_data"]["next_cursor"] == "x" * LARGE
    assert reply.headers["vary"] == "Accept-Encoding"
    if encoding is not None:
        assert len(reply.body) < LARGE / 4


def test_who_does_not_ask_gets_what_it_got(edge: Edge) -> None:
    body = json.dumps({"filters": f"answer {LARGE}"}).encode()
    reply = exchange(edge.port, request_bytes("/conversations.list", body))
    assert set(reply.headers) & {"content-encoding", "vary", "transfer-encoding"} == set()
    assert int(reply.headers["content-length"]) == len(reply.body) > LARGE


@pytest.mark.parametrize("encoding", ["br", "gzip"])
@pytest.mark.parametrize("size", [4096, 65_536, 1_000_000, 5_000_000])
def test_every_size_comes_whole(edge: Edge, size: int, encoding: str) -> None:
    with Rest(edge.url) as client, Http2(edge.port) as h2_client:
        body = json.dumps({"filters": f"answer {size}"}).encode()
        headers = grpc_headers(
            edge.port, "/conversations.list", ("accept-encoding", encoding), content_type="application/json"
        )
        for reply in (answer(client, size, **{"accept-encoding": encoding}), h2_client.call(headers, body)):
            assert reply.headers["content-encoding"] == encoding
            assert len(decoded(reply)["pagination_data"]["next_cursor"]) == size


def test_small_answers_are_left_alone(client: Rest) -> None:
    bare = len(answer(client, 0, **ASKED).body)
    for size, encoding in ((4095, None), (4096, "br")):
        reply = answer(client, size - bare, **ASKED)
        assert reply.headers.get("content-encoding") == encoding
        assert decoded(reply)["pagination_data"]["next_cursor"] == "x" * (size - bare)


def test_other_statuses_are_as_they_were(client: Rest) -> None:
    """The connection stays usable behind each."""
    large = {"code": 5, "reason": "WISH", "message": "y" * 3000}
    for _ in range(2):
        for reply, status in (
            (client.post("/conversations.read", {"conversation_id": "1"}, **ASKED), 204),
            (client.post("/tags.create", {"name": "a"}, **ASKED), 201),
            (client.request("GET", "/healthz", **ASKED), 200),
            (client.request("HEAD", "/conversations.list", **ASKED), 405),
            (client.request("HEAD", "/healthz", **ASKED), 405),
            (client.post("/nowhere", {}, **ASKED), 404),
            (client.post("/conversations.info", {"conversation_id": json.dumps(large)}, **ASKED), 404),
        ):
            assert (reply.status, reply.headers.get("content-encoding")) == (status, None)


def test_large_errors_are_compressed_too(client: Rest) -> None:
    failure = {"code": 5, "reason": "WISH", "message": "y" * 6000}
    reply = client.post("/conversations.info", {"conversation_id": json.dumps(failure)}, **ASKED)
    assert (reply.status, reply.headers["content-encoding"]) == (404, "br")
    assert decoded(reply)["message"] == "y" * 6000


def test_a_created_tag_of_many_bytes_keeps_its_status(client: Rest) -> None:
    reply = client.post("/tags.create", {"name": "z" * 9000}, **{"accept-encoding": "gzip"})
    assert (reply.status, reply.headers["content-encoding"], decoded(reply)["name"]) == (201, "gzip", "z" * 9000)


def test_a_page_is_told_both_reasons_to_vary(client: Rest) -> None:
    reply = answer(client, origin=ORIGIN, **ASKED)
    assert (reply.headers["content-encoding"], reply.headers["vary"]) == ("br", "Accept-Encoding, origin")


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web"])
def test_grpc_is_never_compressed(edge: Edge, content_type: str) -> None:
    """It has compression of its own, by grpc-encoding."""
    message = frame(ListConversationsRequest(filters=f"answer {LARGE}").SerializeToString())
    with Http2(edge.port) as client:
        accepted = ("accept-encoding", BROWSER)
        reply = client.call(grpc_headers(edge.port, LIST_CONVERSATIONS, accepted, content_type=content_type), message)
    assert outcome(reply) == (200, 0, "")
    assert set(reply.headers) & {"content-encoding", "vary"} == set()
    data = web_messages(reply.body)[0]
    assert len(ListConversationsResponse.FromString(data).pagination_data.next_cursor) == LARGE


@pytest.mark.parametrize("accepted", ["br", "gzip"])
def test_answers_that_nobody_reads_leave_memory_for_others(tmp_path: Path, accepted: str) -> None:
    """What a codec keeps for a call stays until its answer is read: together more than Envoy may take."""
    body = json.dumps({"filters": f"answer {LARGE}"}).encode()
    with ExitStack() as cleanup, running_edge(tmp_path, max_heap_bytes=200 * 1024 * 1024) as edge:
        for _ in range(14):
            client = cleanup.enter_context(Http2(edge.port, timeout=0.2, window=10))
            for _ in range(100):
                call = grpc_headers(
                    edge.port, "/conversations.list", ("accept-encoding", accepted), content_type="application/json"
                )
                client.request(call, body)
            with suppress(TimeoutError):
                while client.pump():
                    pass
            with Rest(edge.url) as other:
                assert other.post("/conversations.list", {}).status == 200
