"""Converts between protobuf messages and the parts of Redis hashes."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict

from google.protobuf.struct_pb2 import Struct

from conversations import terms
from conversations.errors import InvalidFieldError
from conversations.store.merge import JsonObject
from conversations.v1 import channel_pb2, conversation_pb2, message_pb2

__all__ = [
    "DocumentParts",
    "changed_values",
    "channel_head",
    "channel_metadata",
    "document_parts",
    "dump_document",
    "dump_json",
    "is_document",
    "load_json",
    "message_bytes",
    "to_json",
    "to_struct",
]

# Separates the values of an array: it is no field's term, so no exact phrase spans two values.
_GAP = "g"
# The same in a column: it is in no text.
_COLUMN_GAP = b" \xfe "

MAX_DOCUMENT_BYTES = 64 * 1024
"""Maximum size of one record's metadata as protobuf: a page of 100 conversations has to fit into one answer."""

# Twice what is accepted: each change of metadata may be in its own object.
_MAX_STORED_LEVELS = 64


def to_json(struct: Struct) -> JsonObject:
    """Return a Struct as a plain object; whole numbers become integers."""
    return {key: _value_to_json(value) for key, value in struct.fields.items()}


def _value_to_json(value: Any) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            # The integer 0 has no sign.
            is_integer = number.is_integer() and abs(number) <= 2**53 and (number != 0 or math.copysign(1, number) > 0)
            return int(number) if is_integer else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return to_json(value.struct_value)
        case "list_value":
            return [_value_to_json(item) for item in value.list_value.values]
        case _:
            return None


def to_struct(document: JsonObject) -> Struct:
    """Return a plain object as a Struct."""
    struct = Struct()
    struct.update(document)
    return struct


def dump_json(document: JsonObject) -> str:
    """Return an object as compact JSON text."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def dump_document(document: JsonObject) -> str:
    """Return JSON text of a document after changes.

    Raises:
        InvalidFieldError: It has grown beyond MAX_DOCUMENT_BYTES.
    """
    text = dump_json(document)
    # JSON grows to at most six times its size as protobuf, so most documents need no exact check.
    if 6 * len(text) > MAX_DOCUMENT_BYTES:
        check_size(to_struct(document))
    return text


def check_size(document: Struct) -> None:
    """Raise InvalidFieldError if a document has grown beyond MAX_DOCUMENT_BYTES."""
    if document.ByteSize() > MAX_DOCUMENT_BYTES:
        raise InvalidFieldError("metadata", f"would grow beyond {MAX_DOCUMENT_BYTES} bytes")


def load_json(text: bytes) -> JsonObject:
    """Return the object in a JSON text; an empty text is an empty object.

    Raises:
        ValueError: It isn't an object, is nested too deep, or has a number or text that JSON does not allow.
    """
    try:
        document = json.loads(text) if text else {}
        # Rejects non-finite numbers and lone surrogates.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        document = None
    if not isinstance(document, dict) or not _is_shallow(document, _MAX_STORED_LEVELS):
        raise ValueError("not an object as the service stores it")
    return document


def _is_shallow(value: Any, levels: int) -> bool:
    match value:
        case dict():
            return levels > 0 and all(_is_shallow(inner, levels - 1) for inner in value.values())
        case list():
            return levels > 0 and all(_is_shallow(inner, levels - 1) for inner in value)
        case _:
            return True


def is_document(document: JsonObject) -> bool:
    """Return whether an object can be a conversation's metadata except tags and state."""
    contact, user_data = document.get("contact", {}), document.get("user_data", {})
    return (
        isinstance(contact, dict)
        and isinstance(contact.get("display_name", ""), str)
        and isinstance(contact.get("avatar_url", ""), str)
        and isinstance(user_data, dict)
    )


def message_bytes(message: message_pb2.Message, metadata: Struct) -> bytes:
    """Return the stored bytes of a message with the given metadata.

    Raises:
        InvalidFieldError: The metadata has grown beyond MAX_DOCUMENT_BYTES.
    """
    check_size(metadata)
    stored = message_pb2.Message()
    stored.CopyFrom(message)
    stored.metadata.CopyFrom(metadata)
    return stored.SerializeToString()


