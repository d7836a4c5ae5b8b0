"""Sets of whole numbers."""

from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from conversations.filters import spans
from conversations.filters.spans import Span

RANGE = range(-3, 14)
SOME = st.lists(
    st.tuples(st.integers(0, 10) | st.just(-inf), st.integers(0, 10) | st.just(inf)).filter(
        lambda span: span[0] <= span[1]
    ),
    max_size=5,
)


def numbers(some: tuple[Span, ...] | list[Span]) -> set[int]:
    return {number for number in RANGE if any(low <= number <= high for low, high in some)}


@given(SOME)
def test_union_and_complement(some: list[Span]) -> None:
    union = spans.union(some)
    assert numbers(union) == numbers(some)
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(union)), "with gaps"
    complement = spans.complement(union)
    assert numbers(complement) == set(RANGE) - numbers(some)
    assert spans.complement(complement) == union


@given(st.lists(SOME, min_size=1, max_size=4))
def test_intersection(sets: list[list[Span]]) -> None:
    united = [spans.union(some) for some in sets]
    assert numbers(spans.intersection(united)) == set.intersection(*map(numbers, united))


def test_every_number_and_none() -> None:
    assert spans.complement(()) == spans.EVERY_NUMBER
    assert spans.complement(spans.EVERY_NUMBER) == ()
    assert spans.union([(0, inf), (-inf, -1)]) == spans.EVERY_NUMBER
