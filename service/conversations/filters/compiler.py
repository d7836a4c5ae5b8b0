"""From a filter's text to a query that the store can run: parse, bind, simplify, plan, write."""

from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil

from conversations.errors import FilterTooLargeError
from conversations.filters.bind import bind
from conversations.filters.cost import cost_of
from conversations.filters.expressions import BoundExpression, Everything
from conversations.filters.language import BLANKS, MAX_FILTER_BYTES, parse, syntax_error
from conversations.filters.patterns import WordPattern
from conversations.filters.plan import Words, candidates, make_plan
from conversations.filters.predicate import predicate_of
from conversations.filters.query import write_query
from conversations.filters.simplify import Node, patterns_of, simplify
from conversations.filters.warnings import warnings_for

__all__ = ["CompiledFilter", "Query", "compile_filter"]


@dataclass(frozen=True, slots=True)
class Query:
    """A RediSearch query, to be run VERBATIM in dialect 2."""

    text: str
    """`*` for every document; otherwise in parentheses and fit to be a part of a larger query."""
    is_exact: bool
    """Whether it finds what the filter matches; otherwise it finds that and more, and the predicate tells."""
    cost: int = field(default=0, compare=False)
    """About how many milliseconds it takes over 100,000 conversations, if most of them match."""


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter that parsed, with names, types and values checked."""

    text: str
    """As it was given."""
    matches_all: bool
    """Whether it matches every conversation."""
    patterns: tuple[WordPattern, ...]
    """What may be looked up in dictionaries of words, to be asked by words; each once."""
    warnings: tuple[str, ...]
    """Likely mistakes, one sentence each."""
    expression: BoundExpression
    """What it asks, with fields and types."""
    predicate: bytes
    """The same, to be asked of one document: see predicate.py."""
    _node: Node

    def query(self, words: Words) -> Query:
        """Return the query for the search engine.

        Args:
            words: The words of those patterns that are to be looked for by their words.
        """
        node, is_exact = candidates(self._node, words)
        plan = make_plan(node, words)
        return Query(write_query(plan), is_exact, ceil(cost_of(plan)))


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
        return CompiledFilter(text, True, (), (), Everything(0), predicate_of(True), True)
    query = parse(text)
    expression = bind(query)
    node = simplify(expression)
    patterns = tuple(dict.fromkeys(patterns_of(node)))
    predicate = predicate_of(make_plan(node, {}))
    return CompiledFilter(text, node is True, patterns, warnings_for(query, expression), expression, predicate, node)
