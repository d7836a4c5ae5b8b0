"""The JSON API through the real Envoy, as the contract has it: every path, every error, every rule for events.

A golden file holds events that are ingested first, then steps: requests with the exact status and JSON of the answer.
In it, `<name>` stands for a text that only the server knows, the same one wherever the name comes again; `+N` stands
for a count that is N above what it was before the events; the group `-0000-` of an id is another one in each run.
"""

import json
import random
import re
import socket
import time
from collections.abc import Callable
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
import redis
from grpc_status import rpc_status
from tests.conftest import Stack
from tests.e2e.cases import (
    DOMAIN,
    ERROR_INFO,
    METHODS,
    REFUSED,
    UNKNOWN,
    Ids,
    Refused,
    at,
    id_cases,
    message,
    metadata,
    nested,
)
from tests.rest import Answer, Rest

from conversations.edge import rest_routes
from conversations.local.engines import find_redis, throwaway_redis
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

Json = dict[str, Any]

GOLDEN = Path(__file__).parent / "golden"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"

ALIASES = {
    "conversations.read": ["conversations.markRead", "conversations.mark-read"],
    "conversations.setState": ["conversations.set-state"],
    "conversations.removeState": ["conversations.remove-state"],
    "conversations.updateContact": ["conversations.update-contact"],
}
PATHS = [(name[1:], alias) for name in METHODS for alias in (name[1:], *ALIASES.get(name[1:], []))]
RUNS = {path: f"-{number:04x}-" for number, (_, path) in enumerate(PATHS, 1)}


@pytest.fixture
def ids(request: pytest.FixtureRequest) -> Ids:
    return Ids(request.node.name)


def ingest(rest: Rest, *events: Json) -> None:
    """Send events that have to be accepted."""
    answer = rest.post("/events.ingest", {"events": events})
    assert (answer.status, answer.json) == (200, {"accepted": len(events), "rejected": []})


def ask(rest: Rest, path: str, body: Any = None) -> Any:
    """Return the JSON of a successful answer."""
    answer = rest.post(path, body)
    assert answer.status == 200, answer
    return answer.json


def tell(rest: Rest, path: str, body: Json) -> None:
    """Make a change that answers nothing, and really nothing."""
    answer = rest.post(path, body)
    assert (answer.status, answer.body) == (204, b""), answer
    assert not {"content-type", "content-length", "transfer-encoding", "grpc-status"} & set(answer.headers)


def info(rest: Rest, ids: Ids, name: object = "conversation") -> Json:
    found: Json = ask(rest, "/conversations.info", {"conversation_id": ids(name)})
    return found


def page(rest: Rest, filters: str, **body: Any) -> Json:
    found: Json = ask(rest, "/conversations.list", {"filters": filters, **body})
    return found


def ids_of(answer: Json) -> list[str]:
    return [item["id"] for item in answer["data"]]


def exact(value: Any) -> str:
    """Return JSON as text that differs wherever the values or their types do; the order of keys is no difference."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def rejected(rest: Rest, event: Json) -> str:
    """Return why an event is rejected; the events around it are not."""
    sentinel = {"read_receipt": {"conversation_id": Ids("sentinel")("c"), "read_at": at(0)}}
    answer = ask(rest, "/events.ingest", {"events": [sentinel, event, sentinel]})
    assert answer["accepted"] == 2, answer
    [refusal] = answer["rejected"]
    assert (refusal["index"], refusal["code"], len(refusal)) == (1, "INVALID_ARGUMENT", 3)
    why: str = refusal["message"]
    return why


# Golden files


class Scenario:
    """One run of a golden file."""

    def __init__(self, rest: Rest, name: str, path: str) -> None:
        self._rest = rest
        self._path = path
        self._text = (GOLDEN / f"{name}.json").read_text().replace("-0000-", RUNS[path])
        self._known: dict[str, str] = {}
        self._counts = self._count()

    def play(self) -> None:
        script = json.loads(self._text)
        if script["events"]:
            ingest(self._rest, *script["events"])
        for step in script["steps"]:
            path = step.get("path", f"/{self._path}")
            answer = self._rest.post(path, self._replaced(step["request"]))
            assert answer.status == step["status"], (path, answer)
            if "answer" in step:
                got = self._own(path, answer.json)
                assert exact(got) == exact(self._expected(step["answer"], got)), path
            else:
                assert answer.body == b""
                assert not {"content-type", "content-length", "transfer-encoding"} & set(answer.headers)

    def _count(self) -> Json:
        counts: Json = ask(self._rest, "/conversations.list", {"page_size": 1})["pagination_data"]
        return counts

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._replaced(inner) for key, inner in value.items()}
        return self._known.get(value, value) if isinstance(value, str) else value

    def _own(self, path: str, answer: Any) -> Any:
        """Leave out what other tests made, where there is no filter."""
        if path not in ("/tags.list", "/channels.list"):
            return answer
        known = {*re.findall(r"[0-9a-f-]{36}", self._text), *self._known.values()}
        return {key: [item for item in items if item["id"] in known] for key, items in answer.items()}

    def _expected(self, wanted: Any, got: Any, key: str = "") -> Any:
        """Return what has to come, with the server's own texts taken from what came."""
        match wanted:
            case dict():
                return {name: self._expected(inner, (got or {}).get(name), name) for name, inner in wanted.items()}
            case list():
                pairs = zip_longest(wanted, (got or [])[: len(wanted)])
                return [self._expected(inner, inner_got) for inner, inner_got in pairs]
            case "<milliseconds>":
                assert isinstance(got, int | float)
                assert 0 <= got < 1000
                return got
            case str() if re.fullmatch("<.*>", wanted):
                assert isinstance(got, str)
                assert got
                return self._known.setdefault(wanted, got)
            case str() if re.fullmatch(r"\+\d+", wanted):
                return self._counts[key] + int(wanted)
            case _:
                return wanted


@pytest.mark.parametrize(("name", "path"), PATHS)
def test_golden(rest: Rest, name: str, path: str) -> None:
    Scenario(rest, name, path).play()


def test_there_is_a_golden_file_for_every_path() -> None:
    assert {route.path for route in rest_routes() if route.verb == "POST"} == {f"/{path}" for _, path in PATHS}
    assert {file.stem for file in GOLDEN.glob("*.json")} == {name for name, _ in PATHS}


