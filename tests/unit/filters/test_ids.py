"""Prefixes and ranges of ids as numbers of their starts."""

from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st
from tests.lua.patterns import matching

from conversations.filters.ids import START_LENGTH, split_range, starts_with
from conversations.filters.patterns import Between
from conversations.filters.spans import Span

IDS = st.uuids().map(str)
TEXTS = st.text("0123456789abcdef-", max_size=37) | st.text("0f-g\u00e9", max_size=15)
ID = "a688d36c-a85e-44af-bc02-4248c2c97622"


def is_in(spans: list[Span], id: str) -> bool:
    number = UUID(id).int >> 80
    return any(low <= number <= high for low, high in spans)


def bounds(id: str) -> st.SearchStrategy[str | None]:
    """Return bounds near an id: its beginnings, the id itself, a little more, and any text."""
    near = st.integers(0, len(id)).map(lambda length: id[:length])
    return st.none() | TEXTS | near | near.map(lambda text: text + "0") | near.map(lambda text: text[:-1] + "f")


@st.composite
def ranges(draw: st.DrawFn) -> tuple[str, Between]:
    id = draw(IDS)
    low, high = draw(bounds(id)), draw(bounds(id))
    return id, Between(low, high, draw(st.booleans()), draw(st.booleans()))


@given(ranges())
@example((ID, Between(ID, None, True, True)))
@example((ID, Between(ID, None, False, True)))
@example((ID, Between(None, ID, True, True)))
@example((ID, Between(None, ID, True, False)))
@example((ID, Between(ID, ID, True, True)))
@example((ID, Between(ID, ID, True, False)))
def test_an_id_is_in_the_parts_of_a_range_exactly_if_it_is_in_the_range(found: tuple[str, Between]) -> None:
    id, between = found
    spans, edges = split_range(between)
    is_within = (between.low is None or id > between.low or (between.low_inclusive and id == between.low)) and (
        between.high is None or id < between.high or (between.high_inclusive and id == between.high)
    )
    has_edge = any(matching(edge, [id]) for edge in edges)
    assert (is_in(spans, id) or has_edge) == is_within


@given(IDS, st.integers(0, START_LENGTH), TEXTS)
def test_a_start_is_in_the_numbers_of_its_beginnings_alone(id: str, length: int, text: str) -> None:
    assert is_in(starts_with(id[:length]), id)
    assert is_in(starts_with(text[:START_LENGTH]), id) == id.startswith(text[:START_LENGTH])
