"""Conversations: read, list, change."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from conversations.errors import ConversationNotFoundError, FilterTooBroadError, TagNotFoundError
from conversations.settings import Settings
from conversations.store.client import Client
from conversations.store.cursors import (
    BEFORE_ALL_MS,
    Cursor,
    Direction,
    cursors_of_empty_page,
    decode_cursor,
    encode_cursor,
)
from conversations.store.damage import checked, damaged, read_changes, read_document, report_damage
from conversations.store.dictionary import Dictionary, Pattern, read_word
from conversations.store.documents import (
    ConversationPatch,
    IncomingMessage,
    document_parts,
    dump_document,
    message_bytes,
    to_json,
    to_struct,
)
from conversations.store.functions import Call, Steps, by_name, packed
from conversations.store.merge import apply_changes, merge_patch
from conversations.store.partitions import Partitions
from conversations.store.turns import tries
from conversations.store.validation import SoundAnswers, mended_conversation, mended_row, sound_conversation, sound_page

# Time in milliseconds, id, and the Conversation as field 1 of a message, or nothing where it is damaged.
_Row = tuple[int, bytes, bytes]

# A reply of a function that searches, by name.
_Reply = dict[bytes, Any]

_MAX_TIME_MS = 10**15 - 1

_KEPT_QUERIES = 256

# What costs more, in milliseconds, is counted by a call of its own: to count and to find a page may take as long each.
_MAX_COST_AT_ONCE = 30

_LIST, _CAREFUL_LIST = "list_conversations", "list_sound_conversations"

# Where records of a page are damaged, others are asked for in their place: so many at once, and so often.
_REPLACEMENTS = 100
_MAX_ROUNDS = 20

# A search learns 10,000 words in each exchange: no dictionary has more.
_MAX_EXCHANGES = 2_000

__all__ = ["CompiledFilter", "ConversationPage", "Conversations", "PhraseCheck", "SearchQuery"]


class PhraseCheck(Protocol):
    """A loose phrase that RediSearch cannot say: its candidates are checked one by one."""

    @property
    def candidates(self) -> str:
        """RediSearch query for a superset."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """Index terms in order."""
        ...

    @property
    def slop(self) -> int:
        """How far apart they may be."""
        ...


class SearchQuery(Protocol):
    """A query as RediSearch reads it."""

    @property
    def text(self) -> str:
        """Dialect 2; phrase check i stands in it as `<<i>>`."""
        ...

    @property
    def phrase_checks(self) -> Sequence[PhraseCheck]:
        """In the order of their numbers."""
        ...

    @property
    def cost(self) -> int:
        """About how many milliseconds it takes over 100,000 conversations."""
        ...

    @property
    def predicate(self) -> str:
        """The same of one document, as in filters/predicates.py; empty where there is none."""
        ...


class CompiledFilter(Protocol):
    """What the store has to know of a filter."""

    @property
    def text(self) -> str:
        """The filter as it was written."""
        ...

    @property
    def matches_all(self) -> bool:
        """True where every conversation matches."""
        ...

    @property
    def patterns(self) -> Sequence[Pattern]:
        """What has to be looked up in dictionaries first."""
        ...

    def query(self, words: Mapping[Any, Sequence[str]], max_words: int) -> SearchQuery:
        """Return the query, given the words that each pattern matches."""
        ...


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """A page of conversations, newest message first."""

    conversations: bytes
    """Conversation messages, serialised, each as field 1 of a message."""
    previous_cursor: str
    next_cursor: str
    filtered_total: int
    total: int
    unread: int
    """Conversations with unread messages."""


@dataclass(slots=True)
class _Kept:
    """What is kept of a filter in a partition."""

    words_known: Mapping[str, tuple[int, bytes]]
    """Of each dictionary that it needs, how many words were known and the mark of the last."""
    query: SearchQuery | FilterTooBroadError | None
    """The query for that, or why there is none; None without a filter."""
    search_known: bytes = b""
    """What Redis said of the last search: with it the next one need not count again. See lua/lib/known.lua."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A search as one partition is asked for it."""

    partition: int
    asked: dict[str, Any]
    """As lua/lib/request.lua reads it."""
    texts: tuple[str, str]
    """Query and predicate."""
    kept: _Kept
    cost_ms: int = 0
    """About how long it keeps Redis busy where nothing is known of an earlier search."""


