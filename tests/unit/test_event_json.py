"""Events as JSON: each is read alone, as protobuf reads them, and an error names its field."""

import json
import time
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from conversations.errors import InvalidFieldError, MalformedRequestError, ServiceError
from conversations.event_json import MAX_EVENT_TEXT, parse_event, read_events
from conversations.v1.event_pb2 import Event

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
MESSAGE = {
    "id": ID,
    "conversation_id": ID,
    "channel_id": ID,
    "sender": {"id": "fb:1", "name": "Ada"},
    "content": {"text": "Hello"},
    "from_contact": True,
    "delivery_state": "DELIVERED",
    "sent_at": "2019-01-07T09:01:44.000Z",
    "source": "facebook",
    "metadata": {},
}
EVENTS: list[dict[str, Any]] = [
    {"message": MESSAGE},
    {"message": {"sentAt": "x", "fromContact": False, "deliveryState": 2, "sender": None}},
    {"channel": {"id": ID, "source": "sms", "connected": True, "metadata": {"name": "Our page", "n": [1, None, {}]}}},
    {"tag": {"id": ID, "name": "Urgent \u00e9 \U0001f600", "color": "tag-red"}},
    {"metadata": {"subject": "conversation", "id": ID, "metadata": {"tags": {ID: ""}, "state": None, "a": [[], {}]}}},
    {"read_receipt": {"conversation_id": ID, "read_at": "2019-01-07T09:05:00.000Z"}},
    {"readReceipt": {}},
    {},
]


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def message(**fields: Any) -> bytes:
    return text({"message": fields})


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidFieldError) as caught:
        parse_event(data)
    return caught.value.message


def read(body: bytes, most: int = 1000) -> list[Event | str]:
    """Return the events of a body, and in the place of a wrong one what is wrong with it."""
    found = (item for item in read_events(body, most) if item is not None)
    return [item.message if isinstance(item, InvalidFieldError) else item for item in found]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: json.dumps(event)[:40])
def test_an_event_is_what_protobuf_reads(event: dict[str, Any]) -> None:
    assert parse_event(text(event)) == json_format.ParseDict(event, Event())


