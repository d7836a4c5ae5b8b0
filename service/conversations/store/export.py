"""Exports the whole store as events that restore it."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from math import copysign
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict

from conversations.errors import DamagedRecordError
from conversations.store.client import Client
from conversations.store.damage import checked, damaged, is_id, read_changes, read_document, read_object, report_damage
from conversations.store.documents import dump_json, to_struct
from conversations.store.functions import Call
from conversations.store.merge import JsonObject, to_patches
from conversations.store.partitions import Partitions
from conversations.store.tags import Tags
from conversations.store.validation import sound_channel, sound_message
from conversations.times import format_time
from conversations.v1 import event_pb2

__all__ = ["Export"]

# In this order: a waiting conversation may become a full one, never the reverse.
_CONVERSATIONS = ("waiting", "conversations")
_IDS_AT_ONCE = 100
_MESSAGES_AT_ONCE = 500
_PLACE_DIGITS = 10
_MAX_SAFE_INTEGER = 2**53 - 1
_T = TypeVar("_T")


class Export:
    """Reads the whole store, a piece at a time."""

    def __init__(self, client: Client, partitions: Partitions, tags: Tags) -> None:
        self._client = client
        self._partitions = partitions
        self._tags = tags

    async def count(self) -> int:
        """Return the number of conversations, including those that wait for a message."""
        counts: list[int] = await self._client.call_all([Call(p, "count_conversations") for p in self._partitions])
        return sum(counts)

    async def batches(
        self, leave_out: Callable[[str, str], None] = report_damage
    ) -> AsyncIterator[tuple[int, list[str]]]:
        """Yield the number of conversations that a batch completes, and its lines: each the JSON of one Event.

        Channels and tags come first, then what waits for a message, then each conversation with its messages in order,
        its metadata and its time of reading. Nothing that existed at the start is missed, even if it stops waiting
        meanwhile. What moves may come twice, which does no harm on import.

        Args:
            leave_out: Called with kind and id of each damaged record; the export continues without it.
        """
        seen = set()
        async for _, id in self._scan("channels", leave_out):
            if id not in seen:
                seen.add(id)
                yield 0, await _passing(self._channel(id), leave_out) or []
        tags = await _passing(self._tags.list_all(leave_out), leave_out) or []
        yield 0, [_line(event_pb2.Event(tag=tag)) for tag in tags]
        seen.clear()
        async for _, id in self._scan("messages", leave_out):
            if id not in seen:
                seen.add(id)
                yield 0, await _passing(self._waiting_message(id), leave_out) or []
        for kind in _CONVERSATIONS:
            async for partition, id in self._scan(kind, leave_out):
                async for lines in self._messages(partition, id, leave_out):
                    yield 0, lines
                yield 1, await _passing(self._conversation(partition, id), leave_out) or []

    async def conversation_ids(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all conversations, some at a time; one that moves may come twice."""
        ids = []
        for kind in _CONVERSATIONS:
            async for _, id in self._scan(kind, report_damage):
                ids.append(id)
                if len(ids) == _IDS_AT_ONCE:
                    yield ids
                    ids = []
        yield ids

    async def _scan(self, kind: str, leave_out: Callable[[str, str], None]) -> AsyncIterator[tuple[int, str]]:
        for partition in self._partitions:
            cursor, started = b"0", False
            while not started or cursor != b"0":
                started = True
                scan = self._call(partition, "scan_ids", kind, cursor, _IDS_AT_ONCE)
                cursor, ids = await _passing(scan, leave_out) or (b"0", [])
                for stored in ids:
                    id = stored.decode(errors="backslashreplace")
                    if is_id(id):
                        yield partition, id
                    else:
                        leave_out(f"entry of the set of {kind}", id)

    async def _channel(self, id: str) -> list[str]:
        """Read a channel from its home partition, where it is complete."""
        _, own, changes, head, source = await self._call(self._partitions.of(id), "read_channel", id)
        lines = []
        # A channel without an event is restored by its messages.
        if head and (source or own not in (b"", b"{}")):
            channel = sound_channel(head, id)
            if channel is None:
                raise damaged("channel", id)
            channel.metadata.CopyFrom(to_struct(read_object("channel", id, own)))
            lines.append(_line(event_pb2.Event(channel=channel)))
        return lines + list(_metadata_lines("channel", id, read_changes("channel", id, changes)))

    async def _call(self, partition: int, function: str, *args: str | bytes | int) -> Any:
        return checked(await self._client.call(Call(partition, function, args)))

    async def _waiting_message(self, id: str) -> list[str]:
        calls = [Call(partition, "read_message_changes", (id,)) for partition in self._partitions]
        replies = [checked(reply) for reply in await self._client.call_all(calls)]
        if any(len(reply) > 2 for reply in replies):
            return []
        return list(_metadata_lines("message", id, read_changes("message", id, replies[0][1])))

    async def _messages(
        self, partition: int, id: str, leave_out: Callable[[str, str], None]
    ) -> AsyncIterator[list[str]]:
        start: tuple[bytes, bytes] = b"", b""
        while reply := await _passing(self._call(partition, "read_messages", id, *start, _MESSAGES_AT_ONCE), leave_out):
            lines: list[str] = []
            for place, channel_id, stored, changes in zip(*(reply[part::5] for part in range(1, 5)), strict=True):
                try:
                    lines += _message_lines(id, place[_PLACE_DIGITS:], channel_id, stored, changes)
                except DamagedRecordError as error:
                    leave_out(error.kind, error.id)
            yield lines
            start = reply[-5], reply[-4]

    async def _conversation(self, partition: int, id: str) -> list[str]:
        text, state, tags, read_at = await self._call(partition, "read_conversation", id)
        document = read_document(id, text)
        if state:
            document["state"] = state.decode()
        if tags:
            document["tags"] = dict.fromkeys(tags.decode().split(","), "")
        lines = []
        if document:
            lines.append(_metadata_line("conversation", id, document))
        if read_at:
            receipt = event_pb2.ReadReceiptEvent(conversation_id=id, read_at=format_time(int(read_at)))
            lines.append(_line(event_pb2.Event(read_receipt=receipt)))
        return lines


