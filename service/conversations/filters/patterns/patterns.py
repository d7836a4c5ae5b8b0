"""Patterns over the words of a field: prefix, wildcards, fuzzy word, range, regular expression.

A pattern is matched against a dictionary of words, given as one block of text: a line feed, then each word followed by
a line feed. No word contains a line feed. Every search takes time linear in the block, whatever the pattern.
"""

import dataclasses
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

from conversations.filters.patterns.automata import Automaton
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
    """A predicate over the dictionary of a field."""

    field: str
    """Name of the dictionary: `display_name`, `id`, `channel_id`, `source`, `state`, `tag_ids`, `metadata.<path>`."""
    predicate: Predicate
    position: int = dataclasses.field(compare=False)
    """Its place in the filter, in code points from 0."""

    def spec(self) -> list[Any] | None:
        """Return it as lua/lib/patterns.lua reads it; None for a regular expression of too many states.

        Raises:
            FilterTooLargeError: To find that out takes too long.
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
                table = _automaton(text, self.position).table(_MOST_STATES)
                if table is None:
                    return None
                accepting, starts, following = table
                return ["regex", 1, accepting, starts, [[state + 1 for state in row] for row in following]]

    def search(self, block: str) -> list[str]:
        """Return the words of a block that match, in its order.

        Raises:
            FilterTooBroadError: A regular expression takes too many states.
        """
        match self.predicate:
            case StartsWith(text):
                return _starts_with(text).findall(block)
            case Glob(segments):
                return _glob(block, segments)
            case Near(text, edits):
                return _near(block, text, edits)
            case Between() as between:
                return _between(block, between)
            case RegularExpression(text):
                return _automaton(text, self.position).search(block)


_MOST_STATES = 200


def _bound(text: str | None) -> str | bool:
    return False if text is None else text


@lru_cache(maxsize=256)
def _starts_with(text: str) -> re.Pattern[str]:
    return re.compile(rf"\n({re.escape(text)}[^\n]*+)")


MAX_FLOATING = 64
"""The longest segment with `?` between two `*`, in code points."""


def _glob(block: str, segments: tuple[str, ...]) -> list[str]:
    match segments:
        case ("", text) if text and "\n" not in text:
            return _ends_with(block, text)
        case ("", text, "") if len(text) > 1 and "\n" not in text:
            return _contains(block, text)
    if max(map(len, segments[1:-1]), default=0) > MAX_FLOATING:
        return _with_long_segments(block, segments)
    return _glob_expression(segments).findall(block)


def _ends_with(block: str, text: str) -> list[str]:
    found = []
    needle = text + "\n"
    at = block.find(needle)
    while at >= 0:
        found.append(block[block.rindex("\n", 0, at + len(text)) + 1 : at + len(text)])
        at = block.find(needle, at + len(needle) - 1)
    return found


def _contains(block: str, text: str) -> list[str]:
    found = []
    at = block.find(text)
    while at >= 0:
        end = block.index("\n", at)
        found.append(block[block.rindex("\n", 0, at) + 1 : end])
        at = block.find(text, end)
    return found


@lru_cache(maxsize=256)
def _glob_expression(segments: tuple[str, ...]) -> re.Pattern[str]:
    """Return an expression that never goes back: a segment in the middle is best matched where it comes first."""
    first, *rest = map(_segment, segments)
    if not rest:
        return re.compile(rf"\n({first})(?=\n)")
    *middle, last = rest
    inner = "".join(rf"(?>[^\n]*?{segment})" for segment in middle if segment)
    tail = rf"[^\n]{{{len(segments[-1])},}}+(?<={last})" if last else r"[^\n]*+"
    return re.compile(rf"\n({first}{inner}{tail})(?=\n)")


def _with_long_segments(block: str, segments: tuple[str, ...]) -> list[str]:
    """Search word by word: where a long segment repeats itself, an expression takes its length times the block's."""
    first, *middle, last = segments
    ends = _glob_expression((first, last))
    found = []
    for word in ends.findall(block):
        at = len(first)
        for segment in middle:
            start = _find(word, segment, at)
            if start < 0:
                break
            at = start + len(segment)
        else:
            if len(word) - at >= len(last):
                found.append(word)
    return found


def _find(word: str, segment: str, start: int) -> int:
    if "\n" not in segment:
        return word.find(segment, start)
    match = re.compile(_segment(segment)).search(word, start)
    return -1 if match is None else match.start()


def _segment(segment: str) -> str:
    return r"[^\n]".join(map(re.escape, segment.split("\n")))


def _near(block: str, text: str, edits: int) -> list[str]:
    words = block[1:-1].split("\n")
    found = extract(text, words, scorer=OSA.distance, score_cutoff=edits, limit=None)
    # An empty block has one empty "word".
    return [word for word, _, _ in found if word]


def _between(block: str, between: Between) -> list[str]:
    words = block[1:-1].split("\n")
    low, high = between.low, between.high
    if low is not None:
        if between.low_inclusive:
            words = [word for word in words if word >= low]
        else:
            words = [word for word in words if word > low]
    if high is not None:
        if between.high_inclusive:
            words = [word for word in words if word <= high]
        else:
            words = [word for word in words if word < high]
    return [word for word in words if word]


@lru_cache(maxsize=64)
def _automaton(text: str, position: int) -> Automaton:
    return compile_regex(text, position)
