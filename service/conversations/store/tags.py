"""Tags: created, changed, deleted, and removed from every conversation when deleted."""

from collections.abc import Callable

from conversations.errors import TagExistsError, TagNotFoundError
from conversations.store.client import Client
from conversations.store.damage import checked, damaged, report_conversations, report_damage
from conversations.store.functions import Call, Steps
from conversations.store.partitions import Partitions
from conversations.store.turns import tries
from conversations.store.validation import sound_tag
from conversations.v1 import tag_pb2

__all__ = ["Tags"]

# Conversations changed by one call: a few milliseconds of Redis' time.
_CLEARED_AT_ONCE = 200


class Tags:
    """All tags."""

    def __init__(self, client: Client, partitions: Partitions) -> None:
        self._client = client
        self._partitions = partitions

    async def list_all(self, leave_out: Callable[[str, str], None] = report_damage) -> list[tag_pb2.Tag]:
        """Return all readable tags, by name, then by id.

        Args:
            leave_out: Called with kind and id of each unreadable one.

        Raises:
            DamagedRecordError: A partition's set of tags cannot be read.
        """
        tags = []
        for reply in await self._client.call_all([Call(p, "list_tags") for p in self._partitions]):
            for key, stored in zip(checked(reply)[::2], reply[1::2], strict=True):
                id = key.decode(errors="backslashreplace")
                tag = sound_tag(stored, id)
                if tag is None:
                    leave_out("tag", id)
                else:
                    tags.append(tag)
        return sorted(tags, key=lambda tag: (tag.name, tag.id))

    async def create(self, tag: tag_pb2.Tag) -> None:
        """Create a tag; creating the same one again does nothing.

        Raises:
            TagExistsError: Another tag has its id.
        """
        await self._client.run_in_turn(tag.id, self._create_steps(tag))

    def _create_steps(self, tag: tag_pb2.Tag) -> Steps[None]:
        home = self._partitions.of(tag.id)
        stored = checked((yield Call(home, "get_tag", (tag.id,))))
        if stored is None:
            yield from self._unban_steps(tag.id)
            stored = checked((yield Call(home, "create_tag", (tag.id, tag.SerializeToString()))))
        if sound_tag(stored, tag.id) != tag:
            raise TagExistsError(tag.id)

    async def require(self, id: str) -> None:
        """Raise TagNotFoundError if there is no such tag. A damaged one exists."""
        if await self._client.call(Call(self._partitions.of(id), "get_tag", (id,))) is None:
            raise TagNotFoundError(id)

    async def update(self, id: str, name: str | None, color: str | None) -> None:
        """Rename or recolor a tag; None keeps what is there.

        Raises:
            TagNotFoundError: There is none.
            DamagedRecordError: It cannot be read.
        """
        await self._client.run_in_turn(id, self._update_steps(id, name, color))

    def _update_steps(self, id: str, name: str | None, color: str | None) -> Steps[None]:
        home = self._partitions.of(id)
        for _ in tries():
            stored = checked((yield Call(home, "get_tag", (id,))))
            if stored is None:
                raise TagNotFoundError(id)
            tag = sound_tag(stored, id)
            if tag is None:
                raise damaged("tag", id)
            tag.name = tag.name if name is None else name
            tag.color = tag.color if color is None else color
            if (yield Call(home, "replace_tag", (id, stored, tag.SerializeToString())))[0] == b"ok":
                return

    def put_steps(self, tag: tag_pb2.Tag) -> Steps[None]:
        """Create or replace a tag; a deleted one is restored."""
        yield from self._unban_steps(tag.id)
        yield Call(self._partitions.of(tag.id), "put_tag", (tag.id, tag.SerializeToString()))

    def _unban_steps(self, id: str) -> Steps[None]:
        for partition in self._partitions:
            yield Call(partition, "unban_tag", (id,))

    async def delete(self, id: str) -> None:
        """Delete a tag and remove it from every conversation.

        The ban comes first: from then on no conversation gets the tag. The record goes last, so that an interrupted
        deletion can be repeated. A damaged conversation keeps the tag until it is repaired.

        Raises:
            TagNotFoundError: There is none.
            DamagedRecordError: The ban cannot be stored.
        """
        await self.require(id)
        for reply in await self._client.call_all([Call(p, "ban_tag", (id,)) for p in self._partitions]):
            checked(reply)
        for partition in self._partitions:
            report_conversations(await self._client.call(Call(partition, "clear_waiting_tag", (id,))))
            passed, looked_at = 0, 1
            while looked_at:
                call = Call(partition, "clear_tag", (id, passed, _CLEARED_AT_ONCE))
                looked_at, passed, *some_damaged = await self._client.call(call)
                report_conversations(some_damaged)
        await self._client.call(Call(self._partitions.of(id), "remove_tag", (id,)))