async def _passing(part: Coroutine[Any, Any, _T], leave_out: Callable[[str, str], None]) -> _T | None:
    """Return a part of an export; None if it is damaged and left out."""
    try:
        return await part
    except DamagedRecordError as error:
        leave_out(error.kind, error.id)
        return None


def _message_lines(
    conversation_id: str, message_id: bytes, channel_id: bytes, stored: bytes, changes: bytes
) -> Iterator[str]:
    id = message_id.decode(errors="backslashreplace")
    message = sound_message(stored, id)
    if message is None:
        raise damaged("message", id)
    event = event_pb2.MessageEvent(conversation_id=conversation_id, channel_id=channel_id.decode())
    for name in ("id", "from_contact", "delivery_state", "sent_at", "source"):
        setattr(event, name, getattr(message, name))
    event.sender.CopyFrom(message.sender)
    event.content.CopyFrom(message.content)
    event.metadata.CopyFrom(message.metadata)
    yield _line(event_pb2.Event(message=event))
    yield from _metadata_lines("message", id, read_changes("message", id, changes))


def _metadata_lines(subject: str, id: str, changes: JsonObject) -> Iterator[str]:
    return (_metadata_line(subject, id, patch) for patch in to_patches(changes))


def _metadata_line(subject: str, id: str, patch: JsonObject) -> str:
    event = event_pb2.MetadataEvent(subject=subject, id=id, metadata=to_struct(patch))
    return _line(event_pb2.Event(metadata=event))


def _line(event: event_pb2.Event) -> str:
    return dump_json(_with_integers(MessageToDict(event, preserving_proto_field_name=True)))


def _with_integers(value: Any) -> Any:
    """Return JSON with whole numbers as integers: 4504420, not 4504420.0.

    Negative zero stays a float, as do numbers beyond the integers that are exact in JSON.
    """
    match value:
        case dict():
            return {key: _with_integers(item) for key, item in value.items()}
        case list():
            return [_with_integers(item) for item in value]
        case float() if value.is_integer() and abs(value) <= _MAX_SAFE_INTEGER and (value or copysign(1, value) > 0):
            return int(value)
        case _:
            return value
