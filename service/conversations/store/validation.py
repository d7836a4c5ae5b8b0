"""Checks that stored bytes are as the service renders them, before they are sent.

Envoy transcodes answers to JSON, and is strict where protobuf is lenient: it answers 502 to a field that comes twice,
has a wrong wire type or a non-finite number, and version 1.40 crashes with a segmentation fault at a map entry without
key or value. So stored bytes are parsed and serialized again, and the result is sent; they are sound if it has the same
length.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value

from conversations.store.damage import report_damage
from conversations.v1 import channel_pb2, conversation_pb2, message_pb2, tag_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse
from conversations.v1.message_service_pb2 import ListMessagesResponse

__all__ = [
    "SoundAnswers",
    "salvaged_conversation",
    "salvaged_row",
    "sound_channel",
    "sound_conversation",
    "sound_message",
    "sound_messages",
    "sound_page",
    "sound_tag",
]

_M = TypeVar("_M", bound=Message)

_MAX_RECORD_BYTES = 512 * 1024
"""As MAX_RECORD in lua/lib/protobuf.lua."""

# Value.number_value with all bits of the exponent set. No valid UTF-8 has such a pair of bytes, so text cannot match.
_NOT_FINITE = re.compile(rb"\x11[\x00-\xff]{6}[\xf0-\xff][\x7f\xff]")


def _read(kind: type[_M], data: bytes) -> tuple[_M, bytes] | None:
    """Return a message and its bytes, serialized again; None if they aren't what the service writes."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        return None
    message.DiscardUnknownFields()
    written = message.SerializeToString()
    if len(written) != len(data) or (_NOT_FINITE.search(written) and not _is_finite(message)):
        return None
    return message, written


def _read_record(kind: type[_M], data: bytes) -> tuple[_M, bytes] | None:
    """Return the same for one record; None also if it is larger than any may be."""
    return _read(kind, data) if len(data) <= _MAX_RECORD_BYTES else None


def _is_finite(message: Message) -> bool:
    """Return whether all numbers in a message's free data are finite."""
    if isinstance(message, Value) and message.HasField("number_value"):
        return abs(message.number_value) < float("inf")
    children: list[Message] = []
    for field, value in message.ListFields():
        if isinstance(message, Struct):
            children += value.values()
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            children += value if field.is_repeated else [value]
    return all(map(_is_finite, children))


def sound_page(data: bytes) -> bytes | None:
    """Return a page of conversations, each as field 1, as it may be sent; None if one of them is damaged."""
    found = _read(ListConversationsResponse, data)
    if found is None or not all(map(_is_whole, found[0].data)):
        return None
    return found[1]


def sound_conversation(data: bytes) -> bytes | None:
    """Return a conversation as it may be sent; None if anything in it is damaged."""
    found = _read(conversation_pb2.Conversation, data)
    if found is None or not all(map(found[0].HasField, ("channel", "metadata", "last_message"))):
        return None
    return found[1] if found[0].created_at else None


def salvaged_conversation(data: bytes) -> bytes | None:
    """Return a conversation as it may be sent, without its channel if that is damaged; None if more is.

    Args:
        data: As returned by list_sound_conversations or get_conversation.
    """
    found = _salvaged(data)
    return None if found is None else found.SerializeToString()


def salvaged_row(item: bytes) -> bytes | None:
    """Return a conversation as field 1 of a message, as `salvaged_conversation` does."""
    found = _salvaged(item[_length_delimited(item, 0)[0] :])
    return None if found is None else ListConversationsResponse(data=[found]).SerializeToString()


_ID_LENGTH = 36

_CHANNEL_AT = 2 + _ID_LENGTH
"""Where the channel begins in a conversation: after the field of its id."""


def _salvaged(data: bytes) -> conversation_pb2.Conversation | None:
    """Return a conversation; if only its channel is damaged, that is reported and reduced to its id."""
    found = _read(conversation_pb2.Conversation, data)
    if found is not None:
        return found[0] if _is_whole(found[0]) else None
    start, end = _length_delimited(data, _CHANNEL_AT)
    # Even a damaged channel begins with the field of its id.
    channel, channel_id = data[start:end], data[start + 2 : start + _CHANNEL_AT].decode()
    if sound_channel(channel, channel_id) is not None:
        return None
    found = _read(conversation_pb2.Conversation, data[:_CHANNEL_AT] + data[end:])
    if found is None:
        return None
    report_damage("channel", channel_id)
    found[0].channel.CopyFrom(channel_pb2.Channel(id=channel_id, metadata={}))
    return found[0] if _is_whole(found[0]) else None


def _length_delimited(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a length-delimited field with a number below 16 begins and ends."""
    size, shift = 0, 0
    while True:
        at += 1
        size |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            return at + 1, at + 1 + size


def _is_whole(conversation: conversation_pb2.Conversation) -> bool:
    return (
        len(conversation.id) == len(conversation.channel.id) == len(conversation.last_message.id) == _ID_LENGTH
        and conversation.created_at != ""
        and conversation.metadata.HasField("contact")
    )


def sound_messages(data: bytes) -> bytes | None:
    """Return a page of messages, each as field 1, as it may be sent; None if one of them is damaged."""
    found = _read(ListMessagesResponse, data)
    return found[1] if found is not None and all(message.id for message in found[0].data) else None


def sound_message(data: bytes, id: str) -> message_pb2.Message | None:
    """Return a message; None if it is damaged or has another id."""
    found = _read_record(message_pb2.Message, data)
    return found[0] if found is not None and found[0].id == id else None


def sound_channel(data: bytes, id: str) -> channel_pb2.Channel | None:
    """Return a channel; None if it is damaged or has another id."""
    found = _read_record(channel_pb2.Channel, data)
    return found[0] if found is not None and found[0].id == id else None


def sound_tag(data: bytes, id: str) -> tag_pb2.Tag | None:
    """Return a tag; None if it is damaged or has another id."""
    found = _read_record(tag_pb2.Tag, data)
    return found[0] if found is not None and found[0].id == id and found[0].name and found[0].color else None


class SoundAnswers:
    """Answers that were found sound, to compare with later answers to the same request.

    Parsing and serializing a page takes a tenth of a worker's time for a list, comparing it a thousandth.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: OrderedDict[Hashable, tuple[bytes, bytes]] = OrderedDict()

    def sound(self, request: Hashable, data: bytes, check: Callable[[bytes], bytes | None]) -> bytes | None:
        """Return an answer as it may be sent; None if anything in it is damaged.

        Args:
            request: The request that it answers.
            data: The answer as it is stored.
            check: Returns the same, for an answer that was not found sound before.
        """
        kept = self._answers.get(request)
        if kept is not None and kept[0] == data:
            self._answers.move_to_end(request)
            return kept[1]
        written = check(data)
        if written is not None:
            self._keep(request, data, written)
        return written

    def _keep(self, request: Hashable, data: bytes, written: bytes) -> None:
        old = self._answers.pop(request, (b"", b""))
        self._answers[request] = (data, written)
        self._bytes += 2 * (len(data) - len(old[0]))
        while self._bytes > self._max_bytes:
            _, (oldest, _) = self._answers.popitem(last=False)
            self._bytes -= 2 * len(oldest)