FREE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(FREE, st.dictionaries(st.text(max_size=8), FREE, max_size=4), st.booleans())
def test_free_data_is_what_protobuf_reads(content: Any, metadata: dict[str, Any], ascii: bool) -> None:
    event = {"message": {"content": content, "metadata": metadata}}
    data = json.dumps(event, ensure_ascii=ascii).encode()
    assert parse_event(data) == json_format.Parse(data, Event())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message(form_contact=True), "message.form_contact: is unknown; did you mean from_contact?"),
        (text({"mesage": {}}), "mesage: is unknown; did you mean message?"),
        (message(sender={"nmae": "x"}), "message.sender.nmae: is unknown; did you mean name?"),
        (
            text({"tag": {"zzz": 1}}),
            "tag.zzz: is unknown; there are id, name, color",
        ),
        (message(delivery_state="SENT"), "message.delivery_state: has to be PENDING, FAILED or DELIVERED"),
        (message(delivery_state=7), "message.delivery_state: has to be PENDING, FAILED or DELIVERED"),
        (message(delivery_state=True), "message.delivery_state: has to be PENDING, FAILED or DELIVERED"),
        (message(from_contact="true"), "message.from_contact: has to be true or false"),
        (message(id=5), "message.id: has to be text"),
        (message(id=2**60), "message.id: has to be text"),
        (message(sender="Ada"), "message.sender: has to be an object"),
        (message(content=[[1e400]]), "message.content: has a number that is not finite: Infinity"),
        (text({"message": {}, "tag": {}}), "event: has both message and tag"),
        (b'{"message": {"id": "a", "id": "b"}}', "message.id: occurs twice"),
        (b'{"message": {"content": {"a": {"b": 1, "b": 2}}}}', "message.content.a.b: occurs twice"),
        (
            message(content={"token": [4912661846655238145]}),
            "message.content.token: has a number that JSON parsers would round: 4912661846655238145; "
            "send it as a string",
        ),
        (
            message(content={"n": 9007199254740993.0}).replace(b"992.0", b"993.0"),
            "message.content.n: has a number that JSON parsers would round: 9007199254740993.0; send it as a string",
        ),
        (
            b'{"message": {"content": {"n": -9007199254740992}}}',
            "message.content.n: has a number that JSON parsers would round: -9007199254740992; send it as a string",
        ),
        (
            b'{"message": {"content": {"n": ' + b"9" * 5000 + b"}}}",
            "message.content.n: has a number that is not finite: 99999999999999999999...",
        ),
        (
            b'{"message": {"content": {"n": 1e400}}}',
            "message.content.n: has a number that is not finite: 1e400",
        ),
        (b'{"message": {"content": {"n": NaN}}}', "message.content.n: has a number that is not finite: NaN"),
        (b'{"message": {"id": "\\ud800"}}', "message.id: has a lone surrogate, which is not a character"),
        (
            b'{"message": {"content": {"\\udfff": 1}}}',
            "message.content: has a lone surrogate, which is not a character",
        ),
        (b'{"message": {"id": "\xff"}}', "message.id: is not UTF-8"),
        (b'{"message": {"content": {"a": "\xc3("}}}', "message.content.a: is not UTF-8"),
        (message(content={"a": ["x" * 1000] * 70}), "message.content: is too large: at most 65536 bytes"),
        (message(content={"a": [0] * 20_000}), "message.content: is too large: at most 65536 bytes"),
        (
            b'{"message": {"content": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}}",
            "message.content: is nested too deeply: at most 20 levels",
        ),
        (b"[" * 5000 + b"]" * 5000, "event: is nested too deeply: at most 20 levels"),
        (b'"message"', "event: has to be an object"),
        (b"null", "event: has to be an object"),
        (b"", "event: is not JSON: a value is missing at column 1"),
        (b'{"message": {"id": "a",}}', "event: is not JSON: the name of a field is missing at column 24"),
        (b'{"message": {"id": a}}', "event: is not JSON: a value is missing at column 20"),
        (b'{"message" 1}', "event: is not JSON: a colon is missing at column 12"),
        (b'{"message": {} "tag": {}}', "event: is not JSON: a comma or the end is missing at column 16"),
        (b'{"message": {"id": "a\x01"}}', "event: is not JSON: a string has a control character at column 22"),
        (b'{"message": {"id": "\\x"}}', "event: is not JSON: a string has an unknown escape at column 21"),
        (b'{"message": {"id": "a', "event: is not JSON: a string has no end at column 20"),
        (b"{} {}", "event: is not JSON: there is text after its end at column 4"),
        (b'{"a": "' + b"x" * MAX_EVENT_TEXT + b'"}', f"event: is too large: at most {MAX_EVENT_TEXT} characters"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_wrong_event_is_named_with_its_field(data: bytes, reason: str) -> None:
    assert refusal(data) == reason
    # The same among others, which are taken.
    good = text(EVENTS[0])
    if data not in NO_VALUES:
        found = read(b'{"events": [' + good + b"," + data + b", " + good + b"]}")
        assert found == [parse_event(good), reason, parse_event(good)]


# Nobody can tell where they end.
NO_VALUES = (b"", b"{} {}", b'{"message": {"id": "a')


@pytest.mark.parametrize("number", ["0", "-0", "1e15", "1e16", "1e300", "9007199254740991", "-9007199254740991", "0.1"])
def test_numbers_that_stay_as_they_are_are_taken(number: str) -> None:
    data = b'{"message": {"content": {"n": ' + number.encode() + b"}}}"
    assert parse_event(data).message.content.struct_value["n"] == float(number)


@pytest.mark.parametrize(
    "body",
    [
        b'{"events": [%s, %s]}',
        b' {\n"events"\t: [ %s\r\n , %s ] } \n',
        b'{"\\u0065vents":[%s,%s]}',
    ],
)
def test_a_body_has_events(body: bytes) -> None:
    first, second = text(EVENTS[0]), text(EVENTS[3])
    assert read(body % (first, second)) == [parse_event(first), parse_event(second)]


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"events": []}', b'{"events": null}', b'{"events" : [ ] } '])
def test_a_body_may_have_none(body: bytes) -> None:
    assert read(body) == []


