"""Events as JSON text: each is read alone, whatever the others are, and an error names its field.

protobuf's own reader of JSON builds a whole request at once, rounds large integers without a word, and its errors speak
of protobuf.
"""

import itertools
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from conversations.errors import InvalidFieldError, MalformedRequestError
from conversations.v1.event_pb2 import Event

__all__ = ["MAX_EVENT_TEXT", "MAX_FREE_BYTES", "MAX_LEVELS", "parse_event", "read_events"]

MAX_EVENT_TEXT = 1024 * 1024
"""The longest text of an event, in characters."""

MAX_LEVELS = 20
"""How deep free data may be: deeper JSON would spoil every list that holds it."""

MAX_FREE_BYTES = 64 * 1024
"""How large one piece of free data may be, as protobuf: a page of 100 conversations has to fit into one answer."""

_MAX_SAFE_INTEGER = 2**53 - 1
_USUAL_TEXT = 16 * 1024
_MARKS_AT_ONCE = 2_000
# Brackets and strings that are passed in search of an event's end: one of MAX_EVENT_TEXT has no more.
_MAX_MARKS = MAX_EVENT_TEXT


def read_events(body: bytes, most: int) -> Iterator[Event | InvalidFieldError | None]:
    """Yield what each event of a request is, `{"events": [...]}`, or what is wrong with it; or None, for a pause.

    Args:
        body: JSON text in UTF-8. Nothing at all is a request without events.
        most: As many events as it may have.

    Raises:
        MalformedRequestError: It is not JSON of this form.
        InvalidFieldError: It has another field, or too many events.
    """
    return _Reader(body).events(most)


def parse_event(text: bytes) -> Event:
    """Return the event that a JSON text says.

    Raises:
        InvalidFieldError: It is not JSON, or not an event.
    """
    return _parse(_decoded(text))


# What is not UTF-8 becomes lone surrogates, so that it spoils the event that has it and no other.
def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


class _Reader:
    """A place in a body, which moves on. Its patterns are possessive: none tries anything twice."""

    _BLANK = re.compile(r"[ \t\r\n]*+")
    _STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
    _SCALAR = re.compile(r'[^,:\[\]{}" \t\r\n]++')
    _MARK = re.compile(r'[\[\]{}"]')

    def __init__(self, body: bytes) -> None:
        self._body = _decoded(body)
        self._at = 0

    def events(self, most: int) -> Iterator[Event | InvalidFieldError | None]:
        self._skip(self._BLANK)
        if self._at == len(self._body):
            return
        self._take("{", 'the body has to be an object, {"events": [...]}')
        seen = False
        while not self._takes("}"):
            if seen:
                self._take(",", "a comma or the end of the body is missing")
            name = self._name()
            if name != "events":
                raise InvalidFieldError.unknown(name, ["events"])
            if seen:
                raise InvalidFieldError("events", "is there twice")
            seen = True
            if not self._takes("null"):
                yield from self._items(most)
        if self._at != len(self._body):
            self._refuse("there is something behind the end of the body")

    def _items(self, most: int) -> Iterator[Event | InvalidFieldError | None]:
        if not self._takes("["):
            raise InvalidFieldError("events", "has to be an array")
        count = 0
        while not self._takes("]"):
            if count:
                self._take(",", "a comma or the end of the array is missing")
            if count == most:
                raise InvalidFieldError("events", f"may have {most} at most")
            count += 1
            yield from self._item()
            self._skip(self._BLANK)

    def _item(self) -> Iterator[Event | InvalidFieldError | None]:
        """Yield one event. Nearly all are read at once; only of a long or a wrong one the end is looked for first."""
        began = self._at
        value: Any = None
        try:
            value, end = _DECODER.raw_decode(self._body[began : began + _USUAL_TEXT])
            self._at = began + end
        except (ValueError, RecursionError):
            for _ in self._pass_value():
                yield None
        try:
            yield _event(value) if value is not None else _parse(self._body[began : self._at])
        except InvalidFieldError as error:
            yield error

    def _pass_value(self) -> Iterator[None]:
        """Move behind a value; yield now and then, for a pause."""
        expected: list[str] = []  # the brackets that close those that are open
        for count in itertools.count(1):
            mark = self._body[self._at : self._at + 1]
            if mark == '"':
                self._pass_string()
            elif mark and mark in "{[":
                expected.append("}" if mark == "{" else "]")
                self._at += 1
            elif expected and mark == expected[-1]:
                expected.pop()
                self._at += 1
            elif expected or not self._skip(self._SCALAR):
                self._refuse("a value or a bracket is missing")
            if not expected:
                return
            if count > _MAX_MARKS:
                self._refuse("an event has too many brackets and strings")
            found = self._MARK.search(self._body, self._at)
            self._at = found.start() if found else len(self._body)
            if count % _MARKS_AT_ONCE == 0:
                yield

    def _pass_string(self) -> None:
        end = self._body.find('"', self._at + 1)
        if end > 0 and self._body.find("\\", self._at + 1, end) < 0:
            self._at = end + 1
        elif not self._skip(self._STRING):
            self._refuse("a string has no end")

    def _name(self) -> str:
        began = self._at
        if not self._body.startswith('"', began):
            self._refuse("the name of a field is missing")
        self._pass_string()
        text = self._body[began : self._at]
        self._skip(self._BLANK)
        self._take(":", "a colon is missing")
        try:
            return str(json.loads(text))
        except ValueError:
            self._refuse("the name of a field cannot be read")

    def _skip(self, pattern: "re.Pattern[str]") -> bool:
        found = pattern.match(self._body, self._at)
        if found is None:
            return False
        self._at = found.end()
        return True

    def _takes(self, token: str) -> bool:
        """Move behind a token and blanks, if it is there."""
        if not self._body.startswith(token, self._at):
            return False
        self._at += len(token)
        self._skip(self._BLANK)
        return True

    def _take(self, token: str, otherwise: str) -> None:
        if not self._takes(token):
            self._refuse(otherwise)

    def _refuse(self, why: str) -> NoReturn:
        raise MalformedRequestError(f"not JSON: {why}, at character {self._at}")