def channel_head(channel: channel_pb2.Channel) -> bytes:
    """Return the bytes of a channel except its metadata."""
    head = channel_pb2.Channel()
    head.CopyFrom(channel)
    head.ClearField("metadata")
    return head.SerializeToString()


def channel_metadata(metadata: JsonObject) -> tuple[bytes, bytes]:
    """Return the bytes of a channel's metadata field, without a name that is blank or not text; and `1` if unnamed."""
    metadata, name = dict(metadata), metadata.get("name")
    has_name = isinstance(name, str) and not terms.is_blank(name)
    if not has_name:
        metadata.pop("name", None)
    return channel_pb2.Channel(metadata=to_struct(metadata)).SerializeToString(), b"" if has_name else b"1"


class DocumentParts(TypedDict):
    """What is stored beside a conversation's metadata document; each part may be empty."""

    name: bytes
    """Contact.display_name as protobuf bytes."""
    avatar: bytes
    """Contact.avatar_url as protobuf bytes."""
    data: bytes
    """ConversationMetadata.user_data as protobuf bytes."""
    name_terms: str
    """Index terms of the name."""
    terms: str
    """Index terms of the leaves."""
    values: dict[str, bytes]
    """Values of columns by field name: words separated by blanks. See lua/lib/columns.lua."""


def document_parts(document: JsonObject) -> DocumentParts:
    """Return what is stored beside a conversation's metadata document."""
    contact = document.get("contact", {})
    name = contact.get("display_name")
    name_bytes = avatar_bytes = user_data = b""
    if name is not None:
        name_bytes = conversation_pb2.Contact(display_name=name).SerializeToString()
    if "avatar_url" in contact:
        avatar_bytes = conversation_pb2.Contact(avatar_url=contact["avatar_url"]).SerializeToString()
    if "user_data" in document:
        metadata = conversation_pb2.ConversationMetadata(user_data=to_struct(document["user_data"]))
        user_data = metadata.SerializeToString()
    name_words, leaves = _words(document)
    leaf_terms: list[str] = []
    for path, texts in leaves.items():
        # The separator of the first value is the term that the leaf exists.
        separator = terms.metadata_exists(path)
        for words in texts:
            leaf_terms += [separator, *(terms.metadata_term(path, word) for word in words)]
            separator = _GAP
    return DocumentParts(
        name=name_bytes,
        avatar=avatar_bytes,
        data=user_data,
        name_terms=" ".join(map(terms.name_term, name_words)),
        terms=" ".join(leaf_terms),
        values=_values(name_words, leaves),
    )


def changed_values(before: JsonObject, values: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the values of columns that differ from those of an earlier document; empty for what is gone."""
    old = _values(*_words(before))
    gone = dict.fromkeys(old.keys() - values.keys(), b"")
    return {name: value for name, value in values.items() if old.get(name) != value} | gone


_Leaves = dict[str, list[list[str]]]
"""The words of each value by the dotted path of its leaf."""


def _words(document: JsonObject) -> tuple[list[str], _Leaves]:
    """Return the words of the name, and of each leaf that has any."""
    leaves: _Leaves = {}
    for path, text in _leaves(document, ()):
        if words := terms.split_words(text):
            leaves.setdefault(path, []).append(words)
    return terms.split_words(document.get("contact", {}).get("display_name", "")), leaves


def _values(name_words: Sequence[str], leaves: _Leaves) -> dict[str, bytes]:
    """Return the values of columns, as in DocumentParts."""
    values = {"display_name": _joined(name_words)} if name_words else {}
    return values | {f"metadata.{path}": _COLUMN_GAP.join(map(_joined, texts)) for path, texts in leaves.items()}


def _joined(words: Sequence[str]) -> bytes:
    return " ".join(words).encode()


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield dotted path and text of every leaf; the values of an array have the array's path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        for text in _leaf_texts(value):
            yield ".".join(path), text


def _leaf_texts(value: str | bool | int | float | None) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case bool():
            return ("true" if value else "false",)
        case str():
            return (value,)
        case _:
            return tuple(dict.fromkeys((format(Decimal(repr(value or 0)), "f"), shown_number(value))))


def shown_number(number: float) -> str:
    """Return a number as it appears in JSON answers: C's %.15g, or %.17g if that is inexact."""
    short = f"{number:.15g}"
    return short if float(short) == number else f"{number:.17g}"