def test_health(rest: Rest) -> None:
    answer = rest.request("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "SERVING", "causes": []})


def test_a_created_tag_has_a_new_id_in_lower_case(rest: Rest) -> None:
    tags = [rest.post("/tags.create", {"name": "Twice", "color": "tag-red"}).json for _ in range(2)]
    assert tags[0]["id"] != tags[1]["id"]
    assert all(str(UUID(tag["id"])) == tag["id"] for tag in tags)
    for tag in tags:
        tell(rest, "/tags.delete", {"id": tag["id"]})


def test_204_leaves_no_byte_behind(stack: Stack, ids: Ids, rest: Rest) -> None:
    """Pipelined, the next answer follows at once."""
    ingest(rest, message(ids, "conversation", 1))
    read = json.dumps({"conversation_id": ids("conversation")}).encode()
    call = b"POST /conversations.read HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(read), read)
    last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    host, port = stack.envoy_target.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(call * 3 + last)
        got = b""
        while not got.rstrip().endswith(b"}"):
            received = connection.recv(65536)
            assert received, got
            got += received
    *empty, health = got.split(b"HTTP/1.1 ")[1:]
    assert [(part[:3], part.partition(b"\r\n\r\n")[2]) for part in empty] == [(b"204", b"")] * 3
    assert b"content-length" not in b"".join(empty).lower()
    assert health.startswith(b"200")


# Pages


@pytest.fixture
def inbox(rest: Rest, ids: Ids) -> list[str]:
    """Ids of 23 conversations, in the order of a list; 5 of them share a time."""
    seconds = {f"c{n}": 100 + min(n, 18) for n in range(23)}
    ingest(rest, *(message(ids, name, name, second) for name, second in seconds.items()))
    return [ids(name) for name in sorted(seconds, key=lambda name: (seconds[name], ids(name)), reverse=True)]


def walk(rest: Rest, filters: str, size: int, cursor: str = "", *, way: str = "next_cursor") -> list[Json]:
    """Return the pages from a cursor to the end."""
    pages = []
    while True:
        pages.append(page(rest, filters, page_size=size, cursor=cursor))
        cursor = pages[-1]["pagination_data"][way]
        if not cursor:
            return pages
        assert len(pages) < 100


@pytest.mark.parametrize("size", [1, 4, 5, 22, 23, 24])
def test_a_walk_sees_each_conversation_once_in_order_and_back(
    rest: Rest, ids: Ids, inbox: list[str], size: int
) -> None:
    pages = walk(rest, ids.own, size)
    assert [id for found in pages for id in ids_of(found)] == inbox
    assert [len(found["data"]) for found in pages[:-1]] == [size] * (len(pages) - 1)
    assert {found["pagination_data"]["filtered_total"] for found in pages} == {len(inbox)}
    assert pages[0]["pagination_data"]["previous_cursor"] == ""
    if len(pages) > 1:
        last = pages[-1]["pagination_data"]["previous_cursor"]
        back = walk(rest, ids.own, size, last, way="previous_cursor")
        assert [ids_of(found) for found in back] == [ids_of(found) for found in reversed(pages[:-1])]


@pytest.mark.parametrize("size", [{}, {"page_size": 0}, {"page_size": None}, {"page_size": 20}, {"page_size": "20"}])
def test_a_page_has_twenty_unless_asked(rest: Rest, ids: Ids, inbox: list[str], size: Json) -> None:
    assert ids_of(page(rest, ids.own, **size)) == inbox[:20]
    thread = [message(ids, "thread", f"t{n}", n) for n in range(23)]
    ingest(rest, *thread)
    found = ask(rest, "/messages.list", {"conversation_id": ids("thread"), **size})
    assert ids_of(found) == [event["message"]["id"] for event in thread][3:]


@pytest.mark.parametrize("size", [100, 101, 1000, 2**31 - 1])
def test_a_page_has_a_hundred_at_most(rest: Rest, ids: Ids, size: int) -> None:
    many = [message(ids, f"c{n}", n, n) for n in range(103)]
    thread = [message(ids, "thread", f"t{n}", -n) for n in range(103)]
    ingest(rest, *many, *thread)
    found = page(rest, ids.own, page_size=size)
    assert ids_of(found) == [event["message"]["conversation_id"] for event in reversed(many)][:100]
    assert found["pagination_data"]["filtered_total"] == 104
    found = ask(rest, "/messages.list", {"conversation_id": ids("thread"), "page_size": size})
    assert ids_of(found) == [event["message"]["id"] for event in reversed(thread)][3:]
    assert found["pagination_data"]["total"] == 103


@pytest.mark.parametrize("kind", [str, int])
@pytest.mark.parametrize("offset", [0, 1, 7, 18, 19, 22, 23, 50, 100_000])
def test_digits_are_an_offset(rest: Rest, ids: Ids, inbox: list[str], offset: int, kind: Callable[[int], Json]) -> None:
    """As text, and as the number that old clients send."""
    found = page(rest, ids.own, cursor=kind(offset), page_size=5)
    assert ids_of(found) == inbox[offset : offset + 5]
    paging = found["pagination_data"]
    assert bool(paging["next_cursor"]) == (offset + 5 < 23)
    assert bool(paging["previous_cursor"]) == (offset > 0)
    if offset:
        before = page(rest, ids.own, cursor=paging["previous_cursor"], page_size=5)
        assert ids_of(before) == inbox[:offset][-5:]


def test_the_page_size_may_change_on_the_way(rest: Rest, ids: Ids, inbox: list[str]) -> None:
    cursor, seen = "", []
    for size in (1, 7, 2, 13):
        found = page(rest, ids.own, page_size=size, cursor=cursor)
        seen += ids_of(found)
        cursor = found["pagination_data"]["next_cursor"]
    assert (seen, cursor) == (inbox, "")


def test_a_walk_goes_on_while_conversations_move(rest: Rest, ids: Ids, inbox: list[str]) -> None:
    """Moved ones jump to the top, new ones come there too; each that did not move is seen exactly once, none twice."""
    mover = random.Random(7)
    moved: set[str] = set()
    seen: list[str] = []
    cursor, clock = "", 1000
    while True:
        found = page(rest, ids.own, page_size=3, cursor=cursor)
        seen += ids_of(found)
        cursor = found["pagination_data"]["next_cursor"]
        if not cursor:
            break
        name = f"c{mover.randrange(23)}"
        moved.add(ids(name))
        clock += 1
        ingest(rest, message(ids, name, f"again {clock}", clock), message(ids, f"new {clock}", f"new {clock}", clock))
    assert len(seen) == len(set(seen))
    still = [id for id in inbox if id not in moved]
    assert [id for id in seen if id not in moved] == still
    assert len(still) > 10


def test_a_walk_back_sees_what_came_meanwhile(rest: Rest, ids: Ids, inbox: list[str]) -> None:
    last = walk(rest, ids.own, 20)[-1]["pagination_data"]["previous_cursor"]
    ingest(rest, message(ids, "new", "new", 999))
    back = walk(rest, ids.own, 20, last, way="previous_cursor")
    assert [id for found in reversed(back) for id in ids_of(found)] == [ids("new"), *inbox[:20]]


def test_the_whole_inbox_is_walked_the_same_way(rest: Rest, ids: Ids, inbox: list[str]) -> None:
    pages = walk(rest, "", 100)
    seen = [(item["last_message"]["sent_at"], item["id"]) for found in pages for item in found["data"]]
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == pages[0]["pagination_data"]["total"]
    assert [id for _, id in seen if id in inbox] == inbox


def test_a_cursor_is_good_for_its_filter_only(rest: Rest, ids: Ids, inbox: list[str]) -> None:
    cursor = page(rest, ids.own, page_size=3)["pagination_data"]["next_cursor"]
    thread = [message(ids, "thread", f"t{n}", n) for n in range(3)]
    ingest(rest, *thread)
    first = ask(rest, "/messages.list", {"conversation_id": ids("thread"), "page_size": 2})
    other = first["pagination_data"]["next_cursor"]
    description = "belongs to another list; leave it out to start anew"
    for path, body in (
        ("/conversations.list", {"filters": f"{ids.own} AND source:facebook", "cursor": cursor}),
        ("/conversations.list", {"cursor": cursor}),
        ("/conversations.list", {"filters": ids.own, "cursor": other}),
        ("/messages.list", {"conversation_id": ids("thread"), "cursor": cursor}),
        ("/messages.list", {"conversation_id": ids("c1"), "cursor": other}),
    ):
        expect_refusal(
            rest.post(path, body),
            Refused(
                path,
                body,
                "CURSOR_MISMATCH",
                f"cursor: {description}",
                {"field": "cursor"},
                ("cursor", description),
            ),
        )


def test_a_damaged_cursor_is_refused(rest: Rest, ids: Ids, inbox: list[str]) -> None:
    cursor = page(rest, ids.own, page_size=3)["pagination_data"]["next_cursor"]
    damaged = {cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1 :] for i in range(0, len(cursor), 3)}
    damaged |= {cursor[:-1], cursor + "A", cursor + "=", cursor.swapcase(), cursor[1:], cursor * 2, cursor + "\n"}
    for text in damaged:
        answer = rest.post("/conversations.list", {"filters": ids.own, "cursor": text})
        assert answer.status == 400, text
        assert answer.json["details"][0]["reason"] in ("INVALID_CURSOR", "CURSOR_MISMATCH"), text


