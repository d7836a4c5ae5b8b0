"""A damaged record in Redis never takes a list away from those who read JSON through Envoy."""

from collections.abc import Callable
from uuid import UUID

import redis
from tests.conftest import Stack
from tests.rest import Rest

RunUp = Callable[..., Stack]


def id_of(number: int) -> str:
    return str(UUID(int=number))


def field(number: int, data: bytes) -> bytes:
    """A short length-delimited protobuf field."""
    assert len(data) < 128
    return bytes([8 * number + 2, len(data)]) + data


TIME = field(3, b"2019-01-07T09:01:44.000Z")
METADATA = field(4, field(1, field(1, b"Ada")))


def tail(content: bytes) -> bytes:
    """What is stored of an answer, with the content of its message."""
    return TIME + METADATA + field(5, field(1, id_of(1).encode()) + field(2, field(5, content)))


TAILS = {
    "nothing": b"",
    "junk": b"junk",
    "sound": tail(field(1, field(1, b"k") + field(2, b"\x20\x01"))),
    "cut": tail(b"")[:-1],
    "not UTF-8": tail(field(1, field(1, b"\xff") + field(2, b"\x20\x01"))),
    "a field twice": TIME + tail(b""),
    "not a number": tail(field(1, field(1, b"k") + field(2, b"\x11" + bytes(6) + b"\xf8\x7f"))),
    # Envoy 1.40 ends with a segmentation fault at these.
    "an entry without a value": tail(field(1, field(1, b"k"))),
    "an entry without a key": tail(field(1, field(2, b"\x20\x01"))),
}


def test_lists_go_on_without_what_is_damaged(run_up: RunUp) -> None:
    stack = run_up()
    events = [
        {
            "message": {
                "id": id_of(number),
                "conversation_id": id_of(number),
                "channel_id": id_of(9),
                "content": {"text": "Hello"},
                "from_contact": True,
                "sent_at": f"2019-01-07T09:01:4{number}.000Z",
                "source": "facebook",
            }
        }
        for number in (1, 2, 3)
    ]
    url = stack.redis_url
    with Rest(stack.http_url) as rest, redis.Redis.from_url(url) as client:
        assert rest.post("/events.ingest", {"events": events}).json["accepted"] == 3
        for what, bad in TAILS.items():
            client.hset(f"conversation:{{0}}:{id_of(2)}", "tail", bad)
            for filters in ("", "source:facebook"):
                listed = rest.post("/conversations.list", {"filters": filters})
                assert listed.status == 200, what
                shown = [3, 2, 1] if what == "sound" else [3, 1]
                assert [one["id"] for one in listed.json["data"]] == [id_of(n) for n in shown], what
            answer = rest.post("/conversations.info", {"conversation_id": id_of(2)})
            if what == "sound":
                assert answer.json["last_message"]["content"] == {"k": True}
            else:
                assert (answer.status, answer.json["code"]) == (500, 15), what
                assert answer.json["details"][0]["reason"] == "DAMAGED_RECORD"
        client.hset(f"conversation:{{0}}:{id_of(2)}", "tail", "junk")
        answer = rest.post("/events.ingest", {"events": [events[1], events[2], events[1]]})
        assert answer.json["accepted"] == 1
        assert [(one["index"], one["code"]) for one in answer.json["rejected"]] == [(0, "DATA_LOSS"), (2, "DATA_LOSS")]
