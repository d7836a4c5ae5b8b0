"""Parsed JSON values made into messages: nothing is rounded or skipped."""

import json
import math
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from conversations.errors import InvalidFieldError
from conversations.v1.event_pb2 import Event

__all__ = ["DECODER", "MAX_FREE_BYTES", "MAX_LEVELS", "to_event"]

MAX_LEVELS = 20
"""Maximum nesting of free-form data: deeper JSON would break every list that contains it."""

MAX_FREE_BYTES = 64 * 1024
"""Maximum size of one piece of free-form data, as protobuf: a page of 100 conversations has to fit in one response."""

_MAX_SAFE_INTEGER = 2**53 - 1


def to_event(value: Any) -> Event:
    """Return the event of a decoded value.

    Raises:
        InvalidFieldError: It isn't an event.
    """
    event = Event()
    if not isinstance(value, _Object):
        raise InvalidFieldError("event", "has to be an object")
    _fill(event, value, ())
    return event


class _BadNumber(str):
    """A number that would lose digits."""


def _integer(text: str) -> int | _BadNumber:
    # Length first: Python refuses to parse thousands of digits.
    if len(text) > len("-9007199254740991") or abs(int(text)) > _MAX_SAFE_INTEGER:
        return _BadNumber(text)
    return int(text)


def _real(text: str) -> float | _BadNumber:
    number = float(text)
    if not math.isfinite(number) or (abs(number) > _MAX_SAFE_INTEGER and Decimal(text) != Decimal(repr(number))):
        return _BadNumber(text)
    return number


class _Object(dict[str, Any]):
    """An object, with a name that occurs twice in it, if any."""

    duplicate: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        made.duplicate = next(name for name in names if names.count(name) > 1)
    return made


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_BadNumber)


def _fill(message: Message, values: _Object, path: tuple[str, ...]) -> None:
    """Set the fields of a message."""
    _check_names(values, path)
    fields = _fields(message.DESCRIPTOR)
    for name, value in values.items():
        field = fields.get(name)
        if field is None:
            known = [field.name for field in message.DESCRIPTOR.fields]
            raise InvalidFieldError.unknown(".".join((*path, name)), known)
        if value is None and field.message_type is not Value.DESCRIPTOR:
            continue
        here = (*path, field.name)
        oneof = field.containing_oneof
        if oneof is not None and (other := message.WhichOneof(oneof.name)) is not None:
            _fail(path or ("event",), f"has both {other} and {field.name}")
        if field.message_type is None:
            setattr(message, field.name, _scalar(field, value, here))
            continue
        if field.message_type is Value.DESCRIPTOR:
            _set_value(getattr(message, field.name), value, here, _Budget(here), 1)
            continue
        if not isinstance(value, _Object):
            _fail(here, "has to be an object")
        part = getattr(message, field.name)
        part.SetInParent()
        if isinstance(part, Struct):
            _fill_struct(part, value, here, _Budget(here), 1)
        else:
            _fill(part, value, here)


def _scalar(field: FieldDescriptor, value: Any, path: tuple[str, ...]) -> str | bool | int:
    if field.enum_type is not None:
        return _enum_number(field.enum_type, value, path)
    if field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            _fail(path, "has to be true or false")
        return value
    assert field.type == FieldDescriptor.TYPE_STRING, field.full_name
    if not isinstance(value, str) or isinstance(value, _BadNumber):
        _fail(path, "has to be text")
    return _checked_text(value, path)


def _enum_number(enum: EnumDescriptor, value: Any, path: tuple[str, ...]) -> int:
    # The value zero means unset.
    names = {choice.name: choice.number for choice in enum.values if choice.number}
    if isinstance(value, str) and value.upper() in names:
        return names[value.upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value in names.values():
        return value
    *others, last = names
    return _fail(path, f"has to be {', '.join(others)} or {last}")


class _Budget:
    """What is left of a piece of free-form data's size limit. It is counted while building, to stop early."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path
        self._left = MAX_FREE_BYTES

    def spend(self, characters: int) -> None:
        # A value takes at least four bytes.
        self._left -= 4 + characters
        if self._left < 0:
            _fail(self._path, f"is too large: at most {MAX_FREE_BYTES} bytes")


def _fill_struct(struct: Struct, values: _Object, path: tuple[str, ...], budget: _Budget, level: int) -> None:
    _check_names(values, path)
    for name, value in values.items():
        budget.spend(len(_checked_text(name, path)))
        _set_value(struct.fields[name], value, (*path, name), budget, level)


def _set_value(message: Any, value: Any, path: tuple[str, ...], budget: _Budget, level: int) -> None:
    """Set a google.protobuf.Value from JSON."""
    if level > MAX_LEVELS + 1:
        _fail(path[:2], f"is nested too deeply: at most {MAX_LEVELS} levels")
    match value:
        case None:
            message.null_value = 0
        case bool():
            message.bool_value = value
        case _BadNumber():
            raise _bad_number(value, path)
        case str():
            budget.spend(len(value))
            message.string_value = _checked_text(value, path)
        case int() | float():
            message.number_value = value
        case _Object():
            message.struct_value.SetInParent()
            _fill_struct(message.struct_value, value, path, budget, level + 1)
        case _:
            message.list_value.SetInParent()
            for item in value:
                budget.spend(0)
                _set_value(message.list_value.values.add(), item, path, budget, level + 1)


def _bad_number(text: str, path: tuple[str, ...]) -> InvalidFieldError:
    field = ".".join(path)
    if not math.isfinite(float(text)):
        shown = text if len(text) <= 40 else f"{text[:20]}..."
        return InvalidFieldError(field, f"has a number that is not finite: {shown}")
    return InvalidFieldError.rounded(field, text)


def _checked_text(text: str, path: tuple[str, ...]) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            is_byte = "\udc80" <= text[error.start] <= "\udcff"
            _fail(path, "is not UTF-8" if is_byte else "has a lone surrogate, which is not a character")
    return text


def _check_names(values: _Object, path: tuple[str, ...]) -> None:
    if values.duplicate is not None:
        _fail((*path, values.duplicate), "occurs twice")


@cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Return the fields of a message by their JSON names."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def _fail(path: tuple[str, ...], why: str) -> NoReturn:
    raise InvalidFieldError(".".join(path), why)
