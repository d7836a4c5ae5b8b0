"""Checks that all servicers share; functions return values as the store takes them."""

import math
import re
from typing import Final

from google.protobuf.struct_pb2 import Struct, Value

from conversations import terms
from conversations.errors import InvalidFieldError
from conversations.event_json import MAX_FREE_BYTES, MAX_LEVELS
from conversations.times import parse_time

__all__ = [
    "check_free_data",
    "check_name",
    "check_text",
    "read_color",
    "read_id",
    "read_page_size",
    "read_source",
    "read_time",
]

MAX_TEXT: Final = 2048
"""Maximum characters of a text outside free-form data: an address, a sender's name."""

_DEFAULT_PAGE_SIZE = 20
_MAX_PAGE_SIZE = 100
_COLORS = ("tag-red", "tag-blue", "tag-green", "tag-purple")
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SOURCE = re.compile("[!-~]{1,64}")


def read_id(value: str, field: str) -> str:
    """Return a UUID in lower case.

    Raises:
        InvalidFieldError: It is missing, or not 32 hexadecimal digits in five groups.
    """
    id = value.lower()
    if _UUID.fullmatch(id) is None:
        raise InvalidFieldError(field, "is missing" if not value else "has to be a UUID, 8-4-4-4-12 hexadecimal digits")
    return id


def read_page_size(value: int) -> int:
    """Return the page size: 20 for 0, 100 for more than that."""
    if value < 0:
        raise InvalidFieldError("page_size", "must not be negative")
    return min(value or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)


def check_name(value: str, field: str, max_length: int) -> None:
    """Refuse a blank name, or one that is too long."""
    if terms.is_blank(value):
        raise InvalidFieldError(field, "must not be blank")
    if len(value) > max_length:
        raise InvalidFieldError(field, f"may have at most {max_length} characters")


def check_text(value: str, field: str) -> None:
    """Refuse a text that is too long."""
    if len(value) > MAX_TEXT:
        raise InvalidFieldError(field, f"may have at most {MAX_TEXT} characters")


def read_color(value: str, field: str) -> str:
    """Return a tag's color."""
    if value not in _COLORS:
        raise InvalidFieldError(field, "has to be one of " + ", ".join(_COLORS))
    return value


def read_time(value: str, field: str) -> int:
    """Return a time in milliseconds since 1970 UTC."""
    try:
        return parse_time(value)
    except ValueError as error:
        description = "is missing" if not value else f"{error}; an example: 2019-01-07T09:01:44.000Z"
        raise InvalidFieldError(field, description) from error


def read_source(value: str, field: str) -> str:
    """Return the name of a source."""
    if _SOURCE.fullmatch(value) is None:
        description = "is missing" if not value else "has to be 1 to 64 visible ASCII characters"
        raise InvalidFieldError(field, description)
    return value


def check_free_data(data: Struct | Value, field: str, level: int = 1) -> None:
    """Refuse free-form data that is too large, is nested too deeply or has a number that JSON does not have.

    Args:
        data: The data.
        field: Its name in the error.
        level: The level of its own keys.
    """
    if data.ByteSize() > MAX_FREE_BYTES:
        raise InvalidFieldError(field, f"is too large: at most {MAX_FREE_BYTES} bytes")
    if isinstance(data, Value):
        _check_value(data, field, level - 1)
    else:
        _check_fields(data, field, level)


def _check_fields(struct: Struct, field: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise InvalidFieldError(field, f"is nested too deeply: at most {MAX_LEVELS} levels")
    for value in struct.fields.values():
        _check_value(value, field, level)


def _check_value(value: Value, field: str, level: int) -> None:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        if not math.isfinite(value.number_value):
            raise InvalidFieldError(field, "has a number that is not finite")
    elif kind == "struct_value":
        _check_fields(value.struct_value, field, level + 1)
    elif kind == "list_value":
        if level >= MAX_LEVELS:
            raise InvalidFieldError(field, f"is nested too deeply: at most {MAX_LEVELS} levels")
        for item in value.list_value.values:
            _check_value(item, field, level + 1)
    elif kind is None:
        raise InvalidFieldError(field, "has a value without a kind")
