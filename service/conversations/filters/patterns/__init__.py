"""Patterns over the words of a field, as Redis matches them."""

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
from conversations.filters.patterns.regexes import Budget

__all__ = [
    "MAX_FLOATING",
    "Between",
    "Budget",
    "Glob",
    "Near",
    "Predicate",
    "RegularExpression",
    "StartsWith",
    "WordPattern",
]
