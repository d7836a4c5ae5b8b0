"""Blocks of columns, searched in Lua."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.test_lua_patterns import PREDICATES, WORDS, lua, to_lua

import conversations.store
from conversations.errors import FilterTooLargeError
from conversations.filters.patterns import Predicate, WordPattern

FOLDER = Path(conversations.store.__file__).parent / "lua/lib"
VALUES = st.lists(st.lists(WORDS, max_size=3), min_size=1, max_size=12)


def functions() -> Any:
    code = (FOLDER / "patterns.lua").read_text() + (FOLDER / "blocks.lua").read_text()
    return lua()[0].execute(f"{code}\nreturn {{ count_matches, matching_rows, place_of }}".encode())


COUNT, ROWS, PLACE = (functions()[i] for i in (1, 2, 3))


@settings(max_examples=600, deadline=None)
@given(PREDICATES, VALUES)
def test_the_same_values_match(predicate: Predicate, values: list[list[str]]) -> None:
    pattern = WordPattern("display_name", predicate, 0)
    try:
        spec = pattern.spec()
    except FilterTooLargeError:
        return
    if spec is None:
        return
    rows = [row for row, words in enumerate(values) if words and pattern.search("\n" + "\n".join(words) + "\n")]
    block = ("\n" + "\n".join(" ".join(words) for words in values) + "\n").encode()
    assert COUNT(block, to_lua(spec)) == len(rows)
    assert list(ROWS(block, to_lua(spec)).values()) == rows


@given(VALUES, st.integers(0, 14))
def test_where_a_row_is(values: list[list[str]], row: int) -> None:
    lines = [" ".join(words) for words in values]
    block = ("\n" + "\n".join(lines) + "\n").encode()
    found = PLACE(block, row)
    if row >= len(lines):
        assert found is None or found == (None,)
    else:
        first, finish = found
        assert block[first - 1 : finish - 1].decode() == lines[row]
        assert block[finish - 1 : finish] == b"\n"
