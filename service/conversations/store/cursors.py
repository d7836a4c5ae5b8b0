"""Cursors: places in an order, as opaque strings bound to the list that they came from."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from conversations.errors import CursorError, CursorMismatchError

__all__ = [
    "BEFORE_ALL_MS",
    "MAX_OFFSET",
    "Cursor",
    "Direction",
    "cursors_of_empty_page",
    "decode_cursor",
    "encode_cursor",
]

MAX_OFFSET = 100_000
"""The largest offset that a cursor may be."""

BEFORE_ALL_MS = "-999999999999999"
"""A time older than any other."""

Direction = Literal["older", "newer"]
_DIGEST_BYTES = 9
# The digests detect damage, not malice, so the pattern is strict: a cursor's content becomes part of a query.
_PAYLOAD = re.compile(rb"([on]) ((?:-?\d{1,15})?) ([0-9a-f-]{0,60})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place to continue from: after the item with this time and key, or after a number of items."""

    direction: Direction
    at_ms: str = ""
    """Time of the item, in milliseconds; empty at the newest."""
    key: str = ""
    """Distinguishes items with the same time."""
    offset: int = 0
    """Items to skip from the newest, for a cursor of digits only."""


def encode_cursor(scope: str, direction: Direction, at_ms: str, key: str) -> str:
    """Return a cursor for the list that `scope` describes."""
    payload = f"{direction[0]} {at_ms} {key}".encode()
    return _spell(_digest(scope.encode()) + _digest(payload) + payload)


def cursors_of_empty_page(scope: str, cursor: Cursor, behind: int) -> tuple[str, str]:
    """Return previous and next cursor of an empty page, with `behind` items on the other side of its cursor."""
    if not behind:
        return "", ""
    if cursor.direction == "older":
        return encode_cursor(scope, "newer", BEFORE_ALL_MS, ""), ""
    return "", encode_cursor(scope, "older", "", "")


def decode_cursor(scope: str, text: str) -> Cursor:
    """Return a cursor from its text.

    Raises:
        CursorError: It is damaged, or an offset above MAX_OFFSET.
        CursorMismatchError: It belongs to another list.
    """
    if not text:
        return Cursor("older")
    if text.isascii() and text.isdigit():
        if len(text) > len(str(MAX_OFFSET)) or int(text) > MAX_OFFSET:
            raise CursorError("cursor", f"an offset may be {MAX_OFFSET} at most; follow next_cursor instead")
        return Cursor("older", offset=int(text))
    try:
        raw = urlsafe_b64decode(text[1:] + "=" * (-(len(text) - 1) % 4)) if text[0] == "c" else b""
    except ValueError:
        raw = b""
    payload = raw[2 * _DIGEST_BYTES :]
    match = _PAYLOAD.fullmatch(payload)
    if match is None or raw[_DIGEST_BYTES : 2 * _DIGEST_BYTES] != _digest(payload) or _spell(raw) != text:
        raise CursorError("cursor", "is damaged; use next_cursor or previous_cursor exactly as returned")
    if raw[:_DIGEST_BYTES] != _digest(scope.encode()):
        raise CursorMismatchError("cursor", "belongs to another list; leave it out to start anew")
    direction, at_ms, key = (part.decode() for part in match.groups())
    return Cursor("older" if direction == "o" else "newer", at_ms, key)


def _spell(raw: bytes) -> str:
    """Return the canonical text of a cursor's bytes: base64 decodes others to the same bytes.

    The first character keeps it from being digits only, which would be an offset.
    """
    return "c" + urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
