"""The JSON text of one event, or of a request, in which the end of each event has to be found."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from conversations.errors import InvalidFieldError, MalformedRequestError
from conversations.event_json.messages import DECODER, MAX_LEVELS, to_event
from conversations.v1.event_pb2 import Event

__all__ = ["MAX_EVENT_TEXT", "parse_event", "read_events"]

MAX_EVENT_TEXT = 1024 * 1024
"""Maximum text of an event, in characters."""

_USUAL_LENGTH = 16 * 1024
_MARKS_AT_ONCE = 2_000
# Brackets and strings skipped in search of an event's end: an event of MAX_EVENT_TEXT cannot have more.
_MAX_MARKS = MAX_EVENT_TEXT


def read_events(body: bytes, max_events: int) -> Iterator[Event | InvalidFieldError | None]:
    """Yield each event of a request, `{"events": [...]}`, or its error; or None, for a pause.

    Args:
        body: JSON text in UTF-8. An empty body is a request without events.
        max_events: How many events it may have.

    Raises:
        MalformedRequestError: It isn't JSON of this form.
        InvalidFieldError: It has another field, or too many events.
    """
    return _Reader(body).events(max_events)


def parse_event(text: bytes) -> Event:
    """Return the event of a JSON text.

    Raises:
        InvalidFieldError: It isn't JSON, or not an event.
    """
    return _parse(_decoded(text))


# Invalid UTF-8 becomes lone surrogates, so that only the event that has it is invalid.
def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


class _Reader:
    """A cursor in a body. Its patterns are possessive: none backtracks."""

    _BLANK = re.compile(r"[ \t\r\n]*+")
    _STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
    _SCALAR = re.compile(r'[^,:\[\]{}" \t\r\n]++')
    _MARK = re.compile(r'[\[\]{}"]')

    def __init__(self, body: bytes) -> None:
        self._body = _decoded(body)
        self._at = 0

    def events(self, max_events: int) -> Iterator[Event | InvalidFieldError | None]:
        self._skip(self._BLANK)
        if self._at == len(self._body):
            return
        self._expect("{", 'the body has to be an object, {"events": [...]}')
        seen = False
        while not self._accept("}"):
            if seen:
                self._expect(",", "a comma or the end of the body is missing")
            name = self._name()
            if name != "events":
                raise InvalidFieldError.unknown(name, ["events"])
            if seen:
                raise InvalidFieldError("events", "occurs twice")
            seen = True
            if not self._accept("null"):
                yield from self._items(max_events)
        if self._at != len(self._body):
            self._fail("there is text after the end of the body")

    def _items(self, max_events: int) -> Iterator[Event | InvalidFieldError | None]:
        if not self._accept("["):
            raise InvalidFieldError("events", "has to be an array")
        count = 0
        while not self._accept("]"):
            if count:
                self._expect(",", "a comma or the end of the array is missing")
            if count == max_events:
                raise InvalidFieldError("events", f"may have at most {max_events} items")
            count += 1
            yield from self._item()
            self._skip(self._BLANK)

    def _item(self) -> Iterator[Event | InvalidFieldError | None]:
        """Yield one event. Nearly all are decoded at once; for a long or an invalid one the end is found first."""
        began = self._at
        value: Any = None
        try:
            value, end = DECODER.raw_decode(self._body[began : began + _USUAL_LENGTH])
            self._at = began + end
        except (ValueError, RecursionError):
            for _ in self._skip_value():
                yield None
        try:
            yield to_event(value) if value is not None else _parse(self._body[began : self._at])
        except InvalidFieldError as error:
            yield error

    def _skip_value(self) -> Iterator[None]:
        """Skip a value; yield now and then, for a pause."""
        expected: list[str] = []  # the closing brackets of the open ones
        for count in itertools.count(1):
            mark = self._body[self._at : self._at + 1]
            if mark == '"':
                self._skip_string()
            elif mark and mark in "{[":
                expected.append("}" if mark == "{" else "]")
                self._at += 1
            elif expected and mark == expected[-1]:
                expected.pop()
                self._at += 1
            elif expected or not self._skip(self._SCALAR):
                self._fail("a value or a bracket is missing")
            if not expected:
                return
            if count > _MAX_MARKS:
                self._fail("an event has too many brackets and strings")
            found = self._MARK.search(self._body, self._at)
            self._at = found.start() if found else len(self._body)
            if count % _MARKS_AT_ONCE == 0:
                yield

    def _skip_string(self) -> None:
        end = self._body.find('"', self._at + 1)
        if end > 0 and self._body.find("\\", self._at + 1, end) < 0:
            self._at = end + 1
        elif not self._skip(self._STRING):
            self._fail("a string has no end")

    def _name(self) -> str:
        began = self._at
        if not self._body.startswith('"', began):
            self._fail("the name of a field is missing")
        self._skip_string()
        text = self._body[began : self._at]
        self._skip(self._BLANK)
        self._expect(":", "a colon is missing")
        try:
            return str(json.loads(text))
        except ValueError:
            self._fail("the name of a field cannot be read")

    def _skip(self, pattern: "re.Pattern[str]") -> bool:
        found = pattern.match(self._body, self._at)
        if found is None:
            return False
        self._at = found.end()
        return True

    def _accept(self, token: str) -> bool:
        """Skip a token and the blanks after it, if it is there; return whether it was."""
        if not self._body.startswith(token, self._at):
            return False
        self._at += len(token)
        self._skip(self._BLANK)
        return True

    def _expect(self, token: str, otherwise: str) -> None:
        if not self._accept(token):
            self._fail(otherwise)

    def _fail(self, why: str) -> NoReturn:
        raise MalformedRequestError(f"not JSON: {why}, at character {self._at}")


def _parse(text: str) -> Event:
    if len(text) > MAX_EVENT_TEXT:
        raise InvalidFieldError("event", f"is too large: at most {MAX_EVENT_TEXT} characters")
    try:
        return to_event(DECODER.decode(text))
    except json.JSONDecodeError as error:
        raise InvalidFieldError("event", f"is not JSON: {_reason(error.msg)} at column {error.colno}") from None
    except RecursionError:
        raise InvalidFieldError("event", f"is nested too deeply: at most {MAX_LEVELS} levels") from None


# The messages of Python's parser, in our words.
_REASONS = {
    "Expecting value": "a value is missing",
    "Expecting ',' delimiter": "a comma or the end is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name": "the name of a field is missing",
    "Illegal trailing comma": "there is a comma before the end",
    "Unterminated string": "a string has no end",
    "Invalid control character": "a string has a control character",
    "Invalid \\escape": "a string has an unknown escape",
    "Invalid \\uXXXX escape": "a string has an unknown escape",
    "Extra data": "there is text after its end",
}


def _reason(message: str) -> str:
    return next((ours for start, ours in _REASONS.items() if message.startswith(start)), "it cannot be read")