@given(st.lists(st.sampled_from([*EVENTS, 1, None, "x", [], {"a": 1}, {"message": {"id": "x" * 20_000}}]), max_size=8))
def test_each_event_stands_in_its_place(events: list[Any]) -> None:
    found = read(text({"events": events}))
    assert len(found) == len(events)
    for event, one in zip(events, found, strict=True):
        assert isinstance(one, Event) == (event in EVENTS or (isinstance(event, dict) and "message" in event))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"null", 'not JSON: the body has to be an object, {"events": [...]}, at character 0'),
        (b"[]", 'not JSON: the body has to be an object, {"events": [...]}, at character 0'),
        (b'{"events": [{}', "not JSON: a comma or the end of the array is missing, at character 14"),
        (b'{"events": [{},]}', "not JSON: a value or a bracket is missing, at character 15"),
        (b'{"events": [{} {}]}', "not JSON: a comma or the end of the array is missing, at character 15"),
        (b'{"events": [{]}', "not JSON: a value or a bracket is missing, at character 13"),
        (b'{"events": ["abc]}', "not JSON: a string has no end, at character 12"),
        (b'{"events": []', "not JSON: a comma or the end of the body is missing, at character 13"),
        (b'{"events": []}{}', "not JSON: there is text after the end of the body, at character 14"),
        (b'{"events" []}', "not JSON: a colon is missing, at character 10"),
        (b"{events: []}", "not JSON: the name of a field is missing, at character 1"),
        (b'{"events": [], "events": []}', "events: occurs twice"),
        (b'{"event": []}', "event: is unknown; did you mean events?"),
        (b'{"events": {}}', "events: has to be an array"),
        (b'{"events": [{},{},{}]}', "events: may have at most 2 items"),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read(body, 2)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"[" * levels + b"]" * levels, "event: is nested too deeply: at most 20 levels")
        for levels in (1_000, 10_001, 100_000, 500_000)
    ]
    + [
        (b'{"a":' * 120_000 + b"1" + b"}" * 120_000, "event: is nested too deeply: at most 20 levels"),
        (b"[" + b'"",' * 300_000 + b"1]", "event: has to be an object"),
    ],
    ids=["1000 levels", "10001 levels", "100000 levels", "500000 levels", "objects", "many strings"],
)
def test_whatever_an_event_is_the_others_are_read(event: bytes, reason: str) -> None:
    good = text(EVENTS[0])
    before, found, behind = read(b'{"events":[%s,%s,%s]}' % (good, event, good))
    assert before == behind == parse_event(good)
    assert found == reason


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:ens\\ 01', max_size=40).map(str.encode))
def test_no_body_makes_it_fail_in_another_way(body: bytes) -> None:
    for data in (body, b'{"events": [' + body + b"]}", b'{"events": [{"message": ' + body + b"}]}"):
        try:
            read(data)
        except (MalformedRequestError, InvalidFieldError):
            continue


@pytest.mark.parametrize(
    "body",
    [
        b'{"events":[' + b"{}," * 2_600_000 + b"{}]}",
        b'{"events":[{"a":[' + b"0," * 4_000_000 + b"0]}]}",
        b'{"events":[' + b"[" * 8_000_000,
        b'{"events":["' + b"a" * 8_000_000,
        b'{"events":["' + b"\\n" * 4_000_000,
        b'{"events":["' + b'\\"' * 4_000_000,
        b'{"events":[[' + b'"",' * 2_600_000 + b"1]]}",
        b'{"events":[' + b" " * 8_000_000,
    ],
    ids=["empty events", "zeros", "brackets", "a string", "escapes", "quotation marks", "empty strings", "blanks"],
)
def test_large_bodies_take_little_time_in_small_steps(body: bytes) -> None:
    began = last = time.process_time()
    longest = 0.0
    try:
        for _ in read_events(body, 1000):
            longest, last = max(longest, time.process_time() - last), time.process_time()
    except ServiceError:
        pass
    assert max(longest, time.process_time() - last) < 0.4
    assert time.process_time() - began < 1.5