def test_messages_are_walked_back_in_time_and_forth(rest: Rest, ids: Ids) -> None:
    """Each page is oldest first, the first page the newest; of two sent at once the later arrival is newer."""
    seconds = [5, 5, 5, 3, 3, 8, 1, 1]
    ingest(rest, *(message(ids, "conversation", n, second) for n, second in enumerate(seconds)))
    order = [ids(f"message {n}") for n, _ in sorted(enumerate(seconds), key=lambda pair: (pair[1], pair[0]))]
    body = {"conversation_id": ids("conversation"), "page_size": 3}
    pages = [ask(rest, "/messages.list", body)]
    while cursor := pages[-1]["pagination_data"]["next_cursor"]:
        pages.append(ask(rest, "/messages.list", body | {"cursor": cursor}))
    assert [id for found in reversed(pages) for id in ids_of(found)] == order
    assert pages[0]["pagination_data"]["previous_cursor"] == ""
    for newer, older in pairwise(pages):
        cursor = older["pagination_data"]["previous_cursor"]
        assert ids_of(ask(rest, "/messages.list", body | {"cursor": cursor})) == ids_of(newer)
    assert ids_of(ask(rest, "/messages.list", body | {"cursor": "4"})) == order[1:4]


# Errors


def expect_refusal(answer: Answer, refused: Refused) -> None:
    """Compare an error with what it has to be, to the last key."""
    status, code = (404, 5) if refused.reason.endswith("_NOT_FOUND") else (400, 3)
    details: list[Json] = [
        {"@type": ERROR_INFO, "reason": refused.reason, "domain": DOMAIN, "metadata": refused.metadata}
    ]
    if refused.violation:
        name, description = refused.violation
        details.append(
            {"@type": BAD_REQUEST, "field_violations": [{"field": name, "description": description, "reason": ""}]}
        )
    assert answer.status == status, answer
    assert answer.json == {"code": code, "message": refused.message, "details": details}


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.id)
def test_wrong_request_is_refused(rest: Rest, refused: Refused) -> None:
    expect_refusal(rest.post(refused.path, refused.body), refused)


@pytest.mark.parametrize("refused", UNKNOWN, ids=lambda refused: refused.id)
def test_what_is_not_there_is_not_found(rest: Rest, refused: Refused) -> None:
    expect_refusal(rest.post(refused.path, refused.body), refused)


@pytest.mark.parametrize("path", sorted({refused.path for refused in id_cases()}))
def test_ids_have_to_be_uuids(rest: Rest, path: str) -> None:
    for refused in id_cases():
        if refused.path == path:
            expect_refusal(rest.post(path, refused.body), refused)


def test_a_tag_goes_on_a_conversation_that_exists(rest: Rest, ids: Ids) -> None:
    ingest(rest, {"tag": {"id": ids("tag"), "name": "Urgent", "color": "tag-red"}})
    for path in ("/conversations.tag", "/conversations.untag"):
        body = {"conversation_id": ids("conversation"), "tag_id": ids("tag")}
        facts = {"id": ids("conversation")}
        text = f"no conversation has the id {ids('conversation')}"
        expect_refusal(rest.post(path, body), Refused(path, body, "CONVERSATION_NOT_FOUND", text, facts))


WRONG_TYPES = [
    ("/conversations.list", {"page_size": "many"}, "page_size"),
    ("/conversations.list", {"page_size": 1.5}, "page_size"),
    ("/conversations.list", {"page_size": 2**31}, "page_size"),
    ("/conversations.list", {"page_size": True}, "page_size"),
    ("/conversations.list", {"cursor": True}, "cursor"),
    ("/conversations.list", {"filters": False}, "filters"),
    ("/conversations.info", {"conversation_id": 5}, "conversation_id"),
    ("/conversations.setState", {"conversation_id": UNKNOWN[0].metadata["id"], "state": "DONE"}, "state"),
    ("/conversations.setState", {"conversation_id": UNKNOWN[0].metadata["id"], "state": "closed "}, "state"),
    ("/conversations.setState", {"conversation_id": UNKNOWN[0].metadata["id"], "state": True}, "state"),
    ("/tags.create", {"name": 5, "color": "tag-red"}, "name"),
    ("/tags.create", {"name": "Urgent", "color": 5}, "color"),
]


@pytest.mark.parametrize(("path", "body", "name"), WRONG_TYPES)
def test_wrong_type_is_refused(rest: Rest, path: str, body: Json, name: str) -> None:
    answer = rest.post(path, body)
    assert (answer.status, answer.json["code"]) == (400, 3)
    assert answer.json["message"].startswith(f"{name}: invalid value "), answer
    [error, *_] = answer.json["details"]
    assert (error["@type"], error["domain"]) == (ERROR_INFO, DOMAIN)
    assert error["reason"] in ("MALFORMED_REQUEST", "INVALID_FIELD")


WRONG_CHOICES = [
    (
        "/conversations.setState",
        {"conversation_id": UNKNOWN[0].metadata["id"], "state": state},
        "state",
        "OPEN or CLOSED",
    )
    for state in ("DONE", "done", "", "77", 77, 0, True, 1.5, None, "STATE_UNSPECIFIED", 'a"b\\', "ü: ,")
] + [
    ("/tags.create", {"name": "Urgent", "color": "red"}, "color", "tag-red, tag-blue, tag-green, tag-purple"),
    ("/tags.create", {"name": "Urgent"}, "color", "tag-red, tag-blue, tag-green, tag-purple"),
    (
        "/metadata.upsert",
        {"subject": "contact", "id": UNKNOWN[0].metadata["id"], "data": {}},
        "subject",
        "conversation, message or channel",
    ),
]


@pytest.mark.parametrize(("path", "body", "name", "choices"), WRONG_CHOICES)
def test_a_wrong_choice_is_answered_with_the_field_and_the_choices(
    rest: Rest, path: str, body: Json, name: str, choices: str
) -> None:
    answer = rest.post(path, body)
    assert (answer.status, answer.json["code"]) == (400, 3)
    [violation] = answer.json["details"][1]["field_violations"]
    assert violation["field"] == name
    for text in (answer.json["message"], violation["description"]):
        assert text.endswith(choices)
        assert "type.googleapis.com" not in text


@pytest.mark.parametrize("state", ["OPEN", "closed", "Open", "cLOSED", 1, 2])
def test_a_state_is_taken_in_any_case(rest: Rest, ids: Ids, state: Any) -> None:
    ingest(rest, message(ids, "conversation", 1))
    body = {"conversation_id": ids("conversation"), "state": state}
    assert rest.post("/conversations.setState", body).status == 204
    assert info(rest, ids)["metadata"]["state"] == {1: "OPEN", 2: "CLOSED"}.get(state, str(state).upper())


def test_wrong_type_names_the_field_for_programs_too(rest: Rest) -> None:
    found = [
        [
            violation["field"]
            for detail in rest.post(path, body).json["details"]
            for violation in detail.get("field_violations", [])
        ]
        for path, body, _ in WRONG_TYPES
    ]
    assert found == [[name] for _, _, name in WRONG_TYPES]


@pytest.mark.parametrize("value", ['a"', 'a",b', 'a"}', "a\\", 'a\\"', '"', "ü\n]}"])
def test_wrong_type_is_told_as_json_whatever_was_sent(rest: Rest, value: str) -> None:
    answer = rest.post("/conversations.list", {"page_size": value})
    [violation] = answer.json["details"][1]["field_violations"]
    assert violation["field"] == "page_size"
    assert answer.json["message"] == f"page_size: {violation['description']}"


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"[]", b'"x"', b"5", b'{"a":1,"a":2}', b'{"a":"\\ud800"}'],
)
def test_what_is_no_json_object_is_refused(rest: Rest, ids: Ids, value: bytes) -> None:
    ingest(rest, message(ids, "conversation", 1))
    head = b'{"subject":"conversation","id":"%s","data":' % ids("conversation").encode()
    answer = rest.post("/metadata.upsert", head + value + b"}")
    assert (answer.status, answer.json["code"]) == (400, 3)
    assert answer.json["details"][0]["reason"] == "MALFORMED_REQUEST"
    assert "user_data" not in info(rest, ids)["metadata"]


