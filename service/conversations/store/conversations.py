"""Reads and changes single conversations."""

from collections.abc import Sequence

from conversations.errors import ConversationNotFoundError, TagNotFoundError
from conversations.store.changes import ConversationPatch, PutMessage
from conversations.store.client import Client
from conversations.store.damage import checked, damaged, read_changes, read_document
from conversations.store.documents import (
    changed_values,
    document_parts,
    dump_document,
    message_bytes,
    to_json,
    to_struct,
)
from conversations.store.functions import Call, Steps, packed
from conversations.store.merge import apply_changes, merge_patch
from conversations.store.partitions import Partitions
from conversations.store.turns import tries
from conversations.store.validation import SoundAnswers, salvaged_conversation, sound_conversation

__all__ = ["Conversations"]


class Conversations:
    """All conversations, one at a time."""

    def __init__(self, client: Client, partitions: Partitions, sound_answers: SoundAnswers) -> None:
        self._client = client
        self._partitions = partitions
        self._sound_answers = sound_answers

    async def get(self, id: str) -> bytes:
        """Return one serialized Conversation.

        Raises:
            ConversationNotFoundError: There is none.
            DamagedRecordError: It cannot be shown.
        """
        found = checked(await self._client.call(Call(self._partitions.of(id), "get_conversation", (id,))))
        if found is None:
            raise ConversationNotFoundError(id)
        sound = self._sound_answers.sound(id, found, sound_conversation) or salvaged_conversation(found)
        if sound is None:
            raise damaged("conversation", id)
        return sound

    async def mark_read(self, id: str, now_ms: int) -> None:
        """Mark all messages so far as read."""
        reply = await self._client.call(Call(self._partitions.of(id), "mark_all_read", (id, now_ms)))
        _check(reply, id)

    async def tag(self, id: str, tag_id: str) -> None:
        """Add a tag to a conversation."""
        reply = await self._client.call(Call(self._partitions.of(id), "tag_conversation", (id, tag_id)))
        _check(reply, id, tag_id)

    async def untag(self, id: str, tag_id: str) -> None:
        """Remove a tag from a conversation."""
        reply = await self._client.call(Call(self._partitions.of(id), "untag_conversation", (id, tag_id)))
        _check(reply, id, tag_id)

    async def set_state(self, id: str, state: str | None) -> None:
        """Set the state, `OPEN` or `CLOSED`, or remove it."""
        partition = self._partitions.of(id)
        call = Call(partition, "set_state", (id, state)) if state else Call(partition, "remove_state", (id,))
        reply = await self._client.call(call)
        _check(reply, id)

    async def patch(self, id: str, patch: ConversationPatch) -> None:
        """Change the metadata of an existing conversation."""
        await self._client.run_in_turn(id, self.patch_steps(id, patch, must_exist=True))

    def patch_steps(self, id: str, patch: ConversationPatch, *, must_exist: bool = False) -> Steps[None]:
        """Change a conversation's metadata; without `must_exist`, the change may wait for the conversation."""
        partition = self._partitions.of(id)
        for _ in tries():
            version, text, exists = checked((yield Call(partition, "read_document", (id,))))
            if must_exist and exists == b"0":
                raise ConversationNotFoundError(id)
            before = read_document(id, text)
            document = merge_patch(before, patch.document)
            parts = document_parts(document)
            change = {
                "document": dump_document(document),
                "state": patch.state,
                "added": patch.added_tags,
                "removed": patch.removed_tags,
                **parts,
                "values": changed_values(before, parts["values"]),
            }
            if checked((yield Call(partition, "commit_document", (id, version, packed(change)))))[0] == b"ok":
                return

    def message_steps(self, put: PutMessage) -> Steps[None]:
        """Add a message or replace the one with its id."""
        partition = self._partitions.of(put.conversation_id)
        message = put.message
        stored, version = message.SerializeToString(), b"0"
        for _ in tries():
            facts = (put.conversation_id, put.id, put.sent_at_ms, int(message.from_contact))
            args = (*facts, put.channel_id, put.source, stored, version)
            reply = checked((yield Call(partition, "add_message", args)))
            if reply[0] == b"ok":
                return
            version = reply[1]
            metadata = apply_changes(to_json(message.metadata), read_changes("message", put.id, reply[2]))
            stored = message_bytes(message, to_struct(metadata))

    def receipt_steps(self, id: str, read_at_ms: int, now_ms: int) -> Steps[None]:
        """Mark the messages up to a time as read, at most up to the latest one or to now; the receipt may wait."""
        checked((yield Call(self._partitions.of(id), "add_receipt", (id, read_at_ms, now_ms))))


def _check(reply: Sequence[bytes], id: str, tag_id: str = "") -> None:
    checked(reply)
    if reply[0] == b"missing":
        raise ConversationNotFoundError(id)
    if reply[0] == b"deleted":
        raise TagNotFoundError(tag_id)
