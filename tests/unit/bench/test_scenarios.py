"""The shapes of lists."""

import pytest
from bench.scenarios import FILTERED, WITH_WRITES, Shape

from conversations.filters import compile_filter


@pytest.mark.parametrize("shape", FILTERED, ids=lambda shape: shape.name)
def test_every_filter_is_one(shape: Shape) -> None:
    assert not compile_filter(shape.filters).matches_all
    assert shape.clauses


def test_names_are_of_one_shape_each() -> None:
    names = [shape.name for shape in FILTERED]
    assert len(set(names)) == len(names)
    assert set(WITH_WRITES) <= set(names)