class Conversations:
    """All conversations."""

    def __init__(self, client: Client, partitions: Partitions, settings: Settings) -> None:
        self._client = client
        self._partitions = partitions
        self._settings = settings
        self._dictionaries: list[dict[str, Dictionary]] = [{} for _ in partitions]
        self._queries: OrderedDict[tuple[int, str], _Kept] = OrderedDict()
        self._sound_answers = SoundAnswers()

    async def get(self, id: str) -> bytes:
        """Return one Conversation, serialised.

        Raises:
            ConversationNotFoundError: There is none.
            DamagedRecordError: It cannot be shown.
        """
        found = checked(await self._client.call(Call(self._partitions.of(id), "get_conversation", (id,))))
        if found is None:
            raise ConversationNotFoundError(id)
        sound = self._sound_answers.sound(id, found, sound_conversation) or mended_conversation(found)
        if sound is None:
            raise damaged("conversation", id)
        return sound

    async def list_page(self, compiled: CompiledFilter, cursor_text: str, limit: int) -> ConversationPage:
        """Return a page of the conversations that match. Those that are damaged are counted, but not in it.

        Args:
            compiled: The filter.
            cursor_text: Cursor of another page with the same filter; empty for the newest.
            limit: The most conversations to return, 1 to 100.

        Raises:
            CursorError: The cursor is damaged or of another list.
            FilterTooBroadError: The filter's patterns match too many words.
            OutOfTimeError: The search took too long.
            DamagedRecordError: A dictionary that the filter needs cannot be read.
        """
        scope = f"conversations {compiled.text}"
        cursor = decode_cursor(scope, cursor_text)
        if cursor.offset:
            cursor = await self._place_at(compiled, cursor.offset)
        place = {"direction": cursor.direction, "at": cursor.at_ms, "id": cursor.key, "limit": limit}
        replies = await self._search(compiled, _LIST, place)
        behind, more = _sum(replies, b"behind"), _sum(replies, b"more")
        newer = cursor.direction == "newer"
        try:
            places, data, some_more = _page_of(replies, cursor.direction, limit)
            sound = self._sound_answers.sound((compiled.text, cursor_text, limit), data, sound_page)
        except ValueError:
            sound = None
        if sound is None:
            rows, some_more = await self._sound_rows(compiled, cursor, limit)
            places, sound = _put_together(rows, cursor.direction)
        more += some_more
        older, newest = (behind > 0, more > 0) if newer else (more > 0, behind > 0)

        if places:
            (first_ms, first), (last_ms, last) = places[0], places[-1]
            previous_cursor = encode_cursor(scope, "newer", str(first_ms), first.decode()) if newest else ""
            next_cursor = encode_cursor(scope, "older", str(last_ms), last.decode()) if older else ""
        else:
            previous_cursor, next_cursor = cursors_of_empty_page(scope, cursor, behind)
        return ConversationPage(
            conversations=sound,
            previous_cursor=previous_cursor,
            next_cursor=next_cursor,
            filtered_total=_sum(replies, b"matches"),
            total=_sum(replies, b"total"),
            unread=_sum(replies, b"unread"),
        )

    async def _sound_rows(self, compiled: CompiledFilter, cursor: Cursor, limit: int) -> tuple[list[_Row], bool]:
        """Return the conversations of a page, the nearest to its cursor first, and whether there are more.

        Those that are damaged stand there without bytes; others are fetched until the page is full.
        """
        rows: list[_Row] = []
        place: dict[str, Any] = {"direction": cursor.direction, "at": cursor.at_ms, "id": cursor.key, "limit": limit}
        missing, more = limit, False
        for _ in range(_MAX_ROUNDS):
            found, more = _merged(await self._search(compiled, _CAREFUL_LIST, place), cursor.direction, place["limit"])
            for number, row in enumerate(found, 1):
                rows.append(_sound_row(row))
                missing -= bool(rows[-1][2])
                if missing == 0:
                    return rows, more or number < len(found)
            if not more or not found:
                break
            at_ms, id, _ = rows[-1]
            place |= {"at": str(at_ms), "id": id, "limit": _REPLACEMENTS}
        return rows, more and bool(rows)

    async def queries(self, compiled: CompiledFilter) -> list[SearchQuery]:
        """Return the query of each partition, with the words that patterns match.

        Raises:
            FilterTooBroadError: The filter's patterns match too many words.
            OutOfTimeError: The search took too long.
        """
        await self._search(compiled, "list_places", {"offset": 0, "limit": 1})
        queries = []
        for partition in self._partitions:
            kept = await self._keep(compiled, partition)
            if isinstance(kept.query, FilterTooBroadError):
                raise kept.query.with_traceback(None)
            assert kept.query is not None
            queries.append(kept.query)
        return queries

    async def known_fields(self, names: Sequence[str]) -> set[str]:
        """Return those of some fields that have or had a word in a conversation."""
        if not names:
            return set()
        replies = await self._client.call_all([Call(p, "count_words", tuple(names)) for p in self._partitions])
        return {name for reply in replies for name, count in zip(names, reply, strict=True) if count}

    async def _place_at(self, compiled: CompiledFilter, offset: int) -> Cursor:
        """Return the place behind the first `offset` matches."""
        if len(self._partitions) == 1:
            replies = await self._search(compiled, "list_places", {"offset": offset - 1, "limit": 1})
            skip = 0
        else:
            replies = await self._search(compiled, "list_places", {"offset": 0, "limit": offset})
            skip = offset - 1
        words = [word for reply in replies for word in reply[b"places"].split()]
        places = list(zip(map(int, words[::2]), words[1::2], strict=True))
        places.sort(reverse=True)
        if skip < len(places):
            at_ms, id = places[skip]
            return Cursor("older", str(at_ms), id.decode())
        return Cursor("older", BEFORE_ALL_MS)

    async def _search(self, compiled: CompiledFilter, function: str, more: Mapping[str, Any]) -> list[_Reply]:
        """Call a function that searches in every partition, until none lacks words; return the replies.

        Args:
            compiled: The filter.
            function: Its name.
            more: What it is asked beside what lua/lib/request.lua has.

        Raises:
            DamagedRecordError: A dictionary cannot be read, or is another one each time.
        """
        replies: dict[int, _Reply] = {}
        counted: set[int] = set()
        for _ in range(_MAX_EXCHANGES):
            asked = [await self._ask(compiled, p, p not in counted) for p in self._partitions if p not in replies]
            calls = [
                Call(q.partition, function, (packed({**q.asked, **more}), *q.texts, q.kept.search_known), q.cost_ms)
                for q in asked
            ]
            for question, flat in zip(asked, await self._client.call_all(calls), strict=True):
                outcome, reply = checked(flat)[0], by_name(flat)
                match outcome:
                    case b"stale":
                        self._learn(question, reply)
                    case b"counted":
                        counted.add(question.partition)
                        question.kept.search_known = reply[b"known"]
                    case b"broad":
                        raise self._too_broad(reply[b"candidates"])
                    case b"costly":
                        raise self._too_costly(reply[b"cost"])
                    case _ if isinstance(question.kept.query, FilterTooBroadError):
                        raise question.kept.query.with_traceback(None)
                    case _:
                        replies[question.partition] = reply
                        if function == _LIST and reply[b"known"]:
                            question.kept.search_known = reply[b"known"]
            if len(replies) == len(self._partitions):
                return [replies[p] for p in self._partitions]
        raise damaged("dictionary", ", ".join(pattern.field for pattern in compiled.patterns))

    def _too_broad(self, candidates: int) -> FilterTooBroadError:
        limit = self._settings.max_phrase_candidates
        return FilterTooBroadError(
            f"{candidates} conversations may have a loose phrase; all those of a filter may have {limit} at most",
            0,
            candidates=str(candidates),
            limit=str(limit),
        )

    def _too_costly(self, cost: int) -> FilterTooBroadError:
        limit = self._settings.max_filter_cost
        return FilterTooBroadError(
            f"the filter asks too much at once: it would keep the store busy for {cost} ms, {limit} at most; "
            "ask for fewer ranges, groups and negations, or for words that fewer conversations have",
            0,
            cost=str(cost),
            limit=str(limit),
        )

    async def _ask(self, compiled: CompiledFilter, partition: int, may_split: bool) -> "_Question":
        """Put a filter into a partition's terms, with what is known of it.

        Args:
            compiled: The filter.
            partition: Which one.
            may_split: Whether what is expensive may be counted by a call of its own.
        """
        asked: dict[str, Any] = {"timeout_ms": self._settings.search_timeout_ms}
        if compiled.matches_all:
            return _Question(partition, asked, ("", ""), _Kept({}, None))
        kept = await self._keep(compiled, partition)
        # Words may have gone since a filter was too broad: Redis is asked whether what is known is still true.
        query = None if isinstance(kept.query, FilterTooBroadError) else kept.query
        if kept.words_known:
            asked["words"] = kept.words_known
        if not query:
            return _Question(partition, asked, ("", ""), kept)
        asked |= {"cost": query.cost, "max_cost": self._settings.max_filter_cost}
        if query.phrase_checks:
            asked["max_candidates"] = self._settings.max_phrase_candidates
            asked["phrases"] = [
                {"candidates": check.candidates, "slop": check.slop, "terms": check.terms}
                for check in query.phrase_checks
            ]
        if may_split:
            asked["max_cost_at_once"] = _MAX_COST_AT_ONCE
        return _Question(partition, asked, (query.text, query.predicate), kept, 0 if kept.search_known else query.cost)

    async def _keep(self, compiled: CompiledFilter, partition: int) -> _Kept:
        """Return a filter's query, for what is known of a partition's words."""
        while True:
            dictionaries = self._known_dictionaries(compiled, partition)
            known = _sizes(dictionaries)
            kept = self._queries.get((partition, compiled.text))
            if kept is not None and kept.words_known == known:
                self._queries.move_to_end((partition, compiled.text))
                return kept
            words = {pattern: await dictionaries[pattern.field].search(pattern) for pattern in compiled.patterns}
            if _sizes(dictionaries) != known:
                continue  # another call has learned meanwhile
            try:
                query: SearchQuery | FilterTooBroadError | None = compiled.query(words, self._settings.max_filter_words)
            except FilterTooBroadError as error:
                query = error
            # A new word that does not match leaves the query as it was.
            search_known = kept.search_known if kept is not None and kept.query == query else b""
            kept = self._queries[partition, compiled.text] = _Kept(known, query, search_known)
            if len(self._queries) > _KEPT_QUERIES:
                self._queries.popitem(last=False)
            return kept

    def _known_dictionaries(self, compiled: CompiledFilter, partition: int) -> dict[str, Dictionary]:
        mirrors = self._dictionaries[partition]
        return {pattern.field: mirrors.get(pattern.field) or Dictionary() for pattern in compiled.patterns}

    def _learn(self, question: "_Question", lacking: _Reply) -> None:
        """Take in the words that a partition has beyond those that were known when it was asked."""
        mirrors = self._dictionaries[question.partition]
        for field, known in question.kept.words_known.items():
            kept, mark, *words = lacking[field.encode()]
            mirror = mirrors.get(field) or Dictionary()
            if (mirror.size, mirror.mark) != known:
                continue  # another call has learned meanwhile
            if kept == 0:
                # A field that nobody has needs no mirror, whatever is asked.
                mirror = Dictionary()
                mirrors.pop(field, None)
            if words:
                mirrors[field] = mirror
                # What cannot be a word stands there as one that nothing has.
                mirror.extend((read_word(field, word) or "\ufffd" for word in words), mark)

    async def mark_read(self, id: str, now_ms: int) -> None:
        """Mark every message so far as read."""
        reply = await self._client.call(Call(self._partitions.of(id), "mark_all_read", (id, now_ms)))
        _check(reply, id)

    async def tag(self, id: str, tag_id: str) -> None:
        """Put a tag on a conversation."""
        reply = await self._client.call(Call(self._partitions.of(id), "tag_conversation", (id, tag_id)))
        _check(reply, id, tag_id)

    async def untag(self, id: str, tag_id: str) -> None:
        """Take a tag off a conversation."""
        reply = await self._client.call(Call(self._partitions.of(id), "untag_conversation", (id, tag_id)))
        _check(reply, id, tag_id)

    async def set_state(self, id: str, state: str | None) -> None:
        """Set the state, `OPEN` or `CLOSED`, or remove it."""
        partition = self._partitions.of(id)
        call = Call(partition, "set_state", (id, state)) if state else Call(partition, "remove_state", (id,))
        reply = await self._client.call(call)
        _check(reply, id)

    async def patch(self, id: str, patch: ConversationPatch) -> None:
        """Change the metadata of a conversation that exists."""
        await self._client.run_in_turn(id, self.patch_steps(id, patch, must_exist=True))

    def patch_steps(self, id: str, patch: ConversationPatch, *, must_exist: bool = False) -> Steps[None]:
        """Change a conversation's metadata; without `must_exist` it may wait for the conversation."""
        partition = self._partitions.of(id)
        for _ in tries():
            version, text, exists = checked((yield Call(partition, "read_document", (id,))))
            if must_exist and exists == b"0":
                raise ConversationNotFoundError(id)
            document = merge_patch(read_document(id, text), patch.document)
            change = {
                "document": dump_document(document),
                "state": patch.state,
                "added": patch.added_tags,
                "removed": patch.removed_tags,
                **document_parts(document),
            }
            if checked((yield Call(partition, "commit_document", (id, version, packed(change)))))[0] == b"ok":
                return

    def message_steps(self, incoming: IncomingMessage) -> Steps[None]:
        """Add a message or replace the one with its id."""
        partition = self._partitions.of(incoming.conversation_id)
        message = incoming.message
        stored, version = message.SerializeToString(), b"0"
        for _ in tries():
            facts = (incoming.conversation_id, incoming.id, incoming.sent_at_ms, int(message.from_contact))
            args = (*facts, incoming.channel_id, incoming.source, stored, version)
            reply = checked((yield Call(partition, "add_message", args)))
            if reply[0] == b"ok":
                return
            version = reply[1]
            metadata = apply_changes(to_json(message.metadata), read_changes("message", incoming.id, reply[2]))
            stored = message_bytes(message, to_struct(metadata))

    def receipt_steps(self, id: str, read_at_ms: int, now_ms: int) -> Steps[None]:
        """Mark the messages up to a time as read, at most up to the latest one or to now; it may wait for them."""
        checked((yield Call(self._partitions.of(id), "add_receipt", (id, read_at_ms, now_ms))))


