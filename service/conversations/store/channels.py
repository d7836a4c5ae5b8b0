"""Channels: written by events, read in lists and with every conversation."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from conversations.errors import ChannelNotFoundError, DamagedRecordError
from conversations.store.client import Client
from conversations.store.damage import (
    checked,
    damaged,
    read_changes,
    read_count,
    read_object,
    report_conversations,
    report_damage,
)
from conversations.store.documents import channel_head, channel_metadata, dump_document, dump_json, to_json
from conversations.store.functions import Call, Steps
from conversations.store.merge import JsonObject, add_patch, apply_changes
from conversations.store.partitions import Partitions
from conversations.store.turns import tries
from conversations.store.validation import sound_channel
from conversations.v1 import channel_pb2

__all__ = ["Channels"]

# Conversations changed by one call: some milliseconds of Redis' time.
_ADOPTED_AT_ONCE = 100


class Channels:
    """All channels. A channel's home partition orders its changes; all others keep a copy."""

    def __init__(self, client: Client, partitions: Partitions) -> None:
        self._client = client
        self._partitions = partitions

    async def list_all(self) -> list[channel_pb2.Channel]:
        """Return all readable channels, by source, then by id.

        Raises:
            DamagedRecordError: No partition has a readable set of channels.
        """
        found = (await self._find()).values()
        return sorted(filter(None, found), key=lambda channel: (channel.source, channel.id))

    async def get(self, id: str) -> channel_pb2.Channel:
        """Return one channel.

        Raises:
            ChannelNotFoundError: There is none.
            DamagedRecordError: It cannot be read.
        """
        found = await self._find(id)
        if id not in found:
            raise ChannelNotFoundError(id)
        channel = found[id]
        if channel is None:
            raise DamagedRecordError("channel", id)
        return channel

    async def _find(self, *ids: str) -> dict[str, channel_pb2.Channel | None]:
        """Return the newest sound copy of each channel; None if there is none."""
        replies = await self._client.call_all([Call(p, "list_channels", ids) for p in self._partitions])
        newest: dict[str, tuple[int, channel_pb2.Channel | None]] = {}
        for reply in _readable(replies):
            for key, version, stored in zip(reply[::3], reply[1::3], reply[2::3], strict=True):
                id = key.decode(errors="backslashreplace")
                number = read_count(version)
                channel = None if number is None else sound_channel(stored, id)
                if channel is None or number is None:
                    report_damage("channel", id)
                    number = -1
                copy = (number, channel)
                newest[id] = max(newest.get(id, copy), copy, key=itemgetter(0))
        return {id: channel for id, (_, channel) in newest.items()}

    def put_steps(self, channel: channel_pb2.Channel) -> Steps[None]:
        """Replace what a channel's event said; changes by metadata events stay."""
        own = to_json(channel.metadata)
        return self._change_steps(channel.id, (channel_head(channel), channel.source), own, {})

    def patch_steps(self, id: str, patch: JsonObject) -> Steps[None]:
        """Change a channel's metadata, even before the channel arrives."""
        return self._change_steps(id, (b"", ""), None, patch)

    async def patch(self, id: str, patch: JsonObject) -> None:
        """Change the metadata of a channel.

        Raises:
            ChannelNotFoundError: There is none.
        """
        await self.get(id)
        await self._client.run_in_turn(id, self.patch_steps(id, patch))

    def _change_steps(
        self, id: str, given: tuple[bytes, str], own: JsonObject | None, patch: JsonObject
    ) -> Steps[None]:
        home = self._partitions.of(id)
        head, source = given
        for _ in tries():
            version, old_own, old_changes, old_head, old_source = checked((yield Call(home, "read_channel", (id,))))
            if not head and old_head and sound_channel(old_head, id) is None:
                raise damaged("channel", id)
            new_own = read_object("channel", id, old_own) if own is None else own
            changes = add_patch(read_changes("channel", id, old_changes), patch)
            args = (
                head or old_head,
                source or old_source,
                *channel_metadata(apply_changes(new_own, changes)),
                dump_json(new_own),
                dump_document(changes),
            )
            next_version = int(version) + 1
            reply = yield Call(home, "write_channel", (id, next_version, "home", *args))
            if reply[0] == b"ok":
                break
        for partition in [home, *(p for p in self._partitions if p != home)]:
            if partition != home:
                reply = yield Call(partition, "write_channel", (id, next_version, "copy", *args))
            for difference in reply[1:]:
                yield from self._adopt_steps(partition, id, difference)

    def _adopt_steps(self, partition: int, id: str, difference: bytes) -> Steps[None]:
        """Copy a channel's source to its conversations, a few at a time."""
        passed, looked_at = 0, 1
        while looked_at:
            args = (id, passed, _ADOPTED_AT_ONCE, difference)
            looked_at, passed, *some_damaged = yield Call(partition, "adopt_source", args)
            report_conversations(some_damaged)


def _readable(replies: Sequence[Any]) -> Iterator[Any]:
    """Yield the replies of partitions that have a readable set of channels: each has all of them, so one is enough."""
    errors = []
    for reply in replies:
        try:
            yield checked(reply)
        except DamagedRecordError as error:
            errors.append(error)
    if len(errors) == len(replies):
        raise errors[0]
