"""The filter language: from text to a syntax tree, in Lucene's classic grammar."""

from conversations.filters.language.lexer import BLANKS, syntax_error
from conversations.filters.language.parser import MAX_CLAUSES, MAX_FILTER_BYTES, MAX_LEVELS, parse
from conversations.filters.language.syntax import (
    Clause,
    Conjunction,
    Expression,
    FieldName,
    Fuzzy,
    Group,
    Modifier,
    Phrase,
    Prefix,
    Range,
    Regex,
    Wildcard,
    Word,
)

__all__ = [
    "BLANKS",
    "MAX_CLAUSES",
    "MAX_FILTER_BYTES",
    "MAX_LEVELS",
    "Clause",
    "Conjunction",
    "Expression",
    "FieldName",
    "Fuzzy",
    "Group",
    "Modifier",
    "Phrase",
    "Prefix",
    "Range",
    "Regex",
    "Wildcard",
    "Word",
    "parse",
    "syntax_error",
]
