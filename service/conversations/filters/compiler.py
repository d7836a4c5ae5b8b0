"""From a filter's text to a query that the store can run: parse, bind, simplify, plan, write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil

from conversations.errors import FilterTooBroadError, FilterTooLargeError
from conversations.filters.bind import bind
from conversations.filters.cost import cost_of
from conversations.filters.expressions import BoundExpression, Everything
from conversations.filters.language import BLANKS, MAX_FILTER_BYTES, parse, syntax_error
from conversations.filters.patterns import WordPattern
from conversations.filters.plan import make_plan
from conversations.filters.predicate import predicate_of
from conversations.filters.query import PhraseCheck, write_query
from conversations.filters.simplify import Node, patterns_of, simplify
from conversations.filters.warnings import warnings_for

__all__ = ["CompiledFilter", "Query", "compile_filter"]


@dataclass(frozen=True, slots=True)
class Query:
    """A RediSearch query, to be run VERBATIM in dialect 2."""

    text: str
    """`*` for every document; otherwise in parentheses, so that it can be part of a larger query. `<<i>>` stands for
    what phrase check i found, as a query."""
    phrase_checks: tuple[PhraseCheck, ...] = ()
    cost: int = field(default=0, compare=False)
    """Estimated milliseconds over 100,000 conversations, if most of them match."""
    predicate: str = field(default="", compare=False)
    """The same for one document, as in predicate.py; empty if that would be too long."""


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter that parsed, with names, types and values checked."""

    text: str
    """As it was given."""
    matches_all: bool
    """Whether it matches every conversation."""
    patterns: tuple[WordPattern, ...]
    """Patterns to match against dictionaries before there is a query; each once."""
    warnings: tuple[str, ...]
    """Likely mistakes, one sentence each."""
    expression: BoundExpression
    """The typed expression."""
    _node: Node
    _fixed: Query | None
    """The query, if it needs no words."""

    def query(self, words: Mapping[WordPattern, Sequence[str]], max_words: int) -> Query:
        """Return the query for the search engine.

        Args:
            words: The words that each of `patterns` matches.
            max_words: Maximum words that the patterns together may match; a pattern counts once for each place.

        Raises:
            FilterTooBroadError: They match more.
        """
        if self._fixed is not None:
            return self._fixed
        _check_breadth(patterns_of(self._node), words, max_words)
        return _query(self._node, words)


def _query(node: Node, words: Mapping[WordPattern, Sequence[str]]) -> Query:
    plan = make_plan(node, words)
    return Query(*write_query(plan), cost=ceil(cost_of(plan)), predicate=predicate_of(plan))


def _check_breadth(patterns: Sequence[WordPattern], words: Mapping[WordPattern, Sequence[str]], max_words: int) -> None:
    total = sum(len(words[pattern]) for pattern in patterns)
    if total <= max_words:
        return
    widest = max(patterns, key=lambda pattern: len(words[pattern]))
    share = len(words[widest])
    what = (
        f"this pattern matches {total}" if share == total else f"the patterns match {total} together, this one {share}"
    )
    raise FilterTooBroadError(
        f"at position {widest.position}: {what} different words of {max_words} at most; ask for more of the word",
        widest.position,
        words=str(total),
        limit=str(max_words),
    )


@lru_cache(maxsize=1024)
def compile_filter(text: str) -> CompiledFilter:
    """Return the compiled filter. A blank one matches every conversation.

    Raises:
        FilterError: The filter is invalid, as its subclass says; the error says where and why.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise syntax_error(error.start, "half a surrogate pair is no character") from None
    if size > MAX_FILTER_BYTES:
        message = f"a filter has at most {MAX_FILTER_BYTES} bytes; this one has more"
        raise FilterTooLargeError(message, 0, limit=str(MAX_FILTER_BYTES))
    if not text.strip(BLANKS):
        return CompiledFilter(text, True, (), (), Everything(0), True, Query("*"))
    query = parse(text)
    expression = bind(query)
    node = simplify(expression)
    patterns = tuple(dict.fromkeys(patterns_of(node)))
    fixed = None if patterns else _query(node, {})
    return CompiledFilter(text, node is True, patterns, warnings_for(query, expression), expression, node, fixed)
