"""Searches all partitions; a partition answers once the words that a filter's query needs are known."""

from collections.abc import Mapping, Sequence
from typing import Any

from conversations.errors import FilterTooBroadError
from conversations.filters import CompiledFilter, Query
from conversations.settings import Settings
from conversations.store.client import Client
from conversations.store.damage import checked, damaged
from conversations.store.functions import Call, by_name, packed
from conversations.store.partitions import Partitions
from conversations.store.queries import CachedQuery, QueryCache

__all__ = ["Reply", "Search"]

Reply = dict[bytes, Any]
"""A reply of a searching function, by name."""

# A search that costs more, in milliseconds, is counted in its own call: counting may take as long as finding a page.
_MAX_COST_AT_ONCE = 30

# Each exchange learns up to 10,000 words of each dictionary: none is larger than all of these.
_MAX_EXCHANGES = 2_000


# The query, and the call that runs it in one partition.
_SearchCall = tuple[CachedQuery, Call]


class Search:
    """Searches for the conversations that a filter matches."""

    def __init__(self, client: Client, partitions: Partitions, settings: Settings) -> None:
        self._client = client
        self._partitions = partitions
        self._settings = settings
        self.cache = QueryCache(settings.max_filter_words)

    async def run(self, compiled: CompiledFilter, function: str, request: Mapping[str, Any]) -> list[Reply]:
        """Call a searching function in every partition until none has unknown words; return the replies.

        Args:
            compiled: The filter.
            function: The function's name.
            request: Its arguments besides those in lua/lib/request.lua.

        Raises:
            FilterTooBroadError: The filter's patterns or phrases match too much, or it costs too much.
            OutOfTimeError: The search took too long.
            DamagedRecordError: A dictionary cannot be read, or keeps changing.
        """
        replies: dict[int, Reply] = {}
        counted: set[int] = set()
        for _ in range(_MAX_EXCHANGES):
            asked = [
                await self._search_call(compiled, partition, function, request, may_split=partition not in counted)
                for partition in self._partitions
                if partition not in replies
            ]
            answers = await self._client.call_all([call for _, call in asked])
            for (cached, call), flat in zip(asked, answers, strict=True):
                outcome, reply = checked(flat)[0], by_name(flat)
                if outcome == b"stale":
                    self.cache.learn(call.partition, cached, reply)
                    continue
                self._check(outcome, reply, cached)
                if outcome == b"counted":
                    counted.add(call.partition)
                else:
                    replies[call.partition] = reply
                cached.search_known = reply.get(b"known") or cached.search_known
            if len(replies) == len(self._partitions):
                return [replies[p] for p in self._partitions]
        raise damaged("dictionary", ", ".join(pattern.field for pattern in compiled.patterns))

    async def queries(self, compiled: CompiledFilter) -> list[Query]:
        """Return the query for each partition, with the words that patterns match.

        Raises:
            FilterTooBroadError: The filter's patterns match too many words.
            OutOfTimeError: The search took too long.
        """
        await self.run(compiled, "list_places", {"offset": 0, "limit": 1})
        queries = []
        for partition in self._partitions:
            query = (await self.cache.get(compiled, partition)).query
            if isinstance(query, FilterTooBroadError):
                raise query.with_traceback(None)
            assert query is not None
            queries.append(query)
        return queries

    async def known_fields(self, names: Sequence[str]) -> set[str]:
        """Return the fields, of those named, that have or had a word in a conversation."""
        if not names:
            return set()
        replies = await self._client.call_all([Call(p, "count_words", tuple(names)) for p in self._partitions])
        return {name for reply in replies for name, count in zip(names, reply, strict=True) if count}

    async def _search_call(
        self, compiled: CompiledFilter, partition: int, function: str, request: Mapping[str, Any], *, may_split: bool
    ) -> _SearchCall:
        """Return the call that searches a partition; with `may_split` it may only count, if it is expensive."""
        if compiled.matches_all:
            cached = CachedQuery({}, None)
        else:
            cached = await self.cache.get(compiled, partition)
        args: dict[str, Any] = {**request, "timeout_ms": self._settings.search_timeout_ms}
        if cached.words_known:
            args["words"] = cached.words_known
        query = cached.query
        # Words may have gone since the filter was found too broad: Redis checks whether the known ones are current.
        if query is None or isinstance(query, FilterTooBroadError):
            return cached, Call(partition, function, (packed(args), "", "", ""))
        args |= {"cost": query.cost, "max_cost": self._settings.max_filter_cost}
        if may_split:
            args["max_cost_at_once"] = _MAX_COST_AT_ONCE
        if query.phrase_checks:
            args["max_candidates"] = self._settings.max_phrase_candidates
            args["phrases"] = [
                {"candidates": check.candidates, "slop": check.slop, "terms": check.terms}
                for check in query.phrase_checks
            ]
        known = cached.search_known
        texts = (packed(args), query.text, query.predicate, known)
        return cached, Call(partition, function, texts, 0 if known else query.cost)

    def _check(self, outcome: bytes, reply: Reply, cached: CachedQuery) -> None:
        """Raise FilterTooBroadError if a search asks too much."""
        if outcome == b"broad":
            found, limit = str(reply[b"candidates"]), str(self._settings.max_phrase_candidates)
            sentence = f"{found} conversations may have a loose phrase; at most {limit} may, for all those of a filter"
            raise FilterTooBroadError(sentence, 0, candidates=found, limit=limit)
        if outcome == b"costly":
            cost, limit = str(reply[b"cost"]), str(self._settings.max_filter_cost)
            raise FilterTooBroadError(
                f"the filter asks too much at once: it would keep the store busy for {cost} ms, at most {limit} are "
                "allowed; use fewer ranges, groups and negations, or words that fewer conversations have",
                0,
                cost=cost,
                limit=limit,
            )
        if isinstance(cached.query, FilterTooBroadError):
            raise cached.query.with_traceback(None)
