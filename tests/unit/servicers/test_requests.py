"""What is checked in every request: the value as the store takes it, or what is wrong, word for word."""

import time
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value

from conversations.errors import InvalidFieldError
from conversations.event_json import MAX_FREE_BYTES
from conversations.servicers.requests import (
    check_free_data,
    check_name,
    read_color,
    read_id,
    read_page_size,
    read_source,
    read_time,
)
from conversations.times import now_ms

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"


def objects(levels: int) -> dict[str, Any]:
    """Return objects in objects, so many levels in all."""
    return {} if levels == 1 else {"a": objects(levels - 1)}


def lists(levels: int) -> list[Any]:
    return [] if levels == 1 else [lists(levels - 1)]


def struct(data: dict[str, Any]) -> Struct:
    return json_format.ParseDict(data, Struct())


def of_size(size: int) -> Struct:
    """Return free data of a size in bytes as protobuf."""
    data = struct({"a": ""})
    text = size - 3 * 4 - 1
    data["a"] = "x" * text
    data["a"] = "x" * (text - (data.ByteSize() - size))
    assert data.ByteSize() == size
    return data


@pytest.mark.parametrize("text", [ID, ID.upper(), "A688d36c-a85E-44af-bc02-4248c2c97622"])
def test_an_id_is_read_in_lower_case(text: str) -> None:
    assert read_id(text, "id") == ID


@pytest.mark.parametrize(
    "text",
    [
        "a688d36ca85e44afbc024248c2c97622",
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f" {ID}",
        f"{ID}\n",
        ID[:-1],
        ID + "0",
        "g" + ID[1:],
        "a688d36c-a85e-44af-bc0-24248c2c97622",
        "١" + ID[1:],
        "ａ" + ID[1:],
        "x",
    ],
)
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_id(text, "message.id")
    assert caught.value.message == "message.id: has to be a UUID, 8-4-4-4-12 hexadecimal digits"


def test_a_missing_id_is_told_apart() -> None:
    with pytest.raises(InvalidFieldError, match="^id: is missing$"):
        read_id("", "id")


@pytest.mark.parametrize(("asked", "size"), [(0, 20), (1, 1), (20, 20), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_page_sizes(asked: int, size: int) -> None:
    assert read_page_size(asked) == size


@pytest.mark.parametrize("asked", [-1, -(2**31)])
def test_a_negative_page_size_is_refused(asked: int) -> None:
    with pytest.raises(InvalidFieldError, match="^page_size: must not be negative$"):
        read_page_size(asked)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "\t\r\n\u2003\u3000", "\u00a0", "\u202f", "\u200b", "\ufeff", "\u2060", "\u00ad", "\u0085", "\x00"),
        *("\u3164", "\u2800", "\u115f", "\ufe0f", "\U000e0100", "\u200e \u00a0"),
        # Without a character yet, and never to be seen.
        *("\u2065", "\ufff0", "\U000e0000", "\U000e0fff"),
    ],
    ids=ascii,
)
def test_a_blank_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidFieldError, match="^display_name: must not be blank$"):
        check_name(name, "display_name", 5)


@pytest.mark.parametrize("name", ["x", "\u00a0x", ".", "é", "e\u0301", "\u0301", "😀", "\ue000", "\u200bя"], ids=ascii)
def test_a_name_that_can_be_seen_is_none_that_is_blank(name: str) -> None:
    check_name(name, "display_name", 5)


def test_a_long_name_is_refused_by_characters() -> None:
    check_name("é" * 5, "name", 5)
    with pytest.raises(InvalidFieldError, match="^name: may have at most 5 characters$"):
        check_name("x" * 6, "name", 5)


@pytest.mark.parametrize("color", ["tag-red", "tag-blue", "tag-green", "tag-purple"])
def test_colors(color: str) -> None:
    assert read_color(color, "color") == color


