"""JSON over HTTP: what the transcoder and the script behind it make of a worker's answer."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clients import exchange, outcome
from tests.e2e.edge.running import Edge
from tests.rest import Answer, Rest

from conversations.edge import rest_routes

INGEST_BYTES = 3 * 1024 * 1024
"""More than the worker's gRPC library takes, less than Envoy lets through."""


def error_of(answer: Answer) -> tuple[int, int, str]:
    """Return HTTP status, gRPC code and reason of an error in the service's shape."""
    error = answer.json
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    info = error["details"][0]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": info["reason"],
        "domain": "conversations.v1",
        "metadata": {},
    }
    return answer.status, error["code"], info["reason"]


def failure(client: Rest, **failure: Any) -> Answer:
    """Return the answer to a call that fails so in the worker."""
    return client.post("/conversations.info", {"conversation_id": json.dumps(failure)})


class TestSuccess:
    def test_answer_is_the_documented_json(self, client: Rest) -> None:
        answer = client.post("/conversations.list", {"page_size": 7, "filters": None})
        assert (answer.status, answer.json["data"], answer.json["pagination_data"]["total"]) == (200, [], 7)

    @pytest.mark.parametrize("body", [None, b"", {}])
    def test_body_may_be_absent(self, client: Rest, body: Any) -> None:
        assert client.post("/conversations.list", body).status == 200

    @pytest.mark.parametrize("path", ["/conversations.read", "/conversations.markRead", "/conversations.mark-read"])
    def test_nothing_is_204_and_the_connection_stays_usable(self, client: Rest, path: str) -> None:
        for _ in range(3):
            answer = client.post(path, {"conversation_id": "1"})
            assert (answer.status, answer.body) == (204, b"")
            assert not {"content-type", "content-length", "grpc-status"} & set(answer.headers)
            assert client.post("/conversations.list", {"page_size": 3}).json["pagination_data"]["total"] == 3

    def test_creation_is_201(self, client: Rest) -> None:
        answer = client.post("/tags.create", {"name": "Urgent"})
        assert (answer.status, answer.json) == (201, {"id": "1", "name": "Urgent", "color": ""})

    def test_no_grpc_header_is_left(self, client: Rest) -> None:
        answers = [
            client.post("/conversations.list", {}),
            client.post("/conversations.read", {"conversation_id": "1"}),
            failure(client, code=5, reason="WISH"),
            failure(client, code=8),
        ]
        left = [name for answer in answers for name in answer.headers if name.startswith(("grpc-", "x-envoy-"))]
        assert left == []

    @pytest.mark.parametrize("query", ["page_size=7&nonsense=1", "", "?", "filters=sleep%2010"])
    def test_query_is_not_bound_to_fields(self, client: Rest, query: str) -> None:
        answer = client.post(f"/conversations.list?{query}")
        assert (answer.status, answer.json["pagination_data"]["total"]) == (200, 0)

    def test_server_learns_the_deadline(self, client: Rest) -> None:
        sent = {"grpc-timeout": "1000S"}
        assert client.post("/conversations.list", {}, **sent).json["pagination_data"]["filtered_total"] == 0

    def test_answer_of_several_megabytes_passes(self, client: Rest) -> None:
        answer = client.post("/conversations.list", {"filters": f"answer {5_000_000}"})
        assert (answer.status, len(answer.json["pagination_data"]["next_cursor"])) == (200, 5_000_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def unknown_field(client: Rest, body: Any) -> str | None:
    """Return what a worker is told of a body with `"filters": "headers"`."""
    headers = json.loads(client.post("/conversations.list", body).json["pagination_data"]["next_cursor"])
    found = dict(headers).get("x-conversations-unknown-field")
    return None if found is None else str(json.loads(f'"{unquote(found)}"'))


class TestUnknownFields:
    """The transcoder drops them; a worker is told of the first."""

    @given(
        known=st.dictionaries(st.sampled_from(["cursor", "page_size"]), st.none()),
        unknown=st.dictionaries(
            st.text(min_size=1, max_size=8).filter(
                lambda name: name not in ("filters", "cursor", "page_size", "pageSize")
            ),
            JSON,
        ),
        order=st.randoms(use_true_random=False),
        as_written=st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}, {"separators": (",", ":")}]),
    )
    @settings(deadline=None, max_examples=200)
    def test_the_first_one_is_named_whatever_stands_around(
        self, edge: Edge, known: dict[str, Any], unknown: dict[str, Any], order: Any, as_written: dict[str, Any]
    ) -> None:
        items = [("filters", "headers"), *known.items(), *unknown.items()]
        order.shuffle(items)
        body = json.dumps(dict(items), **as_written).encode()
        with Rest(edge.url) as client:
            assert unknown_field(client, body) == next((name for name, _ in items if name in unknown), None)

    @pytest.mark.parametrize(
        ("text", "unknown"),
        [
            ('{"filters": "headers"}', None),
            ('{"filters": "headers", "pageSize": 1}', None),
            ('{"\\u0066ilters": "headers"}', None),
            ("{'filters': 'headers', 'a': 1}", "a"),
            ('{filters: "headers", a: 1,}', "a"),
            ('{filters: "headers", cursor: null,}', None),
            ('{"filters": "headers", "page-size": 1}', "page-size"),
            ('{"a": ",\\"}]", "filters": "headers"}', "a"),
            ('{"cursor": "}]\\\\", "filters": "headers", "b": {}}', "b"),
            ('{"filters": "headers", "' + "x" * 200 + '": 1}', "x" * 100),
        ],
    )
    def test_as_the_transcoder_reads_it(self, client: Rest, text: str, unknown: str | None) -> None:
        assert unknown_field(client, text.encode()) == unknown

    def test_a_field_behind_much_data_is_found(self, client: Rest) -> None:
        body: dict[str, Any] = {"filters": "headers", "cursor": None, "a": [[]] * 60_000, "b": 1}
        assert unknown_field(client, body) == "a"

    def test_events_are_not_for_the_transcoder(self, client: Rest) -> None:
        assert client.post("/events.ingest", {"any": 1}).status == 200


