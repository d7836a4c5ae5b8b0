"""Requests of every method, from the descriptors of the protos, in JSON and protobuf: right at first, then spoiled."""

import base64
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tests.faults.fuzz.filters import random_filter
from tests.faults.fuzz.texts import digits, odd_number, odd_text, random_bytes, spoiled, words

from conversations.edge import rest_routes
from conversations.v1 import (
    channel_service_pb2,
    conversation_service_pb2,
    filter_service_pb2,
    health_service_pb2,
    ingest_service_pb2,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
)
from conversations.v1.event_pb2 import Event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest

__all__ = ["CHANNEL", "CONVERSATIONS", "METHODS", "ROUTES", "SOURCE", "Route", "json_request", "wire_request"]

CONVERSATIONS = tuple(str(uuid5(NAMESPACE_URL, f"malformed {number}")) for number in range(8))
"""The only conversations that requests may change, so that those of others stay as they are."""
CHANNEL = str(uuid5(NAMESPACE_URL, "malformed channel"))
SOURCE = "malformed"
_MESSAGES = tuple(str(uuid5(NAMESPACE_URL, f"malformed message {number}")) for number in range(32))
_TAGS = tuple(str(uuid5(NAMESPACE_URL, f"malformed tag {number}")) for number in range(8))
_FILES = (
    channel_service_pb2,
    conversation_service_pb2,
    filter_service_pb2,
    health_service_pb2,
    ingest_service_pb2,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
)
_STRUCT = "google.protobuf.Struct"
_VALUE = "google.protobuf.Value"
_VARINT, _FIXED64, _BYTES, _START, _END, _FIXED32 = range(6)
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Route:
    """A path of JSON."""

    path: str
    verb: str
    request: Descriptor


