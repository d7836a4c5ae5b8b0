"""Messages: read in pages, and changed by metadata events."""

from dataclasses import dataclass

from conversations.errors import ConversationNotFoundError, MessageNotFoundError
from conversations.store.client import Client
from conversations.store.cursors import cursors_of_empty_page, decode_cursor, encode_cursor
from conversations.store.documents import dump_document, load_json, message_bytes, to_json, to_struct
from conversations.store.functions import Call, Steps
from conversations.store.merge import JsonObject, add_patch, merge_patch
from conversations.store.partitions import Partitions
from conversations.store.turns import tries
from conversations.v1 import message_pb2

__all__ = ["MessagePage", "Messages"]


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A page of messages, oldest first."""

    messages: bytes
    """Message messages, serialised, each as field 1 of a message."""
    previous_cursor: str
    next_cursor: str
    total: int


class Messages:
    """The messages of all conversations."""

    def __init__(self, client: Client, partitions: Partitions) -> None:
        self._client = client
        self._partitions = partitions

    async def list_page(self, conversation_id: str, cursor_text: str, limit: int) -> MessagePage:
        """Return a page of a conversation's messages; the first page holds the newest.

        Raises:
            ConversationNotFoundError: There is no such conversation.
            CursorError: The cursor is damaged or of another list.
        """
        scope = f"messages {conversation_id}"
        cursor = decode_cursor(scope, cursor_text)
        args = (conversation_id, cursor.direction, cursor.at_ms, cursor.key, limit + 1, cursor.offset)
        reply = await self._client.call(Call(self._partitions.of(conversation_id), "list_messages", args))
        if not reply:
            raise ConversationNotFoundError(conversation_id)
        total, behind = reply[0], reply[1]
        rows = [tuple(reply[i : i + 3]) for i in range(2, len(reply), 3)]
        more = len(rows) > limit
        del rows[limit:]
        newer = cursor.direction == "newer"
        if not newer:
            rows.reverse()
        has_older, has_newer = (behind > 0, more) if newer else (more, behind > 0)
        if not rows:
            return MessagePage(b"", *cursors_of_empty_page(scope, cursor, behind), total)
        oldest, newest = rows[0], rows[-1]
        return MessagePage(
            messages=b"".join(row[2] for row in rows),
            previous_cursor=encode_cursor(scope, "newer", newest[0].decode(), newest[1].decode()) if has_newer else "",
            next_cursor=encode_cursor(scope, "older", oldest[0].decode(), oldest[1].decode()) if has_older else "",
            total=total,
        )

    async def patch(self, id: str, patch: JsonObject) -> None:
        """Change the metadata of the messages with an id.

        Raises:
            MessageNotFoundError: There is none.
        """
        for partition in self._partitions:
            if len(await self._client.call(Call(partition, "read_message_changes", (id,)))) > 2:
                break
        else:
            raise MessageNotFoundError(id)
        await self._client.run_in_turn(id, self.patch_steps(id, patch))

    def patch_steps(self, id: str, patch: JsonObject) -> Steps[None]:
        """Change the metadata of the messages with an id, whether they came yet or not.

        Nothing tells in which conversation a message will be that did not come yet, so every partition keeps the
        change.
        """
        for partition in self._partitions:
            for _ in tries():
                version, text, *messages = yield Call(partition, "read_message_changes", (id,))
                args: list[str | bytes] = [id, version, dump_document(add_patch(load_json(text), patch))]
                for conversation_id, old in zip(messages[::2], messages[1::2], strict=True):
                    args += [conversation_id, old, _patched(old, patch)]
                if (yield Call(partition, "commit_message_changes", tuple(args)))[0] == b"ok":
                    break


def _patched(old: bytes, patch: JsonObject) -> bytes:
    message = message_pb2.Message.FromString(old)
    return message_bytes(message, to_struct(merge_patch(to_json(message.metadata), patch)))
