"""Sets of whole numbers as spans: ascending, with gaps between them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

__all__ = ["EVERY_NUMBER", "Span", "complement", "intersection", "union"]

Span = tuple[float, float]
"""All whole numbers from the first to the last; infinite if open."""

EVERY_NUMBER: tuple[Span, ...] = ((-inf, inf),)


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the union of spans, which may be in any order and overlap."""
    united: list[Span] = []
    for low, high in sorted(spans):
        if united and low <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(united[-1][1], high))
        else:
            united.append((low, high))
    return tuple(united)


def complement(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the complement of a set."""
    gaps = [(low + 1, high - 1) for (_, low), (high, _) in pairwise([(-inf, -inf), *spans, (inf, inf)])]
    return tuple((low, high) for low, high in gaps if low < inf and high > -inf)


def intersection(sets: Iterable[Sequence[Span]]) -> tuple[Span, ...]:
    """Return the intersection of sets."""
    return complement(union(span for spans in sets for span in complement(spans)))
