"""From the text of a filter to something that a store can run: parse, bind, generate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from conversations.errors import FilterTooLargeError
from conversations.filters.binder import bind
from conversations.filters.expressions import BoundExpression, Everything
from conversations.filters.generator import Query, generate
from conversations.filters.lexer import syntax_error
from conversations.filters.nodes import Node, patterns_of, simplify
from conversations.filters.parser import MAX_FILTER_BYTES, parse
from conversations.filters.patterns import WordPattern
from conversations.filters.warnings import warnings_for

__all__ = ["CompiledFilter", "compile_filter"]


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter that parsed, with names, types and values checked."""

    text: str
    """As it came."""
    matches_all: bool
    """Whether it matches every conversation, whatever they are."""
    patterns: tuple[WordPattern, ...]
    """What has to be looked up in dictionaries of words before there is a query; each once."""
    warnings: tuple[str, ...]
    """What may not mean what its author thinks, one sentence each."""
    expression: BoundExpression
    """What it asks, with fields and types."""
    _node: Node
    _fixed: Query | None
    """The query, where it needs no words."""

    def query(self, words: Mapping[WordPattern, Sequence[str]], max_words: int) -> Query:
        """Return the query for the search engine.

        Args:
            words: The words that each of `patterns` matches.
            max_words: The most words that the patterns together may match, counted wherever the filter has them.

        Raises:
            FilterTooBroadError: They match more.
        """
        return self._fixed or generate(self._node, words, max_words)


@lru_cache(maxsize=1024)
def compile_filter(text: str) -> CompiledFilter:
    """Return what a filter asks. A blank one matches every conversation.

    Raises:
        FilterError: The filter is wrong, in one of the ways of its subclasses; the error says where and why.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise syntax_error(error.start, "half a surrogate pair is no character") from None
    if size > MAX_FILTER_BYTES:
        message = f"a filter has at most {MAX_FILTER_BYTES} bytes; this one has more"
        raise FilterTooLargeError(message, 0, limit=str(MAX_FILTER_BYTES))
    if not text.strip(_BLANKS):
        return CompiledFilter(text, True, (), (), Everything(0), True, Query("*", ()))
    query = parse(text)
    expression = bind(query)
    node = simplify(expression)
    patterns = tuple(dict.fromkeys(patterns_of(node)))
    fixed = None if patterns else generate(node, {}, 0)
    return CompiledFilter(text, node is True, patterns, warnings_for(query, expression), expression, node, fixed)


_BLANKS = " \t\n\r\u3000"