def _methods() -> dict[str, Descriptor]:
    return {
        f"/{service.full_name}/{method.name}": method.input_type
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


METHODS = _methods()
"""The paths of gRPC, and what their requests are."""


def _routes() -> Iterator[Route]:
    for route in rest_routes():
        service, _, method = route.method.rpartition(".")
        request: Any = METHODS[f"/{service}/{method}"]
        if method == "IngestJson":
            # The pieces of its stream are the JSON of this.
            request = IngestEventsRequest.DESCRIPTOR
        yield Route(route.path, route.verb, request)


ROUTES = tuple(_routes())


# Requests that are right


def _valid(rng: Random, message: Descriptor) -> Any:
    if message.full_name == _STRUCT:
        return _free(rng, 3)
    if message.full_name == _VALUE:
        return rng.choice((_free(rng, 3), "text", 5, None, [1, "x"]))
    fields = list(message.fields)
    if message is Event.DESCRIPTOR:
        fields = [rng.choice(fields)]
    return {field.name: _valid_field(rng, field) for field in fields if not field.has_presence or rng.random() < 0.7}


def _valid_field(rng: Random, field: FieldDescriptor) -> Any:
    if field.is_repeated:
        return [_valid_value(rng, field) for _ in range(rng.choice((0, 1, 1, 2, 4)))]
    return _valid_value(rng, field)


def _valid_value(rng: Random, field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return _valid(rng, field.message_type)
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).name
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return _valid_text(rng, field)
    return rng.choice((0, 1, 20, 100, rng.randint(-5, 200)))


def _valid_text(rng: Random, field: FieldDescriptor) -> str:
    match field.name:
        case "filters":
            return random_filter(rng)
        case "cursor":
            return _cursor(rng)
        case "conversation_id":
            return rng.choice(CONVERSATIONS)
        case "channel_id":
            return CHANNEL
        case "tag_id":
            return rng.choice(_TAGS)
        case "id":
            return rng.choice(_ids(field.containing_type.name if field.containing_type else ""))
        case "subject":
            return rng.choice(("conversation", "message", "channel"))
        case "color":
            return rng.choice(("tag-red", "tag-blue"))
        case "source":
            return SOURCE
        case "sent_at" | "read_at":
            return f"{rng.randint(1990, 2600)}-01-{rng.randint(10, 31)}T09:01:44.{rng.randrange(1000):03}Z"
    return words(rng)


@cache
def _ids(message: str) -> tuple[str, ...]:
    return {
        "Channel": (CHANNEL,),
        "Tag": _TAGS,
        "UpdateTagRequest": _TAGS,
        "DeleteTagRequest": _TAGS,
        "MessageEvent": _MESSAGES,
    }.get(message, (*CONVERSATIONS, _MESSAGES[0], CHANNEL))


def _cursor(rng: Random) -> str:
    match rng.randrange(5):
        case 0:
            return digits(rng)
        case 1:
            return "c" + base64.urlsafe_b64encode(random_bytes(rng, 80)).decode().rstrip("=")
        case 2:
            # The right shape, with digests that are not.
            payload = rng.choice((b"o 1719748800000 " + CONVERSATIONS[0].encode(), b"n  ", b"o -1 x", b"o 9e9 "))
            return "c" + base64.urlsafe_b64encode(rng.randbytes(18) + payload).decode().rstrip("=")
        case 3:
            return odd_text(rng)
    return ""


def _free(rng: Random, depth: int) -> dict[str, Any]:
    return {rng.choice(("a", "b", "erp", "c d", "0")): _free_value(rng, depth) for _ in range(rng.randint(0, 3))}


def _free_value(rng: Random, depth: int) -> Any:
    match rng.randrange(7):
        case 0 if depth:
            return _free(rng, depth - 1)
        case 1 if depth:
            return [_free_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        case 2:
            return rng.choice((1, 1.5, -3, 2**53 - 1, 1e16))
        case 3:
            return rng.choice((True, False, None))
    return words(rng)


# Requests that are not


class _Twin(str):
    """A key that equals no other, so that an object can hold it twice."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


# What JSON has no value for stands in it as a text until it is written.
_LITERALS = (
    "1e999", "-1e999", "0123", "1.", ".5", "+1", "0x10", "1e", "-", "- 1", "1e400", "9" * 500, "0." + "0" * 400 + "1",
    "TRUE", "undefined", "'a'", "/*c*/1", "nul", '"\\x41"', '"\\u12"', '"\\ud800"', '"\\udc00\\ud800"', '"\\', '"a',
    "[" * 40 + "]" * 40, "[" * 5000, "[" * 3000 + "]" * 3000, '{"a":' * 40 + "1" + "}" * 40, '{"a":' * 2000,
    '{"a":' * 101 + "1" + "}" * 101, "{", "}", "[1,]", "[,1]", '{"a":1,}', "{1:2}", "{a:1}", '{"a" 1}', '"\t"', '"\0"',
    "[1 2]", "NaN", "Infinity", "-Infinity", "\ufeff1", "1\u00a0", "\\u0031", "true false", "1,2", "#", "",
)  # fmt: skip
_LITERAL = re.compile(r'"@@(\d+)@@"')


def _odd_value(rng: Random) -> Any:
    match rng.randrange(9):
        case 0 | 1:
            return odd_text(rng)
        case 2 | 3:
            return odd_number(rng)
        case 4:
            return rng.choice((None, True, False, [], {}, [[]], [{}], [None], {"": None}, {"a": {}}))
        case 5:
            return {rng.choice(("a", "id", "value", odd_text(rng)[:60])): odd_text(rng)[:60]}
        case 6:
            return [_free_value(rng, 1) for _ in range(rng.choice((1, 3, 300)))]
    return f"@@{rng.randrange(len(_LITERALS))}@@"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def _mutate(rng: Random, request: dict[str, Any]) -> Any:
    """Change a request in one to three places."""
    whole: Any = request
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(whole))
        chance = rng.random()
        if not places or chance < 0.06:
            if isinstance(whole, dict):
                whole[odd_text(rng)[:40]] = _odd_value(rng)
            if rng.random() < 0.3:
                whole = rng.choice(([whole], _odd_value(rng), {"request": whole}))
            continue
        holder, key = rng.choice(places)
        if chance < 0.65:
            holder[key] = _odd_value(rng)
        elif chance < 0.72:
            del holder[key]
        elif chance < 0.78:
            holder[key] = rng.choice(([holder[key]], {"value": holder[key]}, [holder[key]] * 50, str(holder[key])))
        elif isinstance(holder, dict) and isinstance(key, str):
            name = rng.choice((_Twin(key), key.upper(), key + "x", key[:-1], key + "\0", key.replace("_", "")))
            holder[name] = _odd_value(rng) if rng.random() < 0.5 else holder[key]
    return whole


def json_request(rng: Random, request: Descriptor) -> bytes:
    """Return a request in JSON, nearly always malformed."""
    value = _mutate(rng, _valid(rng, request)) if rng.random() < 0.8 else _valid(rng, request)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if "@@" in text:
        text = _LITERAL.sub(lambda found: _LITERALS[int(found[1])], text)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        data = spoiled(rng, data)
    return data


def wire_request(rng: Random, request: Descriptor) -> bytes:
    """Return a request in protobuf, nearly always malformed."""
    value = _mutate(rng, _valid(rng, request)) if rng.random() < 0.6 else _valid(rng, request)
    data = _encoded(rng, request, value if isinstance(value, dict) else {})
    chance = rng.random()
    if chance < 0.3:
        data = spoiled(rng, data)
    elif chance < 0.5:
        data += _odd_field(rng, rng.randint(0, 12))
    return data


def _encoded(rng: Random, message: Descriptor, value: dict[Any, Any]) -> bytes:
    if message.full_name == _STRUCT:
        return _struct(value)
    fields = _fields(message)
    parts = []
    for name, item in value.items():
        field = fields.get(str(name))
        if field is None or rng.random() < 0.04:
            parts.append(_odd_field(rng, field.number if field else rng.randint(0, 40)))
            continue
        for one in item if isinstance(item, list) else (item,):
            parts.append(_field(rng, field, one))
    return b"".join(parts)


@cache
def _fields(message: Descriptor) -> dict[str, FieldDescriptor]:
    # protobuf's own mapping fails where a name cannot be encoded.
    return {field.name: field for field in message.fields}


def _field(rng: Random, field: FieldDescriptor, value: Any) -> bytes:
    if isinstance(value, dict) and field.message_type is not None:
        return _delimited(field.number, _encoded(rng, field.message_type, value))
    if isinstance(value, str) and field.enum_type is not None:
        numbers = [known.number for known in field.enum_type.values if known.name == value]
        value = rng.choice(numbers or (77, -1, 2**31, 2**63))
    match value:
        case str():
            return _delimited(field.number, value.encode("utf-8", "surrogatepass"))
        case bool() | int():
            return _varint(field.number << 3) + _varint(value & _MASK)
        case float():
            return _varint(field.number << 3 | _FIXED64) + struct.pack("<d", value)
        case dict():
            return _delimited(field.number, _struct(value))
    return b""


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def _delimited(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _struct(value: dict[Any, Any]) -> bytes:
    return b"".join(
        _delimited(1, _delimited(1, str(key).encode("utf-8", "surrogatepass")) + _delimited(2, _value(item)))
        for key, item in value.items()
    )


def _value(value: Any) -> bytes:
    match value:
        case None:
            return b"\x08\x00"
        case bool():
            return b"\x20" + bytes([value])
        case int() | float():
            try:
                return b"\x11" + struct.pack("<d", value)
            except (OverflowError, struct.error):  # more than a double holds
                return b"\x11" + struct.pack("<d", float("inf"))
        case str():
            return _delimited(3, value.encode("utf-8", "surrogatepass"))
        case dict():
            return _delimited(5, _struct(value))
        case list():
            return _delimited(6, b"".join(_delimited(1, _value(item)) for item in value))
    return b""


def _odd_field(rng: Random, number: int) -> bytes:
    match rng.randrange(12):
        case 0:
            return _varint(number << 3 | rng.randrange(8))
        case 1:
            return _varint(number << 3 | _BYTES) + _varint(rng.choice((5, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1)))
        case 2:
            return _varint(number << 3) + b"\xff" * rng.choice((9, 10, 11, 30)) + b"\x01"
        case 3:
            return _varint(number << 3 | _START) * rng.choice((1, 99, 101, 20_000)) + b"\x08\x01"
        case 4:
            return _varint(number << 3 | _START) + b"\x08\x01" + _varint((number + rng.randrange(2)) << 3 | _END)
        case 5:
            return _varint(number << 3 | _FIXED32) + random_bytes(rng, 4)
        case 6:
            return _varint(number << 3 | _FIXED64) + random_bytes(rng, 8)
        case 7:
            return _delimited(number, _nested(rng.choice((30, 100, 1000)), number))
        case 8:
            return _delimited(number, random_bytes(rng))
        case 9:
            return _delimited(number, odd_text(rng).encode("utf-8", "surrogatepass"))
        case 10:
            return _varint((2**29 - 1 + rng.randrange(3)) << 3) + b"\x01"
    return b"".join(_delimited(number, b"") for _ in range(rng.choice((1, 5, 2000))))


def _nested(depth: int, number: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = _delimited(number or 1, data)
    return data
