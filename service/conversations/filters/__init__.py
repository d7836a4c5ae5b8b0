"""Filters: from text in Lucene's query syntax to queries of the search engine, without any I/O."""

from conversations.filters.compiler import CompiledFilter, Query, compile_filter
from conversations.filters.explain import Answer, Explanation, explain, explain_text, leaves, render
from conversations.filters.language import MAX_CLAUSES, MAX_FILTER_BYTES
from conversations.filters.patterns import WordPattern
from conversations.filters.warnings import metadata_fields

__all__ = [
    "MAX_CLAUSES",
    "MAX_FILTER_BYTES",
    "Answer",
    "CompiledFilter",
    "Explanation",
    "Query",
    "WordPattern",
    "compile_filter",
    "explain",
    "explain_text",
    "leaves",
    "metadata_fields",
    "render",
]
