"""Stored records that are not as the service wrote them: logged and counted when found."""

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic
from typing import Any

from conversations.errors import DamagedRecordError, InvalidFieldError
from conversations.metrics import DAMAGED_RECORDS
from conversations.store.documents import is_document, load_json
from conversations.store.merge import JsonObject, is_changes

__all__ = [
    "checked",
    "damaged",
    "is_id",
    "read_changes",
    "read_count",
    "read_document",
    "read_object",
    "report_conversations",
    "report_damage",
]

logger = logging.getLogger(__name__)

# A record is named in the log once an hour, and at most so many records in an hour.
_SILENCE_SECONDS = 3600.0
_MAX_NAMED = 1000
_named: OrderedDict[tuple[str, str], float] = OrderedDict()


def report_damage(kind: str, id: str) -> None:
    """Count a damaged record, and name it in the log unless that was done lately."""
    DAMAGED_RECORDS.labels(kind).inc()
    now = monotonic()
    while _named and next(iter(_named.values())) < now - _SILENCE_SECONDS:
        _named.popitem(last=False)
    if (kind, id) in _named or len(_named) >= _MAX_NAMED:
        return
    _named[kind, id] = now
    # An id of a damaged set may be anything.
    logger.warning("the %s %s is damaged: run `conversations doctor`", kind, ascii(id[:100])[1:-1])


def report_conversations(ids: Iterable[bytes]) -> None:
    """Report conversations that a function skipped; their ids may be any bytes."""
    for id in ids:
        report_damage("conversation", id.decode(errors="backslashreplace"))


def damaged(kind: str, id: str) -> DamagedRecordError:
    """Report a damaged record, and return the error to raise for it."""
    report_damage(kind, id)
    return DamagedRecordError(kind, id)


_BOUNDS = {
    b"too many tags": ("tags", "a conversation has 1000 at most"),
    b"too many conversations": ("message.id", "100 conversations have a message with this id, which is the maximum"),
}


def checked(reply: Any) -> Any:
    """Return the reply of a function.

    Raises:
        DamagedRecordError: A record that the function needs is damaged.
        InvalidFieldError: A limit would be exceeded.
    """
    if isinstance(reply, list) and reply and reply[0] == b"damaged":
        raise damaged(reply[1].decode(), reply[2].decode(errors="backslashreplace"))
    if isinstance(reply, list) and len(reply) == 1 and isinstance(reply[0], bytes) and reply[0] in _BOUNDS:
        raise InvalidFieldError(*_BOUNDS[reply[0]])
    return reply


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Return whether a text is an id as the service writes it."""
    return _ID.fullmatch(text) is not None


def read_count(text: bytes) -> int | None:
    """Return a stored count; None if it isn't one, as in is_count of lua/lib/checks.lua."""
    # Python refuses to convert thousands of digits.
    return int(text) if len(text) < 11 and text.isdigit() else None


def read_object(kind: str, id: str, text: bytes) -> JsonObject:
    """Return the object in a stored JSON text; an empty text is an empty object.

    Raises:
        DamagedRecordError: It isn't an object.
    """
    try:
        return load_json(text)
    except ValueError:
        raise damaged(kind, id) from None


def read_document(id: str, text: bytes) -> JsonObject:
    """Return the stored metadata of a conversation.

    Raises:
        DamagedRecordError: It isn't valid metadata.
    """
    document = read_object("conversation", id, text)
    if not is_document(document):
        raise damaged("conversation", id)
    return document


def read_changes(kind: str, id: str, text: bytes) -> JsonObject:
    """Return the stored changes of a message's or a channel's metadata.

    Raises:
        DamagedRecordError: They aren't valid changes.
    """
    changes = read_object(kind, id, text)
    if not is_changes(changes):
        raise damaged(kind, id)
    return changes
