"""Filters: from text in Lucene's query syntax to queries of the search engine, without any I/O."""

from conversations.filters.compiler import CompiledFilter, compile_filter
from conversations.filters.explain import Explanation, explain, explain_text, render
from conversations.filters.fields import FIELDS, Field, FieldKind
from conversations.filters.generator import PhraseCheck, Query
from conversations.filters.parser import MAX_CLAUSES, MAX_FILTER_BYTES, MAX_LEVELS
from conversations.filters.patterns import WordPattern
from conversations.filters.warnings import metadata_fields

__all__ = [
    "FIELDS",
    "MAX_CLAUSES",
    "MAX_FILTER_BYTES",
    "MAX_LEVELS",
    "CompiledFilter",
    "Explanation",
    "Field",
    "FieldKind",
    "PhraseCheck",
    "Query",
    "WordPattern",
    "compile_filter",
    "explain",
    "explain_text",
    "metadata_fields",
    "render",
]
