"""Searches in all partitions: a partition answers once the words that a filter's query stands on are known."""

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
"""A reply of a function that searches, by name."""

# What costs more, in milliseconds, is counted by a call of its own: to count and to find a page may take as long each.
_MAX_COST_AT_ONCE = 30

# A search learns 10,000 words in each exchange: no dictionary has more.
_MAX_EXCHANGES = 2_000


# A search as one partition is asked for it, and the query that it is of.
_SearchCall = tuple[CachedQuery, Call]


class Search:
    """Searches for the conversations that a filter matches."""

    def __init__(self, client: Client, partitions: Partitions, settings: Settings) -> None:
        self._client = client
        self._partitions = partitions
        self._settings = settings
        self.cache = QueryCache(settings.max_filter_words)

    async def ask(self, compiled: CompiledFilter, function: str, request: Mapping[str, Any]) -> list[Reply]:
        """Call a function that searches in every partition, until none lacks words; return the replies.

        Args:
            compiled: The filter.
            function: Its name.
            request: What it is asked beside what lua/lib/request.lua has.

        Raises:
            FilterTooBroadError: The filter's patterns match too many words, its phrases too much, or it costs too much.
            OutOfTimeError: The search took too long.
            DamagedRecordError: A dictionary cannot be read, or is another one each time.
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
        """Return the query of each partition, with the words that patterns match.

        Raises:
            FilterTooBroadError: The filter's patterns match too many words.
            OutOfTimeError: The search took too long.
        """
        await self.ask(compiled, "list_places", {"offset": 0, "limit": 1})
        queries = []
        for partition in self._partitions:
            query = (await self.cache.get(compiled, partition)).query
            if isinstance(query, FilterTooBroadError):
                raise query.with_traceback(None)
            assert query is not None
            queries.append(query)
        return queries

    async def known_fields(self, names: Sequence[str]) -> set[str]:
        """Return those of some fields that have or had a word in a conversation."""
        if not names:
            return set()
        replies = await self._client.call_all([Call(p, "count_words", tuple(names)) for p in self._partitions])
        return {name for reply in replies for name, count in zip(names, reply, strict=True) if count}

    async def _search_call(
        self, compiled: CompiledFilter, partition: int, function: str, request: Mapping[str, Any], *, may_split: bool
    ) -> _SearchCall:
        """Return a search as a partition is asked for it; may_split: what is expensive may be counted by itself."""
        if compiled.matches_all:
            cached = CachedQuery({}, None)
        else:
            cached = await self.cache.get(compiled, partition)
        args: dict[str, Any] = {**request, "timeout_ms": self._settings.search_timeout_ms}
        if cached.words_known:
            args["words"] = cached.words_known
        query = cached.query
        # Words may have gone since a filter was too broad: Redis is asked whether what is known is still true.
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
        """Raise FilterTooBroadError where a search asks too much."""
        if outcome == b"broad":
            found, limit = str(reply[b"candidates"]), str(self._settings.max_phrase_candidates)
            sentence = f"{found} conversations may have a loose phrase; all those of a filter may have {limit} at most"
            raise FilterTooBroadError(sentence, 0, candidates=found, limit=limit)
        if outcome == b"costly":
            cost, limit = str(reply[b"cost"]), str(self._settings.max_filter_cost)
            raise FilterTooBroadError(
                f"the filter asks too much at once: it would keep the store busy for {cost} ms, {limit} at most; "
                "ask for fewer ranges, groups and negations, or for words that fewer conversations have",
                0,
                cost=cost,
                limit=limit,
            )
        if isinstance(cached.query, FilterTooBroadError):
            raise cached.query.with_traceback(None)