FAR_INTEGERS = st.integers(min_value=2**53) | st.integers(max_value=-(2**53))
FREE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer() or number == 0)
    | st.text()
    | FAR_INTEGERS.map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class TestLargeIntegers:
    """The transcoder rounds them; a worker is told of the first in free data."""

    def rounded(self, client: Rest, body: bytes | dict[str, Any]) -> str | None:
        answer = client.post("/metadata.upsert", body)
        return None if answer.status == 204 else unquote(answer.json["message"])

    @given(data=st.dictionaries(st.text(), FREE, max_size=3), far=st.none() | FAR_INTEGERS)
    @settings(deadline=None, max_examples=200)
    def test_the_first_one_is_told(self, edge: Edge, data: dict[str, Any], far: int | None) -> None:
        body = {"id": "9" * 20, "data": data if far is None else {**data, "\uffff": [far, 2**60]}, "subject": "x"}
        with Rest(edge.url) as client:
            assert self.rounded(client, body) == (None if far is None else f"data {far}")

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ('{"data": {"n": 9007199254740991, "s": "9007199254740993"}, "id": "9007199254740993"}', None),
            ('{"data": {"n": 9007199254740992}}', "data 9007199254740992"),
            ('{"data": {"n": 9007199254740993.0}}', "data 9007199254740993.0"),
            ('{"data": {"n": 0.9007199254740993, "m": 1e300, "l": 1.12345678901234567890}}', None),
            ('{"data": {"9007199254740993": 1, a9007199254740993: 2, \'9007199254740994\': 3}}', None),
            ("{'data': {'it\\'s 9007199254740993': -12345678901234567890}}", "data -12345678901234567890"),
            ('{"d\\u0061ta": {"n": [[12345678901234567]]}}', "d\\u0061ta 12345678901234567"),
        ],
    )
    def test_as_the_transcoder_reads_it(self, client: Rest, text: str, number: str | None) -> None:
        assert self.rounded(client, text.encode()) == number