@pytest.mark.parametrize("levels", [21, 33, 34, 60, 99, 150])
def test_deep_json_is_refused_however_deep(rest: Rest, ids: Ids, levels: int) -> None:
    ingest(rest, message(ids, "conversation", 1))
    answer = rest.post(
        "/metadata.upsert", {"subject": "conversation", "id": ids("conversation"), "data": nested(levels)}
    )
    assert (answer.status, answer.json["code"], answer.json["details"][0]["domain"]) == (400, 3, DOMAIN)
    assert "user_data" not in info(rest, ids)["metadata"]


@pytest.mark.parametrize("levels", [21, 33, 34, 60])
def test_a_deep_event_is_rejected_alone(rest: Rest, ids: Ids, levels: int) -> None:
    why = rejected(rest, message(ids, "conversation", 1, content=nested(levels)))
    assert "nested too deep" in why


@pytest.mark.parametrize(
    ("path", "size", "message"),
    [
        ("/conversations.list", 256 * 1024, "the request is too large"),
        ("/events.ingest", 16 * 1024 * 1024, "a request of this method may have at most 16777216 bytes"),
    ],
)
def test_a_request_that_is_too_large_is_413(rest: Rest, path: str, size: int, message: str) -> None:
    answer = rest.post(path, b'{"filters":"' + b"x" * size + b'"}')
    info = {"@type": ERROR_INFO, "reason": "REQUEST_TOO_LARGE", "domain": DOMAIN, "metadata": {}}
    assert (answer.status, answer.json) == (413, {"code": 8, "message": message, "details": [info]})


def test_sixteen_megabytes_of_events_are_taken(rest: Rest) -> None:
    events = [{"tag": {"name": "x" * 200_000}}] * 80
    answer = ask(rest, "/events.ingest", {"events": events})
    assert (answer["accepted"], len(answer["rejected"])) == (0, 80)


BAD_EVENTS: list[tuple[str, Json, str]] = [
    ("message", {"id": ""}, "message.id: is missing"),
    ("message", {"id": "x"}, "message.id: has to be a UUID, 8-4-4-4-12 hexadecimal digits"),
    ("message", {"conversation_id": None}, "message.conversation_id: is missing"),
    ("message", {"channel_id": ""}, "message.channel_id: is missing"),
    ("message", {"sent_at": ""}, "message.sent_at: is missing"),
    ("message", {"source": ""}, "message.source: is missing"),
    ("message", {"source": "a b"}, "message.source: has to be 1 to 64 visible ASCII characters"),
    ("message", {"source": "x" * 65}, "message.source: has to be 1 to 64 visible ASCII characters"),
    (
        "message",
        {"delivery_state": 77},
        "message.delivery_state: has to be PENDING, FAILED or DELIVERED",
    ),
    ("message", {"content": nested(21)}, "message.content: is nested too deeply: at most 20 levels"),
    ("message", {"metadata": nested(21)}, "message.metadata: is nested too deeply: at most 20 levels"),
    ("message", {"content": {"a": "x" * 70_000}}, "message.content: is too large: at most 65536 bytes"),
    ("channel", {"id": ""}, "channel.id: is missing"),
    ("channel", {"source": ""}, "channel.source: is missing"),
    ("channel", {"metadata": nested(21)}, "channel.metadata: is nested too deeply: at most 20 levels"),
    ("tag", {"id": "x"}, "tag.id: has to be a UUID, 8-4-4-4-12 hexadecimal digits"),
    ("tag", {"name": "\u3000"}, "tag.name: must not be blank"),
    ("tag", {"color": "red"}, "tag.color: has to be one of tag-red, tag-blue, tag-green, tag-purple"),
    ("metadata", {"subject": "tag"}, "metadata.subject: has to be conversation, message or channel"),
    ("metadata", {"id": ""}, "metadata.id: is missing"),
    (
        "metadata",
        {"metadata": {"contact": {"display_name": " "}}},
        "metadata.metadata.contact.display_name: must not be blank",
    ),
    (
        "metadata",
        {"metadata": {"contact": {"avatar_url": 5}}},
        "metadata.metadata.contact.avatar_url: has to be text or null",
    ),
    ("metadata", {"metadata": {"contact": "Ada"}}, "metadata.metadata.contact: has to be an object or null"),
    ("metadata", {"metadata": {"user_data": []}}, "metadata.metadata.user_data: has to be an object or null"),
    ("metadata", {"metadata": {"state": "done"}}, "metadata.metadata.state: has to be OPEN, CLOSED or null"),
    ("metadata", {"metadata": {"state": 1}}, "metadata.metadata.state: has to be OPEN, CLOSED or null"),
    ("metadata", {"metadata": {"tags": []}}, "metadata.metadata.tags: has to be an object or null"),
    (
        "metadata",
        {"metadata": {"tags": {"x": ""}}},
        "metadata.metadata.tags: has to be a UUID, 8-4-4-4-12 hexadecimal digits",
    ),
    ("read_receipt", {"conversation_id": ""}, "read_receipt.conversation_id: is missing"),
    ("read_receipt", {"read_at": ""}, "read_receipt.read_at: is missing"),
]


def good_event(ids: Ids, kind: str) -> Json:
    events: Json = {
        "channel": {"id": ids("channel"), "source": "facebook"},
        "tag": {"id": ids("tag"), "name": "Urgent", "color": "tag-red"},
        "metadata": {"subject": "conversation", "id": ids("conversation"), "metadata": {}},
        "read_receipt": {"conversation_id": ids("conversation"), "read_at": at(0)},
        **message(ids, "conversation", 1),
    }
    return {kind: events[kind]}


@pytest.mark.parametrize(("kind", "change", "why"), BAD_EVENTS)
def test_a_bad_event_is_rejected_alone(rest: Rest, ids: Ids, kind: str, change: Json, why: str) -> None:
    good = good_event(ids, kind)
    assert rejected(rest, {kind: good[kind] | change}) == why
    ingest(rest, good)


@pytest.mark.parametrize("event", [{}, {"message": None}])
def test_an_event_has_to_be_something(rest: Rest, event: Json) -> None:
    assert rejected(rest, event) == "event: has to be one of channel, tag, message, metadata, read_receipt"


