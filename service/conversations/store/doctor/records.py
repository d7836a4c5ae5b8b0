"""What single records should contain: pure checks of their bytes, without Redis."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from conversations.store.damage import is_id
from conversations.store.documents import (
    DocumentParts,
    channel_head,
    channel_metadata,
    document_parts,
    dump_document,
    dump_json,
    is_document,
    load_json,
    to_json,
)
from conversations.store.library import FACTS
from conversations.store.merge import JsonObject, apply_changes, is_changes
from conversations.store.validation import sound_channel, sound_message
from conversations.times import parse_time
from conversations.v1 import channel_pb2, conversation_pb2

__all__ = ["Change", "Facts", "channel_changes", "message_changes", "read_facts"]

Fields = Mapping[bytes, bytes]

_TIME = re.compile(rb"-?\d{1,15}")
_COUNT = re.compile(rb"\d{1,10}")
_KEYWORD = re.compile(rb"[!-~]+")
# As in lua/lib/message.lua.
_LINE = re.compile(rb"(-?\d{1,15}) (\d{10}) ([01]) ([0-9a-f-]{36}) ([!-~]{1,64})\n(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Change:
    """A wrong field of a hash, with old and new value; empty means absent."""

    kind: str
    """The kind of finding."""
    field: bytes
    old: bytes
    new: bytes


def message_changes(id: str, fields: Fields) -> Iterator[Change]:
    """Yield the wrong fields in the hash of a message."""
    version, changes = fields.get(b"version", b""), fields.get(b"changes", b"")
    for name, value in fields.items():
        if name in (b"version", b"changes"):
            continue
        line = _LINE.fullmatch(value) if is_id(name.decode(errors="replace")) else None
        message = sound_message(line[6], id) if line else None
        if line is None or message is None:
            yield Change("message", name, value, b"")
            continue
        try:
            sent_at = str(parse_time(message.sent_at)).encode()
        except ValueError:
            yield Change("message", name, value, b"")
            continue
        from_contact = b"1" if message.from_contact else b"0"
        facts = b"%b %b %b %b %b\n" % (sent_at, line[2], from_contact, line[4], message.source.encode())
        if value != facts + line[6]:
            yield Change("message facts", name, value, facts + line[6])
    if not version and not changes:
        return
    if not changes or not _are_changes(changes):
        yield from (Change("message changes", n, v, b"") for n, v in fields.items() if n in (b"version", b"changes"))
    elif _COUNT.fullmatch(version) is None or not int(version):
        yield Change("message changes", b"version", version, b"1")


def _are_changes(text: bytes) -> bool:
    found = _object(text)
    return found is not None and is_changes(found)


def _object(text: bytes) -> JsonObject | None:
    try:
        return load_json(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Facts:
    """A conversation's own facts as they should be, and what is derived from them."""

    values: dict[str, bytes]
    """By name in FACTS, if present."""
    parts: DocumentParts


def read_facts(stored: Fields) -> Facts:
    """Return the readable facts of a conversation.

    Args:
        stored: The stored facts, and the user data derived from the document: they are kept if they are equivalent, as
            protobuf does not define the order of map entries.
    """
    text = stored.get(b"doc", b"")
    document = _object(text) if text else None
    if document is not None and not is_document(document):
        document = None
    try:
        parts = document_parts(document or {})
    except (ValueError, OverflowError):
        document, parts = None, document_parts({})
    data = stored.get(b"data", b"")
    if _is_equivalent(data, parts["data"]):
        parts["data"] = data
    values = {name: _readable(name, stored.get(name.encode(), b"")) for name in FACTS}
    if document is None:
        values |= {"ver": b"", "doc": b""}
    return Facts({name: value for name, value in values.items() if value}, parts)


def _readable(name: str, value: bytes) -> bytes:
    """Return a fact as it should be; empty if it cannot be read."""
    match name:
        case "doc":
            return value
        case "ver":
            return value if _COUNT.fullmatch(value) else b"1"
        case "st":
            return value if value in (b"OPEN", b"CLOSED") else b""
        case "tg":
            return ",".join(sorted({id for id in value.decode(errors="replace").split(",") if is_id(id)})).encode()
        case "read":
            return value if _TIME.fullmatch(value) else b""
        case _:
            return value if _KEYWORD.fullmatch(value) else b""


def _is_equivalent(stored: bytes, made: bytes) -> bool:
    metadata = conversation_pb2.ConversationMetadata
    try:
        read = metadata.FromString(stored)
    except DecodeError:
        return False
    return len(stored) == len(made) and read == metadata.FromString(made)


_MADE_OF_EVENTS = (b"source", b"metadata", b"unnamed")
_CHANNEL_FIELDS = (b"version", b"head", b"own", b"changes", *_MADE_OF_EVENTS)


def channel_changes(id: str, fields: Fields, others: list[channel_pb2.Channel]) -> Iterator[Change]:
    """Yield the wrong fields in the hash of a channel in the partition of its id.

    Lost metadata of the channel's event is replaced by the metadata that is shown, then by that of copies.

    Args:
        id: The channel's id.
        fields: The stored fields.
        others: The copies in other partitions.
    """
    version, head, metadata, own, changes = (
        fields.get(name, b"") for name in (b"version", b"head", b"metadata", b"own", b"changes")
    )
    known = sound_channel(head, id) or next(iter(others), None)
    kind = "channel"
    if b"head" in fields and sound_channel(head, id) is None:
        # If no partition has one, messages of the channel make one.
        yield Change(kind, b"head", head, channel_head(others[0]) if others else b"")
    for name in fields:
        if name not in _CHANNEL_FIELDS:
            yield Change(kind, name, fields[name], b"")
    if not (version or own or changes):
        for name in _MADE_OF_EVENTS:
            if name in fields:
                yield Change(kind, name, fields[name], b"")
        return
    shown = _shown_metadata(metadata) or next((to_json(other.metadata) for other in others), {})
    own_document, made = _object(own) if own else None, _object(changes) if changes else None
    if made is None or not is_changes(made):
        # The metadata that is shown includes the changes.
        own_document, made = None, {}
    if own_document is None:
        own_document = shown
    wanted = {
        b"version": version if _COUNT.fullmatch(version) and int(version) else b"1",
        b"own": own if own and _object(own) == own_document else dump_json(own_document).encode(),
        b"changes": changes if changes and _object(changes) == made else dump_document(made).encode(),
        b"metadata": metadata,
    }
    made_metadata, unnamed = channel_metadata(apply_changes(own_document, made))
    if _shown_metadata(metadata) != _shown_metadata(made_metadata):
        wanted[b"metadata"] = made_metadata
    wanted[b"unnamed"] = unnamed
    # Only an event sets the source; without one, a channel has that of its first message.
    wanted[b"source"] = known.source.encode() if known is not None and fields.get(b"source") else b""
    for name, value in wanted.items():
        if fields.get(name, b"") != value:
            yield Change(kind, name, fields.get(name, b""), value)


def _shown_metadata(stored: bytes) -> JsonObject | None:
    """Return the metadata that a channel is shown with; None if it cannot be read."""
    own = channel_pb2.Channel(id="x")
    found = sound_channel(own.SerializeToString() + stored, "x") if stored else None
    return to_json(found.metadata) if found is not None and found.HasField("metadata") else None