class TestErrors:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"null",
            b"[]",
            b'"x"',
            b"{}{}",
            b'{"page_size": "many"}',
            b'{"page_size": 1.5}',
            b"\xff\xfe",
            b"[" * 200,
        ],
    )
    def test_malformed_json_is_400(self, client: Rest, body: bytes) -> None:
        assert error_of(client.post("/conversations.list", body)) == (400, 3, "MALFORMED_REQUEST")

    def test_an_object_or_a_list_for_one_value_is_told_so(self, client: Rest) -> None:
        error = client.post("/conversations.list", {"page_size": {"a": 1}}).json
        assert error["message"] == "page_size: invalid value of type object"
        assert error["details"][1]["field_violations"][0]["field"] == "page_size"
        bodies: list[dict[str, Any]] = [{"page_size": [1]}, {"filters": []}]
        for body in bodies:
            assert client.post("/conversations.list", body).json["message"] == "a list where a single value is expected"
        assert client.post("/conversations.list", b"[]").json["message"] == "Root element must be a message."

    def test_field_of_a_wrong_type_is_named(self, client: Rest) -> None:
        error = client.post("/conversations.list", {"page_size": "many"}).json
        assert error["message"] == 'page_size: invalid value "many" for type TYPE_INT32'
        assert error["details"][1]["field_violations"][0]["field"] == "page_size"

    def test_type_of_free_data_has_a_name_of_json(self, client: Rest) -> None:
        error = client.post("/metadata.upsert", {"data": "text"}).json
        assert error["message"] == 'data: invalid value "text" for type object'
        assert error["details"][1]["field_violations"][0]["description"] == 'invalid value "text" for type object'

    @pytest.mark.parametrize("path", ["/", "/conversations", "/conversations.list/", "/Tags.list", "/a/../x"])
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_unknown_path_is_404(self, client: Rest, method: str, path: str) -> None:
        assert error_of(client.request(method, path)) == (404, 12, "UNKNOWN_METHOD")

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_wrong_method_is_405_on_every_path(self, client: Rest, method: str) -> None:
        for route in rest_routes():
            if method != route.verb:
                answer = client.request(method, route.path)
                assert error_of(answer) == (405, 12, "UNKNOWN_METHOD")
                assert answer.headers["allow"] == route.verb

    def test_call_past_its_deadline_is_504(self, client: Rest) -> None:
        assert error_of(client.post("/conversations.list", {"filters": "sleep 1.5"})) == (504, 4, "OUT_OF_TIME")

    @pytest.mark.parametrize(
        ("code", "status"),
        [(3, 400), (4, 504), (5, 404), (7, 403), (8, 429), (12, 501), (13, 500), (14, 503), (15, 500)],
    )
    def test_error_of_the_server_keeps_its_details(self, client: Rest, code: int, status: int) -> None:
        answer = failure(client, code=code, reason="WISH")
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "WISH",
            "domain": "test",
            "metadata": {},
        }
        assert answer.status == status
        assert answer.json == {"code": code, "message": "as you wish", "details": [info]}

    @pytest.mark.parametrize(
        ("failed", "status", "reason", "retry_after"),
        [
            ({"code": 8}, 413, "REQUEST_TOO_LARGE", None),
            ({"code": 8, "reason": "REQUEST_TOO_LARGE"}, 413, "REQUEST_TOO_LARGE", None),
            ({"code": 8, "reason": "RATE_LIMITED", "retry": 3}, 429, "RATE_LIMITED", "3"),
            ({"code": 8, "reason": "QUOTA"}, 429, "QUOTA", None),
            ({"code": 8, "reason": "QUOTA", "message": '"reason":"REQUEST_TOO_LARGE"'}, 429, "QUOTA", None),
            ({"code": 14, "reason": "OVERLOADED", "retry": 1}, 503, "OVERLOADED", "1"),
            ({"code": 14, "reason": "STORE_UNAVAILABLE"}, 503, "STORE_UNAVAILABLE", None),
            ({"code": 14}, 503, "NO_SERVER", "1"),
            ({"code": 4}, 504, "OUT_OF_TIME", None),
        ],
    )
    def test_size_is_told_from_rate_and_a_delay_becomes_a_header(
        self, client: Rest, failed: Mapping[str, Any], status: int, reason: str, retry_after: str | None
    ) -> None:
        answer = failure(client, **failed)
        assert (answer.status, answer.json["details"][0]["reason"]) == (status, reason)
        assert answer.headers.get("retry-after") == retry_after

    def test_message_above_the_servers_limit_is_413(self, client: Rest) -> None:
        body = {"events": [{"tag": {"name": "x" * INGEST_BYTES}}]}
        assert error_of(client.post("/events.ingest", body)) == (413, 8, "REQUEST_TOO_LARGE")

    @pytest.mark.parametrize(
        ("raw", "status", "why"),
        [
            (b"NONSENSE\r\n\r\n", 400, "where its body ends"),
            (b"GET / HTTP/1.1\r\n\r\n", 400, "it has no host"),
            (b"GET /%00 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "its path"),
            (b"GET https://localhost/ HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "there is no TLS"),
            (b"POST /tags.list HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n", 400, "where its body ends"),
            (b"POST /tags.list HTTP/1.0\r\n\r\n", 426, "HTTP/1.1 or HTTP/2 is required"),
            (
                b"POST /tags.list HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
                501,
                "the transfer encoding is unknown",
            ),
        ],
    )
    def test_what_is_hardly_http_is_told_so(self, edge: Edge, raw: bytes, status: int, why: str) -> None:
        reply = exchange(edge.port, raw)
        assert outcome(reply) == (status, 3, "MALFORMED_REQUEST")
        assert reply.json["message"].endswith(why)
