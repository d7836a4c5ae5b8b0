"""The cache of queries: the RediSearch query of each filter, for the known words of a partition."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conversations.errors import FilterTooBroadError
from conversations.filters import CompiledFilter, Query
from conversations.store.dictionary import Dictionary, read_word

__all__ = ["CachedQuery", "QueryCache"]

_MAX_QUERIES = 256


@dataclass(slots=True)
class CachedQuery:
    """The query of a filter in a partition."""

    words_known: Mapping[str, tuple[int, bytes]]
    """For each dictionary that it needs, the number of known words and the mark of the last."""
    query: Query | FilterTooBroadError | None
    """The query for these words, or why there is none; None without a filter."""
    search_known: bytes = b""
    """What Redis returned about the last search, which saves the next one counting. See lua/lib/known.lua."""


class QueryCache:
    """Queries, and mirrors of the dictionaries that they need."""

    def __init__(self, max_words: int) -> None:
        """Start empty.

        Args:
            max_words: Maximum words that the patterns of a filter may match.
        """
        self._max_words = max_words
        self._mirrors: dict[int, dict[str, Dictionary]] = {}
        self._queries: OrderedDict[tuple[int, str], CachedQuery] = OrderedDict()

    async def get(self, compiled: CompiledFilter, partition: int) -> CachedQuery:
        """Return a filter's query for the known words of a partition."""
        mirrors = self._mirrors.setdefault(partition, {})
        while True:
            dictionaries = {pattern.field: mirrors.get(pattern.field) or Dictionary() for pattern in compiled.patterns}
            known = _sizes(dictionaries)
            cached = self._queries.get((partition, compiled.text))
            if cached is not None and cached.words_known == known:
                self._queries.move_to_end((partition, compiled.text))
                return cached
            words = {pattern: await dictionaries[pattern.field].search(pattern) for pattern in compiled.patterns}
            if _sizes(dictionaries) != known:
                continue  # another call has learned words
            try:
                query: Query | FilterTooBroadError = compiled.query(words, self._max_words)
            except FilterTooBroadError as error:
                query = error
            # A new word that does not match leaves the query as it was.
            search_known = cached.search_known if cached is not None and cached.query == query else b""
            cached = self._queries[partition, compiled.text] = CachedQuery(known, query, search_known)
            if len(self._queries) > _MAX_QUERIES:
                self._queries.popitem(last=False)
            return cached

    def learn(self, partition: int, cached: CachedQuery, lacking: Mapping[bytes, Any]) -> None:
        """Add the words that a partition had beyond those known when it was searched.

        Args:
            partition: Its number.
            cached: The query that was run.
            lacking: By dictionary, what dictionary.unknown_words of the Lua library returned.
        """
        mirrors = self._mirrors.setdefault(partition, {})
        for field, known in cached.words_known.items():
            kept, mark, *words = lacking[field.encode()]
            mirror = mirrors.get(field) or Dictionary()
            if (mirror.size, mirror.mark) != known:
                continue  # another call has learned words
            if kept == 0:
                # A field without words needs no mirror.
                mirror = Dictionary()
                mirrors.pop(field, None)
            if words:
                mirrors[field] = mirror
                # An invalid word is replaced by one that no document has.
                mirror.extend((read_word(field, word) or "\ufffd" for word in words), mark)

    def clear(self) -> None:
        """Forget all queries, but not the words."""
        self._queries.clear()


def _sizes(dictionaries: Mapping[str, Dictionary]) -> dict[str, tuple[int, bytes]]:
    return {field: (dictionary.size, dictionary.mark) for field, dictionary in dictionaries.items()}
