"""From a filter's text to a query that the store can run: parse, bind, simplify, plan, write."""

from dataclasses import dataclass
from functools import lru_cache

from conversations.errors import FilterTooLargeError
from conversations.filters.bind import bind
from conversations.filters.expressions import BoundExpression, Everything
from conversations.filters.language import BLANKS, MAX_FILTER_BYTES, parse, syntax_error
from conversations.filters.plan import candidates, make_plan
from conversations.filters.predicate import predicate_of
from conversations.filters.query import write_query
from conversations.filters.simplify import simplify
from conversations.filters.warnings import warnings_for

__all__ = ["CompiledFilter", "Query", "asked_of", "compile_filter"]


@dataclass(frozen=True, slots=True)
class Query:
    """A RediSearch query, to be run VERBATIM in dialect 2."""

    text: str
    """`*` for every document; otherwise in parentheses, so that it can be part of a larger query."""
    is_exact: bool
    """Whether it finds what the filter matches; otherwise it finds more, which the predicate tells apart."""


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter that parsed, with names, types and values checked."""

    text: str
    """As it was given."""
    matches_all: bool
    """Whether it matches every conversation."""
    warnings: tuple[str, ...]
    """Likely mistakes, one sentence each."""
    expression: BoundExpression
    """The typed expression."""
    query: Query
    """What the search engine can be asked."""
    predicate: bytes
    """The filter for one document, as in predicate.py."""


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
        return _compiled(text, (), Everything(0))
    query = parse(text)
    expression = bind(query)
    return _compiled(text, warnings_for(query, expression), expression)


def _compiled(text: str, warnings: tuple[str, ...], expression: BoundExpression) -> CompiledFilter:
    query, predicate = asked_of(expression)
    return CompiledFilter(text, query == _EVERYTHING, warnings, expression, query, predicate)


_EVERYTHING = Query("*", is_exact=True)


def asked_of(expression: BoundExpression) -> tuple[Query, bytes]:
    """Return what the search engine can be asked for an expression, and its predicate."""
    node = simplify(expression)
    asked, is_exact = candidates(node)
    return Query(write_query(make_plan(asked)), is_exact), predicate_of(make_plan(node))
