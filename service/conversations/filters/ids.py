"""Prefixes and ranges of conversation ids as numbers: the index holds the first 48 bits of each id, its start."""

from bisect import bisect_left
from math import inf

from conversations.filters.patterns import Between
from conversations.filters.spans import Span

__all__ = ["START_LENGTH", "split_range", "starts_with"]

START_LENGTH = 13
"""Length of an id's start, `01234567-89ab`, in characters."""

_STARTS = 1 << 48
_AFTER_ALL = "\U0010ffff"


def starts_with(text: str) -> list[Span]:
    """Return the starts of the ids that begin with a text of at most START_LENGTH characters."""
    return _starts_between(text, text + _AFTER_ALL)


def split_range(between: Between) -> tuple[list[Span], list[Between]]:
    """Return the starts of the ids in a range, and ranges for the ids with the start of a longer bound."""
    low, high = between.low, between.high
    edges = []
    if low is not None and len(low) > START_LENGTH:
        edges.append(low[:START_LENGTH])
        low = edges[-1] + _AFTER_ALL
    if high is not None and len(high) > START_LENGTH:
        edges.append(high[:START_LENGTH])
        high = edges[-1]
    starts = [start for start in dict.fromkeys(edges) if _is_start(start)]
    return _starts_between(low, high), [_edge(between, start) for start in starts]


def _start(number: int) -> str:
    digits = f"{number:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _first_start(bound: str) -> int:
    """Return the number of the first start that is not below a bound, by code point.

    No id equals a bound that is at most as long as a start, so an id is above such a bound if its start isn't below it.
    """
    return bisect_left(range(_STARTS), bound, key=_start)


def _is_start(text: str) -> bool:
    number = _first_start(text)
    return number < _STARTS and _start(number) == text


def _starts_between(low: str | None, high: str | None) -> list[Span]:
    """Return the starts from `low` on and below `high`."""
    first = 0 if low is None else _first_start(low)
    end = _STARTS if high is None else _first_start(high)
    return [(first or -inf, inf if end == _STARTS else end - 1)] if first < end else []


def _edge(between: Between, start: str) -> Between:
    """Return the part of a range whose ids begin with a start."""
    low, low_inclusive, high, high_inclusive = start, True, start + _AFTER_ALL, False
    if between.low is not None and between.low > low:
        low, low_inclusive = between.low, between.low_inclusive
    if between.high is not None and between.high < high:
        high, high_inclusive = between.high, between.high_inclusive
    return Between(low, high, low_inclusive, high_inclusive)
