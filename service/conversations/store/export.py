"""Everything in the store as events that restore it."""

from collections.abc import AsyncIterator, Iterator

from google.protobuf.json_format import MessageToDict

from conversations.store.client import Client
from conversations.store.documents import dump_json, load_json, to_struct
from conversations.store.functions import Call
from conversations.store.merge import JsonObject, to_patches
from conversations.store.partitions import Partitions
from conversations.store.tags import Tags
from conversations.times import format_time
from conversations.v1 import channel_pb2, event_pb2, message_pb2

__all__ = ["Export"]

# In this order: a conversation stops to wait, and never begins to.
_CONVERSATIONS = ("waiting", "conversations")
_IDS_AT_ONCE = 100
_MESSAGES_AT_ONCE = 500


class Export:
    """Reads the whole store, a piece at a time."""

    def __init__(self, client: Client, partitions: Partitions, tags: Tags) -> None:
        self._client = client
        self._partitions = partitions
        self._tags = tags

    async def count(self) -> int:
        """Return how many conversations there are, those that wait for a message included."""
        counts: list[int] = await self._client.call_all([Call(p, "count_conversations") for p in self._partitions])
        return sum(counts)

    async def batches(self) -> AsyncIterator[tuple[int, list[str]]]:
        """Yield how many conversations a batch completes, and its lines: each the JSON of one Event.

        Channels and tags come first, then what waits for a message, then each conversation with its messages in order,
        its metadata and when it was read. Nothing that was there before is missing, whatever moves meanwhile: what no
        longer waits is found as what it has become. What moves may come twice, which does no harm on import.
        """
        seen = set()
        async for _, id in self._scan("channels"):
            if id not in seen:
                seen.add(id)
                yield 0, await self._channel(id)
        yield 0, [_line(event_pb2.Event(tag=tag)) for tag in await self._tags.list_all()]
        seen.clear()
        async for _, id in self._scan("messages"):
            if id not in seen:
                seen.add(id)
                calls = [Call(partition, "read_message_changes", (id,)) for partition in self._partitions]
                replies = await self._client.call_all(calls)
                if all(len(reply) == 2 for reply in replies):
                    yield 0, list(_metadata_lines("message", id, load_json(replies[0][1])))
        for kind in _CONVERSATIONS:
            async for partition, id in self._scan(kind):
                async for lines in self._messages(partition, id):
                    yield 0, lines
                yield 1, await self._conversation(partition, id)

    async def conversation_ids(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all conversations, some at a time; one that moves may come twice."""
        ids = []
        for kind in _CONVERSATIONS:
            async for _, id in self._scan(kind):
                ids.append(id)
                if len(ids) == _IDS_AT_ONCE:
                    yield ids
                    ids = []
        yield ids

    async def _scan(self, kind: str) -> AsyncIterator[tuple[int, str]]:
        for partition in self._partitions:
            cursor, started = b"0", False
            while not started or cursor != b"0":
                started = True
                cursor, ids = await self._client.call(Call(partition, "scan_ids", (kind, cursor, _IDS_AT_ONCE)))
                for id in ids:
                    yield partition, id.decode()

    async def _channel(self, id: str) -> list[str]:
        """A copy in another partition has nothing that home does not have."""
        _, own, changes, head = await self._client.call(Call(self._partitions.of(id), "read_channel", (id,)))
        lines = []
        if own and head:
            channel = channel_pb2.Channel.FromString(head)
            channel.metadata.CopyFrom(to_struct(load_json(own)))
            lines.append(_line(event_pb2.Event(channel=channel)))
        return lines + list(_metadata_lines("channel", id, load_json(changes)))

    async def _messages(self, partition: int, id: str) -> AsyncIterator[list[str]]:
        start: tuple[str | bytes | int, bytes] = "", b""
        while reply := await self._client.call(Call(partition, "read_messages", (id, *start, _MESSAGES_AT_ONCE))):
            lines = []
            for row in range(0, len(reply), 5):
                channel_id, stored, changes = reply[row + 2 : row + 5]
                message = message_pb2.Message.FromString(stored)
                event = event_pb2.MessageEvent(conversation_id=id, channel_id=channel_id.decode())
                for name in ("id", "from_contact", "delivery_state", "sent_at", "source"):
                    setattr(event, name, getattr(message, name))
                event.sender.CopyFrom(message.sender)
                event.content.CopyFrom(message.content)
                event.metadata.CopyFrom(message.metadata)
                lines.append(_line(event_pb2.Event(message=event)))
                lines += _metadata_lines("message", message.id, load_json(changes))
            yield lines
            start = reply[-5], reply[-4]

    async def _conversation(self, partition: int, id: str) -> list[str]:
        text, state, tags, read_at = await self._client.call(Call(partition, "read_conversation", (id,)))
        document = load_json(text)
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


def _metadata_lines(subject: str, id: str, changes: JsonObject) -> Iterator[str]:
    return (_metadata_line(subject, id, patch) for patch in to_patches(changes))


def _metadata_line(subject: str, id: str, patch: JsonObject) -> str:
    event = event_pb2.MetadataEvent(subject=subject, id=id, metadata=to_struct(patch))
    return _line(event_pb2.Event(metadata=event))


def _line(event: event_pb2.Event) -> str:
    return dump_json(MessageToDict(event, preserving_proto_field_name=True))