@pytest.mark.parametrize("color", ["", "red", "TAG-RED", "tag-red ", "tag-yellow"])
def test_another_color_is_refused(color: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_color(color, "tag.color")
    assert caught.value.message == "tag.color: has to be one of tag-red, tag-blue, tag-green, tag-purple"


def test_a_time_is_read_in_milliseconds() -> None:
    assert read_time("1970-01-01T00:00:01.5Z", "sent_at") == 1500


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("", "is missing"),
        ("yesterday", "not an RFC 3339 time; an example: 2019-01-07T09:01:44.000Z"),
        ("0001-01-01T00:00:00+01:00", "not a time in the years 1 to 9999 in UTC; an example: 2019-01-07T09:01:44.000Z"),
    ],
)
def test_what_is_no_time_is_refused(text: str, description: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_time(text, "message.sent_at")
    assert caught.value.message == f"message.sent_at: {description}"


@pytest.mark.parametrize("text", ["2019-13-07T09:01:44Z", "2019-01-07T25:01:44Z", "0000-01-01T00:00:00Z"])
def test_a_time_out_of_range_has_an_example_too(text: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_time(text, "at")
    assert caught.value.message.endswith("; an example: 2019-01-07T09:01:44.000Z")


@pytest.mark.parametrize("source", ["facebook", "twilio.sms", "X", ".", "a..b", "UPPER.Case", "!", "~", "x" * 64])
def test_sources(source: str) -> None:
    assert read_source(source, "source") == source


@pytest.mark.parametrize("source", [" ", "face book", "facebook\n", "x" * 65, "é", "\x7f", "\x00"])
def test_another_source_is_refused(source: str) -> None:
    with pytest.raises(InvalidFieldError, match="^source: has to be 1 to 64 visible ASCII characters$"):
        read_source(source, "source")


def test_a_missing_source_is_told_apart() -> None:
    with pytest.raises(InvalidFieldError, match="^source: is missing$"):
        read_source("", "source")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"a": None, "b": [], "c": {}, "d": -0.0, "e": 1e308},
        objects(20),
        {"a": lists(19)},
        objects(18) | {"b": [[{}]]},
    ],
    ids=["empty", "leaves", "20 objects", "an object and 19 lists", "several branches"],
)
def test_free_data_is_taken(data: dict[str, Any]) -> None:
    check_free_data(struct(data), "data")


@pytest.mark.parametrize(
    "data",
    [
        objects(21),
        {"a": lists(20)},
        {"a": 1, "b": [{"c": objects(18)}]},
        objects(30),
    ],
    ids=["21 objects", "an object and 20 lists", "mixed", "30 objects"],
)
def test_free_data_that_is_too_deep_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidFieldError, match="^data: is nested too deeply: at most 20 levels$"):
        check_free_data(struct(data), "data")


def test_free_data_that_is_too_large_is_refused() -> None:
    check_free_data(of_size(MAX_FREE_BYTES), "data")
    with pytest.raises(InvalidFieldError, match="^data: is too large: at most 65536 bytes$"):
        check_free_data(of_size(MAX_FREE_BYTES + 1), "data")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", ["top", "object", "list"])
def test_a_number_that_is_not_finite_is_refused(number: float, place: str) -> None:
    value = Value(number_value=number)
    data = Struct()
    if place == "top":
        data.fields["a"].CopyFrom(value)
    elif place == "object":
        data.fields["a"].struct_value.fields["b"].CopyFrom(value)
    else:
        data.fields["a"].list_value.values.append(value)
    with pytest.raises(InvalidFieldError, match="^data: has a number that is not finite$"):
        check_free_data(data, "data")


def test_a_value_of_no_kind_is_refused() -> None:
    """Protobuf can say it, JSON cannot: every list that holds it would fail to become JSON."""
    data = Struct()
    data.fields["a"].CopyFrom(Value())
    with pytest.raises(InvalidFieldError, match="^data: has a value without a kind$"):
        check_free_data(data, "data")
    inner = Struct()
    inner.fields["a"].list_value.values.append(Value())
    with pytest.raises(InvalidFieldError, match="^data: has a value without a kind$"):
        check_free_data(inner, "data")


def test_now_is_in_milliseconds() -> None:
    assert abs(now_ms() - time.time() * 1000) < 1000
