"""Lists of conversations: merges the pages of all partitions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from conversations.filters import CompiledFilter
from conversations.store.cursors import (
    BEFORE_ALL_MS,
    Cursor,
    Direction,
    cursors_of_empty_page,
    decode_cursor,
    encode_cursor,
)
from conversations.store.damage import report_damage
from conversations.store.pages import fill_page
from conversations.store.search import Reply, Search
from conversations.store.validation import SoundAnswers, salvaged_row, sound_page

__all__ = ["ConversationPage", "Listing"]

# Time in milliseconds, id, and the Conversation as field 1 of a message; empty if damaged.
_Row = tuple[int, bytes, bytes]

_MAX_TIME_MS = 10**15 - 1


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """A page of conversations, newest message first."""

    conversations: bytes
    """Serialized Conversation messages, each as field 1 of a message."""
    previous_cursor: str
    next_cursor: str
    filtered_total: int
    total: int
    unread: int
    """Conversations with unread messages."""


class Listing:
    """Lists conversations that match filters."""

    def __init__(self, search: Search, partitions: int, sound_answers: SoundAnswers) -> None:
        self._search = search
        self._partitions = partitions
        self._sound_answers = sound_answers

    async def page(self, compiled: CompiledFilter, cursor_text: str, limit: int) -> ConversationPage:
        """Return a page of the conversations that match. Damaged ones are counted but left out.

        Args:
            compiled: The filter.
            cursor_text: Cursor of another page with the same filter; empty for the newest.
            limit: Maximum conversations to return, 1 to 100.

        Raises:
            CursorError: The cursor is damaged or belongs to another list.
            OutOfTimeError: The search took too long.
        """
        scope = f"conversations {compiled.text}"
        cursor = decode_cursor(scope, cursor_text)
        if cursor.offset:
            cursor = await self._place_at(compiled, cursor.offset)
        replies = await self._search.run(compiled, "list_conversations", _request(cursor, limit))
        more = _sum(replies, b"more") > 0
        try:
            places, data, some_more = _page_of(replies, cursor.direction, limit)
            sound = self._sound_answers.sound((compiled.text, cursor_text, limit), data, sound_page)
        except ValueError:
            sound = None
        if sound is None:
            rows, some_more = await self._sound_rows(compiled, cursor, limit)
            places, sound = _joined(rows, cursor.direction)
        previous_cursor, next_cursor = _cursors(scope, cursor, places, _sum(replies, b"behind"), more or some_more)
        return ConversationPage(
            conversations=sound,
            previous_cursor=previous_cursor,
            next_cursor=next_cursor,
            filtered_total=_sum(replies, b"matches"),
            total=_sum(replies, b"total"),
            unread=_sum(replies, b"unread"),
        )

    async def _sound_rows(self, compiled: CompiledFilter, cursor: Cursor, limit: int) -> tuple[list[_Row], bool]:
        """Return the conversations of a page with damaged ones, as `fill_page` does."""

        async def fetch(last: _Row | None, wanted: int) -> tuple[list[_Row], bool]:
            request = _request(cursor, wanted)
            if last is not None:
                request |= {"at": str(last[0]), "id": last[1]}
            replies = await self._search.run(compiled, "list_sound_conversations", request, careful=True)
            return _merged(replies, cursor.direction, wanted)

        return await fill_page(limit, fetch, _sound_row)

    async def _place_at(self, compiled: CompiledFilter, offset: int) -> Cursor:
        """Return the place after the first `offset` matches."""
        # A single partition has the place itself; of several, each has to list all of its places up to there.
        first = offset - 1 if self._partitions == 1 else 0
        request = {"at": "", "id": "", "skipped": first, "limit": offset - first}
        replies = await self._search.run(compiled, "list_places", request, careful=True)
        words = [word for reply in replies for word in reply[b"places"].split()]
        places = sorted(zip(map(int, words[::2]), words[1::2], strict=True), reverse=True)
        if offset - 1 - first < len(places):
            at_ms, id = places[offset - 1 - first]
            return Cursor("older", str(at_ms), id.decode())
        return Cursor("older", BEFORE_ALL_MS)


def _request(cursor: Cursor, limit: int) -> dict[str, Any]:
    """Return the arguments of list_conversations besides the search."""
    return {"direction": cursor.direction, "at": cursor.at_ms, "id": cursor.key, "limit": limit}


def _sum(replies: Sequence[Reply], name: bytes) -> int:
    return sum(reply[name] for reply in replies)


def _cursors(
    scope: str, cursor: Cursor, places: Sequence[tuple[int, bytes]], behind: int, more: bool
) -> tuple[str, str]:
    """Return the cursors of the previous and the next page; empty if there is none."""
    if not places:
        return cursors_of_empty_page(scope, cursor, behind)
    older, newest = (behind > 0, more) if cursor.direction == "newer" else (more, behind > 0)
    (first_ms, first), (last_ms, last) = places[0], places[-1]
    return (
        encode_cursor(scope, "newer", str(first_ms), first.decode()) if newest else "",
        encode_cursor(scope, "older", str(last_ms), last.decode()) if older else "",
    )


def _page_of(replies: Sequence[Reply], direction: Direction, limit: int) -> tuple[list[tuple[int, bytes]], bytes, bool]:
    """Return places and bytes from replies of list_conversations, and whether merging left out any.

    Raises:
        ValueError: A reply is damaged.
    """
    if any(reply[b"damaged"] for reply in replies):
        raise ValueError("a conversation without bytes")
    if len(replies) == 1 and direction == "older":
        # The bytes are used as they are; only the first and the last place are needed.
        words: bytes = replies[0][b"places"]
        return [_first_place(words), _last_place(words)] if words else [], replies[0][b"page"], False
    rows, more = _merged(replies, direction, limit)
    return *_joined(rows, direction), more


def _first_place(words: bytes) -> tuple[int, bytes]:
    at_ms, id, _ = words.split(b" ", 2)
    return _time(at_ms), id


def _last_place(words: bytes) -> tuple[int, bytes]:
    *_, at_ms, id, _ = words.rsplit(b" ", 3)
    return _time(at_ms), id


def _time(word: bytes) -> int:
    at_ms = int(word)
    if abs(at_ms) > _MAX_TIME_MS:
        raise ValueError("not a time that a cursor can hold")
    return at_ms


def _rows(reply: Reply) -> Iterator[_Row]:
    """Yield the rows of a reply of list_conversations."""
    words, at = reply[b"places"].split(), 0
    for at_ms, id, size in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield _time(at_ms), id, reply[b"page"][at : at + int(size)]
        at += int(size)


def _merged(replies: Sequence[Reply], direction: Direction, limit: int) -> tuple[list[_Row], bool]:
    """Return the rows of all partitions, the nearest to the cursor first, and whether there are more."""
    rows = sorted((row for reply in replies for row in _rows(reply)), key=_place, reverse=direction == "older")
    return rows[:limit], len(rows) > limit or any(reply[b"more"] for reply in replies)


def _joined(rows: Sequence[_Row], direction: Direction) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the places and the joined bytes of rows, newest first."""
    ordered = rows if direction == "older" else rows[::-1]
    return [_place(row) for row in ordered], b"".join(row[2] for row in ordered)


def _place(row: _Row) -> tuple[int, bytes]:
    return row[0], row[1]


def _sound_row(row: _Row) -> _Row:
    """Return a conversation as it may be sent; a damaged one is reported and loses its bytes."""
    at_ms, id, item = row
    sound = salvaged_row(item) if item else None
    if sound is None:
        report_damage("conversation", id.decode())
    return at_ms, id, sound or b""