@pytest.mark.parametrize("body", [{}, {"events": None}, {"events": []}])
def test_no_events_are_none(rest: Rest, body: Json) -> None:
    assert ask(rest, "/events.ingest", body) == {"accepted": 0, "rejected": []}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"1", "event: has to be an object"),
        (b"null", "event: has to be an object"),
        (b'{"message": {"form_contact": true}}', "message.form_contact: is unknown; did you mean from_contact?"),
        (
            b'{"message": {"delivery_state": "SENT"}}',
            "message.delivery_state: has to be PENDING, FAILED or DELIVERED",
        ),
        (b'{"message": {"id": "\\ud800"}}', "message.id: has a lone surrogate, which is not a character"),
        (b'{"message": {"id": "\xff"}}', "message.id: is not UTF-8"),
        (b'{"\xff": {}}', "?: is unknown; there are channel, tag, message, metadata, read_receipt"),
        (b'{"\\ud800": {}}', "?: is unknown; there are channel, tag, message, metadata, read_receipt"),
        (b'{"message": {"content": {"a": 1e400}}}', "message.content.a: has a number that is not finite: 1e400"),
        (
            b'{"message": {"content": {"token": 4912661846655238145}}}',
            "message.content.token: has a number that JSON parsers would round: 4912661846655238145; "
            "send it as a string",
        ),
        (
            b'{"message": {"content": ' + b'{"a":' * 200 + b"1" + b"}" * 202,
            "message.content: is nested too deeply: at most 20 levels",
        ),
        (b'{"message": {"id": "a",}}', "event: is not JSON: the name of a field is missing at column 24"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_wrong_event_is_refused_alone(rest: Rest, ids: Ids, wrong: bytes, reason: str) -> None:
    events = [json.dumps(message(ids, "conversation", number)).encode() for number in (1, 2)]
    answer = rest.post("/events.ingest", b'{"events": [' + b",".join([events[0], wrong, events[1]]) + b"]}")
    rejected = {"index": 1, "code": "INVALID_ARGUMENT", "message": reason}
    assert (answer.status, answer.json) == (200, {"accepted": 2, "rejected": [rejected]})


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (b'{"events": [{}', "MALFORMED_REQUEST", "not JSON: a comma or the end of the array is missing"),
        (b"[]", "MALFORMED_REQUEST", 'not JSON: the body has to be an object, {"events": [...]}'),
        (b'{"event": []}', "INVALID_FIELD", "event: is unknown; did you mean events?"),
        (b'{"event\xff": []}', "INVALID_FIELD", "event?: is unknown; did you mean events?"),
        (b'{"events": {}}', "INVALID_FIELD", "events: has to be an array"),
    ],
)
def test_a_body_without_events_is_refused(rest: Rest, body: bytes, reason: str, message: str) -> None:
    answer = rest.post("/events.ingest", body)
    assert (answer.status, answer.json["code"], answer.json["details"][0]["reason"]) == (400, 3, reason)
    assert answer.json["message"].startswith(message)


@pytest.mark.parametrize("path", [path for path in METHODS if path != "/events.ingest"])
def test_an_unknown_field_is_refused_with_the_nearest_name(rest: Rest, path: str) -> None:
    answer = rest.post(path, {"Nonsense\n": [{}, "}"]})
    assert (answer.status, answer.json["details"][0]["reason"]) == (400, "INVALID_FIELD")
    assert answer.json["message"].startswith("Nonsense\n: is unknown; there are ")
    [violation] = answer.json["details"][1]["field_violations"]
    assert violation["field"] == "Nonsense\n"


@pytest.mark.parametrize(
    ("path", "name", "nearest"),
    [
        ("/conversations.list", "filter", "filters"),
        ("/conversations.list", "page-size", "page_size"),
        ("/conversations.read", "conversationid", "conversation_id"),
        ("/tags.create", "colour", "color"),
        ("/metadata.upsert", "subjct", "subject"),
    ],
)
def test_a_field_that_is_misspelt_is_told_what_is_meant(rest: Rest, path: str, name: str, nearest: str) -> None:
    answer = rest.post(path, {name: "ada"})
    assert (answer.status, answer.json["message"]) == (400, f"{name}: is unknown; did you mean {nearest}?")


@pytest.mark.parametrize("number", ["9007199254740992", "-4912661846655238145", "9007199254740993.0", "1" * 300])
def test_a_large_integer_in_metadata_is_refused_and_not_rounded(rest: Rest, ids: Ids, number: str) -> None:
    ingest(rest, message(ids, "conversation", 1))
    body = f'{{"subject": "conversation", "id": "{ids("conversation")}", "data": {{"a": [{{"token": {number}}}]}}}}'
    answer = rest.post("/metadata.upsert", body.encode())
    assert (answer.status, answer.json["details"][0]["reason"]) == (400, "INVALID_FIELD")
    assert answer.json["message"].startswith("data: has a number that JSON parsers would round: ")
    assert "user_data" not in ask(rest, "/conversations.info", {"conversation_id": ids("conversation")})["metadata"]


def test_fields_in_the_spelling_of_protobuf_are_known(rest: Rest, ids: Ids) -> None:
    ingest(rest, message(ids, "conversation", 1), message(ids, "other", 2))
    assert len(page(rest, ids.own, pageSize=1)["data"]) == 1
    assert ask(rest, "/conversations.info", {"conversationId": ids("conversation")})["id"] == ids("conversation")


# What is stored comes back


FREE = {
    "integer": 2**53 - 1,
    "negative": -(2**53 - 1),
    "powers": [10**power for power in range(15)],
    "sixteen digits": [1234567890123456, 4503599627370497],
    "zero": 0,
    "floats": [0.1, 1e-7, -2.5, 123456789012345.6, 5e-324, 1.7976931348623157e308],
    "booleans": [True, False],
    "null": None,
    "empty": ["", {}, [], [[]], [{}], [None]],
    "text": "\u0000\u001f\u007f \u2028 <b>&amp;</b> \" \\ / ' \r\n\t",
    "Grüße 😀👩🏽‍💻 e\u0301 \u202e العربية": "日本語 🏴󠁧󠁢󠁥󠁮󠁧󠁿 \U0010ffff",
    "": "empty key",
    "a.b": {"a.b": 1, "a": {"b": 2}},
    "@type": "no type",
    "camelCase": 1,
    "deep": nested(19),
}


def without_nulls(value: Any) -> Any:
    """Return what is left of an object after merging: a null removes its key."""
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}


def test_free_json_comes_back_as_it_went_in(rest: Rest, ids: Ids) -> None:
    """In messages and channels to the letter; in user_data, which is merged, a null has removed its key."""
    channel = {"id": ids("channel"), "source": "facebook", "metadata": FREE | {"name": "a name"}}
    ingest(rest, {"channel": channel}, message(ids, "conversation", 1, content=FREE, metadata=FREE))
    tell(rest, "/metadata.upsert", {"subject": "conversation", "id": ids("conversation"), "data": FREE})
    [listed] = page(rest, ids.own)["data"]
    for found in (listed, info(rest, ids)):
        assert exact(found["last_message"]["content"]) == exact(FREE)
        assert exact(found["last_message"]["metadata"]) == exact(FREE)
        assert exact(found["channel"]["metadata"]) == exact(FREE | {"name": "a name"})
        assert exact(found["metadata"]["user_data"]) == exact(without_nulls(FREE))
    [thread] = ask(rest, "/messages.list", {"conversation_id": ids("conversation")})["data"]
    assert exact(thread["content"]) == exact(FREE)


@pytest.mark.parametrize(
    "content", ["Body=Hi&From=%2B49", "", 5, -0.5, True, False, None, [], [1, [None, {"a": []}]], {}], ids=repr
)
def test_content_is_any_json(rest: Rest, ids: Ids, content: Any) -> None:
    ingest(rest, message(ids, "conversation", 1, content=content))
    [thread] = ask(rest, "/messages.list", {"conversation_id": ids("conversation")})["data"]
    for found in (page(rest, ids.own)["data"][0], info(rest, ids)):
        assert exact(found["last_message"]["content"]) == exact(thread["content"]) == exact(content)


def test_large_round_numbers_keep_their_value(rest: Rest, ids: Ids) -> None:
    """They are spelt with an exponent: `1e+15`."""
    numbers = [10**15, 2 * 10**15, 9 * 10**15, 1e20, 1.5e300]
    ingest(rest, message(ids, "conversation", 1, content={"numbers": numbers}))
    assert info(rest, ids)["last_message"]["content"]["numbers"] == numbers


def test_twenty_levels_are_accepted_everywhere(rest: Rest, ids: Ids) -> None:
    ingest(
        rest,
        {"channel": {"id": ids("channel"), "source": "facebook", "metadata": nested(20)}},
        message(ids, "conversation", 1, content=nested(20), metadata=nested(20)),
    )
    tell(rest, "/metadata.upsert", {"subject": "conversation", "id": ids("conversation"), "data": nested(20)})
    [found] = page(rest, ids.own)["data"]
    assert found["last_message"]["content"] == nested(20)
    assert found["channel"]["metadata"] == nested(20) | {"name": f"Facebook {ids('channel')[-5:]}"}
    assert found["last_message"]["metadata"] == found["metadata"]["user_data"] == nested(20)