def _parse(text: str) -> Event:
    if len(text) > MAX_EVENT_TEXT:
        raise InvalidFieldError("event", f"is too large: {MAX_EVENT_TEXT} characters at most")
    try:
        return _event(_DECODER.decode(text))
    except json.JSONDecodeError as error:
        raise InvalidFieldError("event", f"is not JSON: {_reason(error.msg)} at column {error.colno}") from None
    except RecursionError:
        raise InvalidFieldError("event", f"is nested too deep: {MAX_LEVELS} levels at most") from None


def _event(value: Any) -> Event:
    event = Event()
    if not isinstance(value, _Object):
        raise InvalidFieldError("event", "has to be an object")
    _fill(event, value, ())
    return event


# What Python's reader says, in other words.
_REASONS = {
    "Expecting value": "a value is missing",
    "Expecting ',' delimiter": "a comma or the end is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name": "the name of a field is missing",
    "Illegal trailing comma": "there is a comma before the end",
    "Unterminated string": "a string has no end",
    "Invalid control character": "a string has a control character",
    "Invalid \\escape": "a string has an escape that there is not",
    "Invalid \\uXXXX escape": "a string has an escape that there is not",
    "Extra data": "there is something behind its end",
}


def _reason(message: str) -> str:
    return next((ours for start, ours in _REASONS.items() if message.startswith(start)), "it cannot be read")


class _BadNumber(str):
    """A number that would not be kept as it is written."""


def _integer(text: str) -> int | _BadNumber:
    # By its length first: Python reads no number of thousands of digits.
    if len(text) > len("-9007199254740991") or abs(int(text)) > _MAX_SAFE_INTEGER:
        return _BadNumber(text)
    return int(text)


def _real(text: str) -> float | _BadNumber:
    number = float(text)
    if not math.isfinite(number) or (abs(number) > _MAX_SAFE_INTEGER and Decimal(text) != Decimal(repr(number))):
        return _BadNumber(text)
    return number


class _Object(dict[str, Any]):
    """An object, and a name in it that is there twice."""

    twice: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        made.twice = next(name for name in names if names.count(name) > 1)
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_BadNumber)


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
            _refuse(path or ("event",), f"has both {other} and {field.name}")
        if field.message_type is None:
            setattr(message, field.name, _scalar(field, value, here))
            continue
        if field.message_type is Value.DESCRIPTOR:
            _set_value(getattr(message, field.name), value, here, _Budget(here), 1)
            continue
        if not isinstance(value, _Object):
            _refuse(here, "has to be an object")
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
            _refuse(path, "has to be true or false")
        return value
    assert field.type == FieldDescriptor.TYPE_STRING, field.full_name
    if not isinstance(value, str) or isinstance(value, _BadNumber):
        _refuse(path, "has to be text")
    return _checked_text(value, path)


def _enum_number(enum: EnumDescriptor, value: Any, path: tuple[str, ...]) -> int:
    # The value zero stands for what is not given.
    names = {choice.name: choice.number for choice in enum.values if choice.number}
    if isinstance(value, str) and value.upper() in names:
        return names[value.upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value in names.values():
        return value
    *others, last = names
    return _refuse(path, f"has to be {', '.join(others)} or {last}")


class _Budget:
    """How much more a piece of free data may have. It is counted while it is built, so that it is never built whole."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path
        self._left = MAX_FREE_BYTES

    def spend(self, characters: int) -> None:
        # A value takes four bytes at the least.
        self._left -= 4 + characters
        if self._left < 0:
            _refuse(self._path, f"is too large: {MAX_FREE_BYTES} bytes at most")


def _fill_struct(struct: Struct, values: _Object, path: tuple[str, ...], budget: _Budget, level: int) -> None:
    _check_names(values, path)
    for name, value in values.items():
        budget.spend(len(_checked_text(name, path)))
        _set_value(struct.fields[name], value, (*path, name), budget, level)


def _set_value(message: Any, value: Any, path: tuple[str, ...], budget: _Budget, level: int) -> None:
    """Set a google.protobuf.Value to what JSON has."""
    if level > MAX_LEVELS + 1:
        _refuse(path[:2], f"is nested too deep: {MAX_LEVELS} levels at most")
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
            _refuse(path, "is not UTF-8" if is_byte else "has a lone surrogate, which is no character")
    return text


def _check_names(values: _Object, path: tuple[str, ...]) -> None:
    if values.twice is not None:
        _refuse((*path, values.twice), "is there twice")


@cache
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Return the fields of a message by the names that JSON may use for them."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def _refuse(path: tuple[str, ...], why: str) -> NoReturn:
    raise InvalidFieldError(".".join(path), why)