def _sum(replies: Sequence[_Reply], name: bytes) -> int:
    return sum(reply[name] for reply in replies)


def _page_of(
    replies: Sequence[_Reply], direction: Direction, limit: int
) -> tuple[list[tuple[int, bytes]], bytes, bool]:
    """Return places and bytes of what list_conversations answers, and whether there are more than it says itself.

    Raises:
        ValueError: Something in it is damaged.
    """
    if any(reply[b"damaged"] for reply in replies):
        raise ValueError("a conversation without bytes")
    if len(replies) == 1 and direction == "older":
        # As it comes: only first and last place are wanted.
        words: bytes = replies[0][b"places"]
        return [_first_place(words), _last_place(words)] if words else [], replies[0][b"page"], False
    rows, more = _merged(replies, direction, limit)
    return *_put_together(rows, direction), more


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


def _rows(reply: _Reply) -> Iterator[_Row]:
    """Yield what list_conversations answers."""
    words, at = reply[b"places"].split(), 0
    for at_ms, id, size in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield _time(at_ms), id, reply[b"page"][at : at + int(size)]
        at += int(size)


def _merged(replies: Sequence[_Reply], direction: Direction, limit: int) -> tuple[list[_Row], bool]:
    """Return what all partitions answer, the nearest to the cursor first, and whether there are more."""
    rows = sorted((row for reply in replies for row in _rows(reply)), key=_place, reverse=direction == "older")
    return rows[:limit], len(rows) > limit or any(reply[b"more"] for reply in replies)


def _put_together(rows: Sequence[_Row], direction: Direction) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the places and the bytes of rows as a page has them, the newest first."""
    ordered = rows if direction == "older" else rows[::-1]
    return [_place(row) for row in ordered], b"".join(row[2] for row in ordered)


def _place(row: _Row) -> tuple[int, bytes]:
    return row[0], row[1]


def _sound_row(row: _Row) -> _Row:
    """Return a conversation as it may be sent, or without bytes; one that is damaged is reported."""
    at_ms, id, item = row
    sound = mended_row(item) if item else None
    if sound is None:
        report_damage("conversation", id.decode())
    return at_ms, id, sound or b""


def _sizes(dictionaries: Mapping[str, Dictionary]) -> dict[str, tuple[int, bytes]]:
    return {field: (dictionary.size, dictionary.mark) for field, dictionary in dictionaries.items()}


def _check(reply: Sequence[bytes], id: str, tag_id: str = "") -> None:
    checked(reply)
    if reply[0] == b"missing":
        raise ConversationNotFoundError(id)
    if reply[0] == b"deleted":
        raise TagNotFoundError(tag_id)
