"""Patterns over the words of a field: prefix, wildcards, fuzzy word, range, regular expression.

Redis matches them, see lua/lib/patterns.lua; no word contains a blank or a line feed.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from conversations.filters.patterns.regexes import compile_regex

__all__ = ["MAX_FLOATING", "Between", "Glob", "Near", "Predicate", "RegularExpression", "StartsWith", "WordPattern"]


@dataclass(frozen=True, slots=True)
class StartsWith:
    """Words that start with a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Glob:
    """Words that consist of segments with anything between them: `a?*c` has the segments `a?` and `c`."""

    segments: tuple[str, ...]
    """At least one. A line feed stands for `?`, any one code point."""


@dataclass(frozen=True, slots=True)
class Near:
    """Words within an edit distance: insertions, deletions, substitutions and transpositions of code points."""

    text: str
    edits: int
    """1 or 2."""


@dataclass(frozen=True, slots=True)
class Between:
    """Words between two bounds by code point; None is open."""

    low: str | None
    high: str | None
    low_inclusive: bool
    high_inclusive: bool


@dataclass(frozen=True, slots=True)
class RegularExpression:
    """Words that a regular expression in Lucene's syntax matches as a whole."""

    text: str


Predicate = StartsWith | Glob | Near | Between | RegularExpression


@dataclass(frozen=True, slots=True)
class WordPattern:
    """A predicate over the words of a field."""

    field: str
    """Its name: `display_name`, `id`, `channel_id`, `source`, `state`, `tag_ids`, `metadata.<path>`."""
    predicate: Predicate
    position: int = dataclasses.field(compare=False)
    """Its place in the filter, in code points from 0."""

    def spec(self) -> list[Any]:
        """Return it as lua/lib/patterns.lua reads it.

        Raises:
            FilterTooLargeError: A regular expression has too many states.
        """
        match self.predicate:
            case StartsWith(text):
                return ["prefix", text]
            case Glob(segments):
                return ["glob", *segments]
            case Near(text, edits):
                return ["fuzzy", text, edits]
            case Between(low, high, low_inclusive, high_inclusive):
                return ["range", _bound(low), _bound(high), low_inclusive, high_inclusive]
            case RegularExpression(text):
                # The slash is before the text.
                table = compile_regex(text, self.position + 1).table
                return ["regex", *dataclasses.astuple(table)]


def _bound(text: str | None) -> str | bool:
    return False if text is None else text


MAX_FLOATING = 64
"""The longest segment with `?` between two `*`, in code points."""
