"""Patterns in Lua find the words that they find in Python."""

from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

import conversations.store
from conversations.errors import FilterTooLargeError
from conversations.filters.patterns import Between, Glob, Near, Predicate, RegularExpression, StartsWith, WordPattern
from conversations.terms import lower

CODE = (Path(conversations.store.__file__).parent / "lua/lib/patterns.lua").read_text()
LETTERS = st.sampled_from("abc.-\u00e9\u0430\u20ac\U0001f600")
WORDS = st.text(LETTERS, min_size=1, max_size=8)
TEXTS = st.text(LETTERS, max_size=4)
SEGMENTS = st.lists(st.text(LETTERS | st.just("\n"), max_size=3), min_size=1, max_size=4).map(tuple).filter(any)
REGEXES = st.recursive(
    st.sampled_from(["a", "b", ".", "[a-c]", "[^a]", "\u00e9", "@", "<1-9>"]),
    lambda inner: (
        st.builds("({}){}".format, inner, st.sampled_from(["*", "+", "?", "{1,3}"]))
        | st.builds("{}{}".format, inner, inner)
        | st.builds("({}|{})".format, inner, inner)
        | st.builds("~({})".format, inner)
    ),
    max_leaves=6,
)
PREDICATES: st.SearchStrategy[Predicate] = st.one_of(
    st.builds(StartsWith, st.text(LETTERS, min_size=1, max_size=4)),
    st.builds(Glob, SEGMENTS),
    st.builds(Near, WORDS, st.sampled_from([1, 2])),
    st.builds(Between, TEXTS | st.none(), TEXTS | st.none(), st.booleans(), st.booleans()),
    st.builds(RegularExpression, REGEXES),
)


@cache
def lua() -> Any:
    runtime = LuaRuntime(encoding=None)
    return runtime, runtime.execute(f"{CODE}\nreturn matches_pattern".encode())


def to_lua(value: Any) -> Any:
    if isinstance(value, list):
        return lua()[0].table_from([to_lua(item) for item in value])
    return value.encode() if isinstance(value, str) else value


@settings(max_examples=1000, deadline=None)
@given(PREDICATES, st.lists(WORDS, min_size=1, max_size=10, unique=True))
def test_the_same_words_match(predicate: Predicate, words: list[str]) -> None:
    pattern = WordPattern("display_name", predicate, 0)
    try:
        spec = pattern.spec()
    except FilterTooLargeError:
        return
    if spec is None:
        return
    found = [word for word in words if lua()[1](to_lua(spec), word.encode())]
    assert set(found) == set(pattern.search("\n" + "\n".join(words) + "\n"))