@pytest.mark.parametrize("levels", [17, 18, 19, 20])
@pytest.mark.parametrize("subject", ["conversation", "message", "channel"])
def test_what_upsert_takes_an_event_takes_too(rest: Rest, ids: Ids, subject: str, levels: int) -> None:
    """Otherwise an export of it could not be imported."""
    ingest(rest, message(ids, "conversation", 1))
    id = ids({"conversation": "conversation", "message": "message 1", "channel": "channel"}[subject])
    upsert = rest.post("/metadata.upsert", {"subject": subject, "id": id, "data": nested(levels)})
    event = rest.post("/events.ingest", {"events": [metadata(subject, id, user_data=nested(levels))]})
    assert event.json == {"accepted": int(upsert.status == 204), "rejected": event.json["rejected"]}


def test_user_data_does_not_grow_without_end(rest: Rest, ids: Ids) -> None:
    """Otherwise one conversation could make every list that holds it too large."""
    ingest(rest, message(ids, "conversation", 1))
    statuses = [
        rest.post(
            "/metadata.upsert",
            {"subject": "conversation", "id": ids("conversation"), "data": {f"key {n}": "x" * 40_000}},
        ).status
        for n in range(3)
    ]
    assert statuses == [204, 400, 400]
    assert len(exact(info(rest, ids)["metadata"]["user_data"])) < 65_536


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("message", {"sender": {"id": "x" * 1_000_000}}),
        ("message", {"sender": {"id": "s", "name": "x" * 1_000_000}}),
        ("message", {"sender": {"id": "s", "avatar_url": "x" * 1_000_000}}),
        ("channel", {"source_channel_id": "x" * 1_000_000}),
    ],
)
def test_no_text_may_be_so_long_that_it_spoils_lists(rest: Rest, ids: Ids, kind: str, change: Json) -> None:
    """A page of a hundred such conversations is more than Envoy lets through."""
    assert "at most" in rejected(rest, {kind: good_event(ids, kind)[kind] | change})


def test_names_keep_their_letters(rest: Rest, ids: Ids) -> None:
    name = " Ada\u00a0Lovelace 👩🏽‍💻 \u202eé\u0301 \0 <script> "
    ingest(
        rest,
        {"tag": {"id": ids("tag"), "name": name, "color": "tag-green"}},
        message(ids, "conversation", 1, sender={"id": name, "name": name, "avatar_url": name}),
    )
    tell(rest, "/conversations.updateContact", {"conversation_id": ids("conversation"), "display_name": name})
    found = info(rest, ids)
    assert found["metadata"]["contact"] == {"display_name": name}
    assert found["last_message"]["sender"] == {"id": name, "name": name, "avatar_url": name}
    assert {"id": ids("tag"), "name": name, "color": "tag-green"} in ask(rest, "/tags.list")["tags"]


