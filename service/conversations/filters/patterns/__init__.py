"""Patterns over the words of a field, matched against the words in use."""

from conversations.filters.patterns.patterns import (
    MAX_FLOATING,
    Between,
    Glob,
    Near,
    Predicate,
    RegularExpression,
    StartsWith,
    WordPattern,
)
from conversations.filters.patterns.regexes import compile_regex

__all__ = [
    "MAX_FLOATING",
    "Between",
    "Glob",
    "Near",
    "Predicate",
    "RegularExpression",
    "StartsWith",
    "WordPattern",
    "compile_regex",
]
