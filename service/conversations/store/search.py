"""Searches all partitions. Redis cuts a long search into pieces; what one finds is passed to the next."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from time import monotonic
from typing import Any

from conversations.errors import OutOfTimeError, StoreUnavailableError
from conversations.filters import Answer, CompiledFilter, Query
from conversations.schema import METADATA_PREFIX, STATE
from conversations.settings import Settings
from conversations.store.client import Client
from conversations.store.damage import checked
from conversations.store.functions import Call, by_name, packed
from conversations.store.partitions import Partitions

__all__ = ["Reply", "Search"]

Reply = dict[bytes, Any]
"""A reply of a searching function, by name."""

_MAX_KNOWN = 256
# What a call keeps Redis busy for, in milliseconds, that has to find out more of its filter.
_TURN_MS = 10
# What took as many exchanges is shared with the other workers.
_SHARED_FROM = 3


@dataclass(slots=True)
class _Known:
    """What is known of the matches of a filter."""

    texts: dict[int, bytes] = field(default_factory=dict)
    """By partition: see lua/lib/known.lua."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the call that finds out more, so that others do not do the same work."""


@dataclass(slots=True)
class _Task:
    """A search in one partition."""

    partition: int
    request: Mapping[str, Any]
    reply: Reply | None = None
    places: list[bytes] = field(default_factory=list)
    """Places that unfinished calls have listed."""

    def take(self, reply: Reply, *, is_finished: bool) -> None:
        """Take a reply; if it is not the last, the next request goes on from there."""
        if is_finished:
            if self.places:
                reply[b"places"] = b" ".join([*self.places, reply[b"places"]]).strip()
            self.reply = reply
        elif b"places" in reply:
            found: bytes = reply[b"places"]
            if found:
                self.places.append(found)
            limit = self.request["limit"] - len(found.split()) // 2
            position = {"at": reply[b"at"], "id": reply[b"id"], "skipped": reply[b"skipped"]}
            self.request = {**self.request, **position, "limit": limit}
        elif walked := reply.get(b"walked"):
            self.request = {**self.request, "walked": walked.split(b" ")}


class Search:
    """Searches for the conversations that a filter matches."""

    def __init__(self, client: Client, partitions: Partitions, settings: Settings) -> None:
        self._client = client
        self._partitions = partitions
        self._timeout_seconds = settings.search_timeout_ms / 1000
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._sharing: set[asyncio.Task[None]] = set()

    async def run(
        self, compiled: CompiledFilter, function: str, request: Mapping[str, Any], *, careful: bool = False
    ) -> list[Reply]:
        """Call a searching function in every partition until it has finished; return the replies.

        Args:
            compiled: The filter.
            function: The function's name.
            request: Its arguments besides those in lua/lib/request.lua.
            careful: Whether to search without what is known of the filter, as the function does.

        Raises:
            OutOfTimeError: The search took too long.
            DamagedRecordError: A record that it needs is damaged.
        """
        ends = monotonic() + self._timeout_seconds
        known = _Known() if careful or compiled.matches_all else self._known_of(compiled)
        tasks = [_Task(partition, request) for partition in self._partitions]
        exchanges = 0
        if compiled.matches_all or len(known.texts) == len(tasks):
            await self._exchange(compiled, function, tasks, known, cost_ms=0)
            exchanges = 1
        if any(task.reply is None for task in tasks):
            async with known.lock:
                while any(task.reply is None for task in tasks):
                    if monotonic() > ends:
                        raise OutOfTimeError("the search ran out of time")
                    await self._exchange(compiled, function, tasks, known, cost_ms=_TURN_MS)
                    exchanges += 1
        if exchanges >= _SHARED_FROM and known.texts:
            self._share(compiled, known)
        return [task.reply for task in tasks if task.reply is not None]

    async def cost_ms(self, answer: Answer) -> float:
        """Return how long Redis takes for a clause of which nothing is known, in milliseconds, measured on a sample."""
        args = (packed({"is_exact": answer.query.is_exact}), _asked(answer.query), answer.predicate, "", "")
        calls = [Call(partition, "count_cost", args, _TURN_MS) for partition in self._partitions]
        return sum(float(by_name(reply)[b"ms"]) for reply in await self._client.call_all(calls))

    def forget(self) -> None:
        """Forget what is known of all filters."""
        self._known.clear()

    async def known_fields(self, names: Sequence[str]) -> set[str]:
        """Return the metadata fields, of those named, in which a conversation has a value."""
        # The state is not stored as metadata.
        asked = [name for name in names if name != f"{METADATA_PREFIX}{STATE.name}"]
        counts = [0] * len(asked)
        if asked:
            replies = await self._client.call_all([Call(p, "count_values", tuple(asked)) for p in self._partitions])
            counts = [sum(numbers) for numbers in zip(*replies, strict=True)]
        return set(names) - {name for name, count in zip(asked, counts, strict=True) if not count}

    def _known_of(self, compiled: CompiledFilter) -> _Known:
        known = self._known.setdefault(compiled.text, _Known())
        self._known.move_to_end(compiled.text)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    async def _exchange(
        self, compiled: CompiledFilter, function: str, tasks: Sequence[_Task], known: _Known, *, cost_ms: int
    ) -> None:
        """Make one call in each partition that has not finished."""
        unfinished = [task for task in tasks if task.reply is None]
        texts = known.texts
        calls = [_call(compiled, function, task, texts.get(task.partition, b""), cost_ms) for task in unfinished]
        if cost_ms:
            # Redis runs a pipeline to its end before it turns to others.
            replies = [await self._client.call(call) for call in calls]
        else:
            replies = await self._client.call_all(calls)
        for task, flat in zip(unfinished, replies, strict=True):
            outcome, reply = checked(flat)[0], by_name(flat)
            text: bytes = reply.get(b"known", b"")
            if text:
                known.texts[task.partition] = text
            task.take(reply, is_finished=outcome == b"ok")

    def _share(self, compiled: CompiledFilter, known: _Known) -> None:
        """Tell the other workers what is known of a filter; whether it succeeds does not matter."""
        calls = [Call(p, "share_known", (_name_of(compiled), text)) for p, text in known.texts.items()]

        async def send() -> None:
            with suppress(StoreUnavailableError):
                await self._client.call_all(calls)

        task = asyncio.create_task(send())
        self._sharing.add(task)
        task.add_done_callback(self._sharing.discard)


def _call(compiled: CompiledFilter, function: str, task: _Task, text: bytes, cost_ms: int) -> Call:
    if compiled.matches_all:
        return Call(task.partition, function, (packed(task.request), "", "", "", ""))
    query = compiled.query
    request = {**task.request, "is_exact": query.is_exact}
    args = (packed(request), _asked(query), compiled.predicate, text, _name_of(compiled))
    return Call(task.partition, function, args, cost_ms)


def _asked(query: Query) -> str:
    """Return a query; empty if the index cannot help."""
    return query.text if query.is_exact or query.text != "*" else ""


def _name_of(compiled: CompiledFilter) -> str:
    """Return the name of what filters with the same meaning find."""
    return blake2b(compiled.predicate, digest_size=16).hexdigest()
