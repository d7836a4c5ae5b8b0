"""Messages: listed in pages and changed by metadata events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conversations.errors import ConversationNotFoundError, MessageNotFoundError
from conversations.store.client import Client
from conversations.store.cursors import Cursor, cursors_of_empty_page, decode_cursor, encode_cursor
from conversations.store.damage import checked, damaged, read_changes, report_damage
from conversations.store.documents import dump_document, message_bytes, to_json, to_struct
from conversations.store.functions import Call, Steps
from conversations.store.merge import JsonObject, add_patch, merge_patch
from conversations.store.pages import fill_page
from conversations.store.partitions import Partitions
from conversations.store.turns import tries
from conversations.store.validation import sound_message, sound_messages

# Before the id in a place.
_PLACE_DIGITS = 10

# Time in milliseconds, place with id, and the Message as field 1 of a message; empty if damaged.
_Row = tuple[bytes, bytes, bytes]

__all__ = ["MessagePage", "Messages"]


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A page of messages, oldest first."""

    messages: bytes
    """Serialized Message messages, each as field 1 of a message."""
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

        Damaged messages are counted but left out.

        Raises:
            ConversationNotFoundError: There is no such conversation.
            CursorError: The cursor is damaged or belongs to another list.
            DamagedRecordError: The order of its messages cannot be read.
        """
        scope = f"messages {conversation_id}"
        cursor = decode_cursor(scope, cursor_text)
        total, behind, more, *rest = await self._list(conversation_id, cursor, limit)
        rows = _rows(rest)
        data: bytes | None = None
        if all(row[2] for row in rows):
            data = sound_messages(b"".join(row[2] for row in _in_time(rows, cursor)))
        if data is None:
            rows, more = await self._sound_rows(conversation_id, cursor, limit, rows, more)
            data = b"".join(row[2] for row in _in_time(rows, cursor))
        newer = cursor.direction == "newer"
        has_older, has_newer = (behind > 0, more) if newer else (more, behind > 0)
        if not rows:
            return MessagePage(b"", *cursors_of_empty_page(scope, cursor, behind), total)
        in_time = _in_time(rows, cursor)
        oldest, newest = in_time[0], in_time[-1]
        return MessagePage(
            messages=data,
            previous_cursor=encode_cursor(scope, "newer", newest[0].decode(), newest[1].decode()) if has_newer else "",
            next_cursor=encode_cursor(scope, "older", oldest[0].decode(), oldest[1].decode()) if has_older else "",
            total=total,
        )

    async def _list(self, conversation_id: str, cursor: Cursor, limit: int) -> list[Any]:
        args = (conversation_id, cursor.direction, cursor.at_ms, cursor.key, limit, cursor.offset)
        reply: list[Any] = await self._client.call(Call(self._partitions.of(conversation_id), "list_messages", args))
        if not reply:
            raise ConversationNotFoundError(conversation_id)
        return list(checked(reply))

    async def _sound_rows(
        self, conversation_id: str, cursor: Cursor, limit: int, found: list[_Row], more: bool
    ) -> tuple[list[_Row], bool]:
        """Return the messages of a page with damaged ones, as `fill_page` does; `found` is already fetched."""

        async def fetch(last: _Row | None, wanted: int) -> tuple[list[_Row], bool]:
            if last is None:
                return found, more
            start = Cursor(cursor.direction, last[0].decode(), last[1].decode())
            _, _, some_more, *rest = await self._list(conversation_id, start, wanted)
            return _rows(rest), bool(some_more)

        return await fill_page(limit, fetch, _sound_row)

    async def patch(self, id: str, patch: JsonObject) -> None:
        """Change the metadata of the messages with an id.

        Raises:
            MessageNotFoundError: There is none.
            DamagedRecordError: The stored record is damaged.
        """
        for partition in self._partitions:
            if len(checked(await self._client.call(Call(partition, "read_message_changes", (id,))))) > 2:
                break
        else:
            raise MessageNotFoundError(id)
        await self._client.run_in_turn(id, self.patch_steps(id, patch))

    def patch_steps(self, id: str, patch: JsonObject) -> Steps[None]:
        """Change the metadata of the messages with an id, even before they arrive.

        The conversation of a message that has not arrived is unknown, so every partition keeps the change.
        """
        for partition in self._partitions:
            for _ in tries():
                version, text, *messages = checked((yield Call(partition, "read_message_changes", (id,))))
                changes = add_patch(read_changes("message", id, text), patch)
                args: list[str | bytes] = [id, version, dump_document(changes)]
                for conversation_id, old in zip(messages[::2], messages[1::2], strict=True):
                    args += [conversation_id, old, _patched(id, old, patch)]
                if checked((yield Call(partition, "commit_message_changes", tuple(args))))[0] == b"ok":
                    break


def _patched(id: str, old: bytes, patch: JsonObject) -> bytes:
    message = sound_message(old, id)
    if message is None:
        raise damaged("message", id)
    return message_bytes(message, to_struct(merge_patch(to_json(message.metadata), patch)))


def _rows(flat: Sequence[bytes]) -> list[_Row]:
    return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def _in_time(rows: list[_Row], cursor: Cursor) -> list[_Row]:
    """Return the rows of a page, oldest first."""
    return rows if cursor.direction == "newer" else rows[::-1]


def _sound_row(row: _Row) -> _Row:
    """Return a message as it may be sent; a damaged one is reported and loses its bytes."""
    at_ms, place, item = row
    sound = sound_messages(item) if item else None
    if sound is None:
        report_damage("message", place[_PLACE_DIGITS:].decode(errors="backslashreplace"))
    return at_ms, place, sound or b""