@pytest.mark.parametrize("state", ["PENDING", "FAILED", "DELIVERED", None, 1])
def test_delivery_state_is_repeated_as_state(rest: Rest, ids: Ids, state: Any) -> None:
    ingest(rest, message(ids, "conversation", 1, delivery_state=state))
    last = info(rest, ids)["last_message"]
    assert last["delivery_state"] == last["state"] == {None: "DELIVERED", 1: "PENDING"}.get(state, state)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2019-01-07T09:01:44Z", "2019-01-07T09:01:44.000Z"),
        ("2019-01-07t09:01:44z", "2019-01-07T09:01:44.000Z"),
        ("2019-01-07 09:01:44Z", "2019-01-07T09:01:44.000Z"),
        ("2019-01-07T09:01:44.5Z", "2019-01-07T09:01:44.500Z"),
        ("2019-01-07T09:01:44.123999999Z", "2019-01-07T09:01:44.123Z"),
        ("2019-01-07T09:01:44.007+00:00", "2019-01-07T09:01:44.007Z"),
        ("2019-01-07T09:01:44-00:00", "2019-01-07T09:01:44.000Z"),
        ("2019-01-07T09:01:44+05:30", "2019-01-07T03:31:44.000Z"),
        ("2019-12-31T23:30:00.250-01:00", "2020-01-01T00:30:00.250Z"),
        ("2020-02-29T00:00:00+14:00", "2020-02-28T10:00:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_shown_in_utc_with_three_digits(rest: Rest, ids: Ids, given: str, shown: str) -> None:
    ingest(rest, message(ids, "conversation", 1, sent_at=given))
    found = info(rest, ids)
    assert found["created_at"] == found["last_message"]["sent_at"] == shown
    [thread] = ask(rest, "/messages.list", {"conversation_id": ids("conversation")})["data"]
    assert thread["sent_at"] == shown


@pytest.mark.parametrize(
    "time",
    [
        "2019-01-07",
        "2019-01-07T09:01:44",
        "2019-01-07T09:01Z",
        "2019-01-07T09:01:44+0530",
        "2019-01-07T09:01:44+05",
        "2019-01-07T09:01:44.Z",
        "2019-01-07T09:01:44,5Z",
        "2019-02-29T00:00:00Z",
        "2019-13-01T00:00:00Z",
        "2019-01-07T24:00:00Z",
        "2019-01-07T09:60:00Z",
        "2019-01-07T09:01:61Z",
        "2019-01-07T09:01:44+25:00",
        "2019-01-07T09:01:44+05:60",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "1546851704",
        " 2019-01-07T09:01:44Z",
        "2019-01-07T09:01:44Z\n",
        "٢٠١٩-01-07T09:01:44Z",
    ],
)
def test_what_is_no_time_is_refused_in_our_own_words(rest: Rest, ids: Ids, time: str) -> None:
    own = r"not (an RFC 3339 time|a time in the years 1 to 9999 in UTC); an example: 2019-01-07T09:01:44\.000Z"
    assert re.fullmatch(f"message.sent_at: {own}", rejected(rest, message(ids, "conversation", 1, sent_at=time)))


# Redis away


def test_without_redis_all_is_503_with_a_delay(run_up: Callable[..., Stack]) -> None:
    """First the worker says so, then Envoy, which asks the workers how they are."""
    with throwaway_redis(find_redis()) as url:
        stack = run_up("--redis-url", url)
        with redis.Redis.from_url(url) as client:
            client.shutdown(nosave=True)
        reasons = set()
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"}
        event = message(Ids("redis away"), "conversation", 1)
        with Rest(stack.http_url) as rest:
            deadline = time.monotonic() + 10
            while "NO_SERVER" not in reasons:
                assert time.monotonic() < deadline
                for path, body in (
                    ("/conversations.list", {}),
                    ("/tags.list", None),
                    ("/events.ingest", {"events": [event]}),
                ):
                    answer = rest.post(path, body)
                    error, *others = answer.json["details"]
                    assert (answer.status, answer.json["code"], error["domain"]) == (503, 14, DOMAIN), answer
                    assert others == [retry]
                    reasons.add(error["reason"])
            assert reasons == {"STORE_UNAVAILABLE", "NO_SERVER"}
            assert rest.request("GET", "/healthz").status == 503
        with grpc.insecure_channel(stack.grpc_target) as channel, pytest.raises(grpc.RpcError) as caught:
            ConversationServiceStub(channel).ListConversations(ListConversationsRequest())
        status: Any = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        assert (status.code, status.message) == (14, "the store is unavailable: Redis cannot be reached")
        assert "RetryInfo" in status.details[1].type_url


# Semantics


def test_unread_messages_are_those_of_the_contact_after_the_last_read(rest: Rest, ids: Ids) -> None:
    before = page(rest, "")["pagination_data"]["badge_unread_count"]
    ingest(
        rest,
        message(ids, "conversation", 1, 0),
        message(ids, "conversation", 2, 1, from_contact=False),
        message(ids, "conversation", 3, 2),
        message(ids, "conversation", 4, 3),
    )
    assert info(rest, ids)["metadata"]["unread_count"] == 3
    assert page(rest, "")["pagination_data"]["badge_unread_count"] == before + 1
    ingest(rest, {"read_receipt": {"conversation_id": ids("conversation"), "read_at": at(2)}})
    assert info(rest, ids)["metadata"]["unread_count"] == 1
    # An earlier receipt that comes late changes nothing, nor do a repeated and a late message.
    ingest(
        rest,
        {"read_receipt": {"conversation_id": ids("conversation"), "read_at": at(0)}},
        message(ids, "conversation", 4, 3),
        message(ids, "conversation", 5, 1.5),
    )
    assert info(rest, ids)["metadata"]["unread_count"] == 1
    tell(rest, "/conversations.read", {"conversation_id": ids("conversation")})
    assert info(rest, ids)["metadata"]["unread_count"] == 0
    assert page(rest, "")["pagination_data"]["badge_unread_count"] == before
    assert ids_of(page(rest, f"{ids.own} AND unread_count:0")) == [ids("conversation")]


def test_marking_read_reads_messages_from_the_future_too(rest: Rest, ids: Ids) -> None:
    """Clocks differ. Later messages of that future are unread again, earlier ones are not."""
    ingest(rest, message(ids, "conversation", 1, sent_at="2150-01-01T00:00:00Z"))
    tell(rest, "/conversations.read", {"conversation_id": ids("conversation")})
    assert info(rest, ids)["metadata"]["unread_count"] == 0
    ingest(rest, message(ids, "conversation", 2, sent_at="2149-12-31T00:00:00Z"))
    assert info(rest, ids)["metadata"]["unread_count"] == 0
    ingest(rest, message(ids, "conversation", 3, sent_at="2150-01-01T00:00:00.001Z"))
    assert info(rest, ids)["metadata"]["unread_count"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_end_is_the_same_in_any_order_and_however_often(rest: Rest, ids: Ids, seed: int) -> None:
    events: list[Json] = [
        {"channel": {"id": ids("channel"), "source": "facebook", "source_channel_id": "page", "connected": True}},
        {"tag": {"id": ids("tag"), "name": "Urgent", "color": "tag-red"}},
        message(ids, "conversation", 1, 0),
        message(ids, "conversation", 2, 5, from_contact=False, content={"text": "last"}),
        message(ids, "conversation", 3, 3),
        message(ids, "conversation", 4, 4),
        metadata("conversation", ids("conversation"), contact={"display_name": "Ada"}, tags={ids("tag"): ""}),
        metadata("conversation", ids("conversation"), state="OPEN"),
        metadata("conversation", ids("conversation"), user_data={"a": {"b": 1}}),
        metadata("message", ids("message 2"), seen=True),
        metadata("channel", ids("channel"), name="Page"),
        {"read_receipt": {"conversation_id": ids("conversation"), "read_at": at(3)}},
    ]
    sent = events * 3
    random.Random(seed).shuffle(sent)
    for start in range(0, len(sent), 5):
        ingest(rest, *sent[start : start + 5])
    found = info(rest, ids)
    assert found["created_at"] == at(0)
    assert found["channel"] == {
        "id": ids("channel"),
        "source": "facebook",
        "source_channel_id": "page",
        "connected": True,
        "metadata": {"name": "Page"},
    }
    assert found["metadata"] == {
        "contact": {"display_name": "Ada"},
        "tags": {ids("tag"): ""},
        "unread_count": 1,
        "state": "OPEN",
        "user_data": {"a": {"b": 1}},
    }
    assert (found["last_message"]["id"], found["last_message"]["sent_at"]) == (ids("message 2"), at(5))
    assert found["last_message"]["metadata"] == {"seen": True}
    thread = ask(rest, "/messages.list", {"conversation_id": ids("conversation")})
    assert ids_of(thread) == [ids(f"message {n}") for n in (1, 3, 4, 2)]


def test_a_known_id_replaces_the_message(rest: Rest, ids: Ids) -> None:
    ingest(rest, message(ids, "conversation", 1, 0), message(ids, "conversation", 2, 9))
    ingest(rest, message(ids, "conversation", 2, -9, from_contact=False, content={"text": "earlier"}))
    found = info(rest, ids)
    assert (found["created_at"], found["last_message"]["id"]) == (at(-9), ids("message 1"))
    assert found["metadata"]["unread_count"] == 1
    thread = ask(rest, "/messages.list", {"conversation_id": ids("conversation")})
    assert ids_of(thread) == [ids("message 2"), ids("message 1")]
    assert thread["data"][0]["content"] == {"text": "earlier"}
    assert thread["pagination_data"]["total"] == 2


def test_of_messages_sent_at_once_the_later_arrival_is_last(rest: Rest, ids: Ids) -> None:
    for name in ("b", "a", "c"):
        ingest(rest, message(ids, "conversation", name))
        assert info(rest, ids)["last_message"]["id"] == ids(f"message {name}")


def test_what_comes_before_the_message_waits_for_it(rest: Rest, ids: Ids) -> None:
    before = page(rest, "")["pagination_data"]
    ingest(
        rest,
        metadata("conversation", ids("conversation"), state="CLOSED", user_data={"a": 1}),
        metadata("message", ids("message 1"), a=1),
        {"read_receipt": {"conversation_id": ids("conversation"), "read_at": at(10)}},
    )
    body = {"conversation_id": ids("conversation")}
    more = {"setState": {"state": "OPEN"}, "updateContact": {"display_name": "Ada"}}
    for verb in ("info", "read", "setState", "removeState", "updateContact"):
        assert rest.post(f"/conversations.{verb}", body | more.get(verb, {})).status == 404, verb
    for subject, name in (("conversation", "conversation"), ("message", "message 1")):
        upsert = {"subject": subject, "id": ids(name), "data": {}}
        assert rest.post("/metadata.upsert", upsert).status == 404, subject
    assert page(rest, "")["pagination_data"]["total"] == before["total"]
    ingest(rest, message(ids, "conversation", 1, 0))
    found = info(rest, ids)
    assert found["metadata"]["state"] == "CLOSED"
    assert (found["metadata"]["user_data"], found["metadata"]["unread_count"]) == ({"a": 1}, 0)
    assert found["last_message"]["metadata"] == {"a": 1}
    assert page(rest, "")["pagination_data"]["total"] == before["total"] + 1


def test_a_message_creates_its_channel_to_be_filled_in_later(rest: Rest, ids: Ids) -> None:
    name = f"Facebook {ids('channel')[-5:]}"
    stub = {"id": ids("channel"), "source": "facebook", "source_channel_id": "", "connected": False}
    stub |= {"metadata": {"name": name}}
    ingest(rest, message(ids, "conversation", 1))
    assert info(rest, ids)["channel"] == ask(rest, "/channels.info", {"channel_id": ids("channel")}) == stub
    assert stub in ask(rest, "/channels.list")["data"]
    whole = stub | {"source": "google", "source_channel_id": "page", "connected": True, "metadata": {"name": "Page"}}
    ingest(rest, {"channel": whole})
    ingest(rest, message(ids, "conversation", 2, 1))
    assert info(rest, ids)["channel"] == ask(rest, "/channels.info", {"channel_id": ids("channel")}) == whole
    assert whole in ask(rest, "/channels.list")["data"]


def test_the_channel_is_that_of_the_last_message(rest: Rest, ids: Ids) -> None:
    ingest(rest, message(ids, "conversation", 1, 1), message(ids, "conversation", 2, 2, channel_id=ids("other")))
    assert info(rest, ids)["channel"]["id"] == ids("other")
    ingest(rest, message(ids, "conversation", 3, 3))
    assert info(rest, ids)["channel"]["id"] == ids("channel")
    assert ids_of(page(rest, ids.own)) == [ids("conversation")]


def test_a_deleted_tag_leaves_every_conversation(rest: Rest, ids: Ids) -> None:
    tag = rest.post("/tags.create", {"name": ids.scope, "color": "tag-blue"}).json["id"]
    names = [f"c{n}" for n in range(5)]
    ingest(
        rest,
        *(message(ids, name, name) for name in names),
        *(metadata("conversation", ids(name), tags={tag.upper(): ""}) for name in [*names, "waits"]),
    )
    assert page(rest, f"tag_ids:{tag}")["pagination_data"]["filtered_total"] == 5
    tell(rest, "/tags.delete", {"id": tag.upper()})
    assert page(rest, f"tag_ids:{tag}")["pagination_data"]["filtered_total"] == 0
    ingest(rest, message(ids, "waits", "waits"))
    assert [info(rest, ids, name)["metadata"]["tags"] for name in [*names, "waits"]] == [{}] * 6
    assert tag not in [found["id"] for found in ask(rest, "/tags.list")["tags"]]
    for path in ("/conversations.tag", "/conversations.untag"):
        answer = rest.post(path, {"conversation_id": ids("c1"), "tag_id": tag})
        assert (answer.status, answer.json["details"][0]["reason"]) == (404, "TAG_NOT_FOUND")
    for path in ("/tags.delete", "/tags.update"):
        assert rest.post(path, {"id": tag}).status == 404


@pytest.mark.parametrize("subject", ["conversation", "message", "channel"])
def test_upserted_data_is_merged_deeply(rest: Rest, ids: Ids, subject: str) -> None:
    ingest(rest, message(ids, "conversation", 1, metadata={"own": 1}))
    ingest(rest, {"channel": {"id": ids("channel"), "source": "facebook", "metadata": {"own": 1}}})
    id = ids({"conversation": "conversation", "message": "message 1", "channel": "channel"}[subject])
    for data in (
        {"a": {"b": 1, "c": [1, 2], "d": {"e": None}}, "x": "text", "y": 1},
        {"a": {"b": None, "c": [3], "new": {"deep": True}}, "x": {"now": "an object"}, "y": None, "z": None},
        {},
    ):
        tell(rest, "/metadata.upsert", {"subject": subject, "id": id.upper(), "data": data})
    merged = {"a": {"c": [3], "d": {}, "new": {"deep": True}}, "x": {"now": "an object"}}
    found = info(rest, ids)
    wanted = {"user_data": merged} if subject == "conversation" else {"own": 1, "user_data": merged}
    holder = {"conversation": found, "message": found["last_message"], "channel": found["channel"]}[subject]["metadata"]
    assert {key: holder[key] for key in wanted} == wanted
    if subject != "conversation":
        assert set(holder) - {"name"} == set(wanted)
    # It stays when the source tells its story again.
    ingest(rest, message(ids, "conversation", 1, metadata={"own": 2}))
    ingest(rest, {"channel": {"id": ids("channel"), "source": "facebook", "metadata": {"own": 2}}})
    found = info(rest, ids)
    holder = {"conversation": found, "message": found["last_message"], "channel": found["channel"]}[subject]["metadata"]
    assert holder["user_data"] == merged


def test_null_takes_metadata_away(rest: Rest, ids: Ids) -> None:
    contact = {"display_name": "Ada", "avatar_url": "https://example.org/a.png"}
    everything = {"contact": contact, "tags": {ids("tag"): ""}, "state": "OPEN", "user_data": {"a": 1}}
    ingest(rest, message(ids, "conversation", 1), metadata("conversation", ids("conversation"), **everything))
    assert info(rest, ids)["metadata"] == everything | {"unread_count": 1}
    default = f"Facebook {ids('conversation')[-5:]}"
    for patch, change in (
        ({"contact": {"avatar_url": None}}, {"contact": {"display_name": "Ada"}}),
        ({"contact": {"display_name": None}}, {"contact": {"display_name": default}}),
        ({"tags": {ids("tag"): None}}, {"tags": {}}),
        ({"state": None}, {"state": None}),
        ({"user_data": None}, {"user_data": None}),
    ):
        ingest(rest, metadata("conversation", ids("conversation"), **patch))
        everything = {key: value for key, value in (everything | change).items() if value is not None}
        assert info(rest, ids)["metadata"] == everything | {"unread_count": 1}


def test_changes_of_agents_and_events_are_one_state(rest: Rest, ids: Ids) -> None:
    ingest(rest, message(ids, "conversation", 1), metadata("conversation", ids("conversation"), state="OPEN"))
    tell(rest, "/conversations.updateContact", {"conversation_id": ids("conversation"), "display_name": "Ada"})
    ingest(rest, metadata("conversation", ids("conversation"), contact={"avatar_url": "a"}, state="CLOSED"))
    found = info(rest, ids)["metadata"]
    assert (found["contact"], found["state"]) == ({"display_name": "Ada", "avatar_url": "a"}, "CLOSED")
    assert ids_of(page(rest, f"{ids.own} AND display_name:ada AND state:closed")) == [ids("conversation")]
    tell(rest, "/conversations.removeState", {"conversation_id": ids("conversation")})
    assert ids_of(page(rest, f"{ids.own} AND NOT state:*")) == [ids("conversation")]


@pytest.mark.parametrize(
    ("source", "name"),
    [("facebook", "Facebook 97622"), ("twilio.sms", "Sms 97622"), ("twilio.whatsapp", "Whatsapp 97622")],
)
def test_a_contact_without_a_name_is_called_by_its_source(rest: Rest, ids: Ids, source: str, name: str) -> None:
    id = ids("conversation")[:-5] + "97622"
    ingest(rest, message(ids, "conversation", 1, conversation_id=id, source=source))
    assert ask(rest, "/conversations.info", {"conversation_id": id})["metadata"]["contact"] == {"display_name": name}
    assert ids_of(page(rest, f'{ids.own} AND display_name:"{name.lower()}"')) == [id]


def test_ids_are_read_in_any_case_and_shown_in_lower_case(rest: Rest, ids: Ids) -> None:
    event = message(ids, "conversation", 1)["message"]
    for name in ("id", "conversation_id", "channel_id"):
        event[name] = event[name].upper()
    ingest(
        rest,
        {"message": event},
        {"channel": {"id": ids("channel").upper(), "source": "facebook", "connected": True}},
        {"tag": {"id": ids("tag").upper(), "name": "Urgent", "color": "tag-red"}},
        metadata("conversation", ids("conversation").upper(), tags={ids("tag").upper(): ""}),
        metadata("message", ids("message 1").upper(), a=1),
        {"read_receipt": {"conversation_id": ids("conversation").upper(), "read_at": at(0)}},
    )
    upper = {"conversation_id": ids("conversation").upper()}
    found = ask(rest, "/conversations.info", upper)
    assert (found["id"], found["channel"]["id"]) == (ids("conversation"), ids("channel"))
    assert found["last_message"]["id"] == ids("message 1")
    assert (found["channel"]["connected"], found["metadata"]["unread_count"]) == (True, 0)
    assert found["metadata"]["tags"] == {ids("tag"): ""}
    assert ids_of(ask(rest, "/messages.list", upper)) == [ids("message 1")]
    for verb, more in (("tag", {"tag_id": ids("tag").upper()}), ("setState", {"state": "OPEN"}), ("read", {})):
        tell(rest, f"/conversations.{verb}", upper | more)
    assert ask(rest, "/channels.info", {"channel_id": ids("channel").upper()})["id"] == ids("channel")
    for filters in (f"id:{ids('conversation').upper()}", f"channel_id:{ids('channel').upper()}"):
        assert ids_of(page(rest, filters)) == [ids("conversation")]


def test_lists_of_tags_and_channels_have_an_order(rest: Rest) -> None:
    tags = [(tag["name"], tag["id"]) for tag in ask(rest, "/tags.list")["tags"]]
    channels = [(channel["source"], channel["id"]) for channel in ask(rest, "/channels.list")["data"]]
    assert tags == sorted(set(tags))
    assert channels == sorted(set(channels))
