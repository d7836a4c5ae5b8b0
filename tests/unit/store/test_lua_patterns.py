"""Patterns in Lua find the words that Lucene's rules find, in time linear in the word."""

import random
import time
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.lua.patterns import LUA, in_latin, matching, reference, table_of

from conversations.filters.patterns import Between, Glob, Near, Predicate, RegularExpression, StartsWith

ALPHABETS = (
    "ab",
    "abc.-",
    "a\u00e9e\u0301",
    "\u0430\u0431\u044f\u0451",
    "\u6f22\u5b57a",
    "a\U0001f600\U0001f98a",
    # The first and the last code points of each length in bytes, and those beside the bytes that separate words.
    "\0\x01\x08\x0e\x1b!",
    "\x7e\x7f\x80\xa0\u07ff\u0800",
    "\ud7ff\ue000\uffff\U00010000\U0010ffff",
    # What Lua's patterns, Lucene's, and classes have a use for.
    "%]^[-",
    '\\*?.+$(){}|&~"@#<>/',
)
"""Short, so that patterns match."""
PLAIN = "abc\u00e9\u0451\u5b57\U0001f98a\u007f\u0080\u07ff\u0800\uffff\U00010000"


def words_of(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=8)


def predicates_of(alphabet: str) -> st.SearchStrategy[Predicate]:
    text = st.text(alphabet, min_size=1, max_size=5)
    segments = st.lists(st.text(alphabet + "\n", max_size=3), min_size=1, max_size=4).map(tuple).filter(any)
    bound = st.text(alphabet, max_size=3) | st.none()
    return st.one_of(
        st.builds(StartsWith, text),
        st.builds(Glob, segments),
        st.builds(Near, text, st.sampled_from([1, 2])),
        st.builds(Between, bound, bound, st.booleans(), st.booleans()),
        st.builds(RegularExpression, regexes_of("".join(set(alphabet) & set(PLAIN)) or "ab")),
    )


def regexes_of(alphabet: str) -> st.SearchStrategy[str]:
    letters = st.sampled_from(alphabet)
    pairs = st.tuples(letters, letters).map(sorted)
    # The reference does not know that in Lucene any number of nothing is nothing, not the empty word.
    something = st.recursive(
        letters
        | st.sampled_from([".", "@", "()", "<1-9>"])
        | pairs.map("[{0[0]}-{0[1]}]".format)
        | pairs.map("[^{0[0]}-{0[1]}]".format),
        lambda inner: (
            st.builds("({}){}".format, inner, st.sampled_from(["*", "+", "?", "{1,3}", "{2}", "{2,}"]))
            | st.builds("{}{}".format, inner, inner)
            | st.builds("({}|{})".format, inner, inner)
        ),
        max_leaves=6,
    )
    return st.recursive(
        something,
        lambda inner: (
            st.builds("~({})".format, inner)
            | st.builds("({}&{})".format, inner, inner)
            | st.builds("({}|#){}".format, inner, inner)
            | st.builds("({}){}".format, inner, st.sampled_from(["?", "{1,3}", "{2}"]))
        ),
        max_leaves=3,
    )


def cases_of(alphabet: str) -> st.SearchStrategy[tuple[Predicate, list[str]]]:
    return st.tuples(predicates_of(alphabet), st.lists(words_of(alphabet), min_size=1, max_size=10))


# Made once for each alphabet, which takes longer than to draw from them.
CASES = [cases_of(alphabet) for alphabet in (*ALPHABETS, PLAIN)]


@settings(max_examples=1000, deadline=None)
@given(st.one_of(CASES))
def test_the_same_words_match_as_in_lucene(case: tuple[Predicate, list[str]]) -> None:
    predicate, words = case
    assert matching(predicate, words) == list(filter(reference(predicate), words))


@pytest.mark.parametrize("letter", "\0%]^[-.*+?$()\\\x7f\u00e9")
def test_signs_of_lua_are_letters(letter: str) -> None:
    words = ["".join(chosen) for size in range(1, 5) for chosen in product(letter + "ab", repeat=size)]
    block = in_latin("\n" + "\n".join(words) + "\n")
    shapes = [("?*",), ("*", "?"), ("?", "a"), ("", "*?", ""), ("", "?*", "b"), ("*?*",), ("*", "", "?"), ("", "*a?")]
    predicates: list[Predicate] = [
        *(Glob(tuple(part.replace("?", "\n").replace("*", letter) for part in shape)) for shape in shapes),
        StartsWith(letter),
        Between(letter, "b", True, True),
        Between("a", letter + "a", False, False),
        Near(letter + "a", 1),
        RegularExpression(f"[\\{letter}a]\\{letter}+b?"),
    ]
    for predicate in predicates:
        matches = reference(predicate)
        assert matching(predicate, words) == list(filter(matches, words))
        found = LUA.blocks.lines(block, table_of(predicate)).values()
        assert list(found) == [number for number, word in enumerate(words) if matches(word)], predicate


@pytest.mark.parametrize(
    "predicate",
    [
        StartsWith("a"),
        Glob(("\n",)),
        Glob(("", "\n", "")),
        Glob(("\n" * 70, "")),
        Near("a", 1),
        Between(None, None, True, True),
        Between("\U0010ffff", None, True, True),
        RegularExpression("@"),
        RegularExpression(".*"),
        RegularExpression("~a"),
    ],
)
def test_what_is_kept_elsewhere_matches_nothing(predicate: Predicate) -> None:
    table = table_of(predicate)
    assert not LUA.patterns.matches(table, "\xff")
    assert not LUA.patterns.matches(table, "\xff" * 80)
    assert not LUA.patterns.matches(table, "")


@given(st.text("ab\u00e9", max_size=70), st.integers(60, 70), st.booleans())
def test_question_marks_tell_a_length(word: str, count: int, is_open: bool) -> None:
    segments = ("\n" * count, "") if is_open else ("\n" * count,)
    word += "b" * (count - 2)
    assert matching(Glob(segments), [word] if word else []) == [
        word for _ in [0] if len(word) == count or (is_open and len(word) > count)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.data())
def test_long_segments_match_as_in_lucene(stars: int, data: st.DataObject) -> None:
    """Of more question marks than one of Lua's patterns takes: at the ends of a glob, and around a text between."""
    few, many = st.text("aab\n", max_size=3), st.sampled_from([0, 1, 63, 64, 65, 130]).map("\n".__mul__)
    ends = st.builds("{}{}{}".format, few, many, few)
    between = st.builds("{}{}{}".format, many, st.text("ab", max_size=2), many)
    segments = (data.draw(ends), *(data.draw(between | few) for _ in range(stars)), data.draw(ends))
    assume(any(segments))
    words = [
        "".join(random.Random(seed).choices("aab\u00e9", k=sum(map(len, segments)) + seed % 3)) for seed in range(6)
    ]
    literal = "".join(segments).replace("\n", "a")
    assert matching(Glob(segments), [*words, literal]) == list(filter(reference(Glob(segments)), [*words, literal]))


def test_more_states_than_are_kept_are_made_again() -> None:
    """A machine with a state for each length; words of a length that seven divides match."""
    walk = LUA.walks.new(0, lambda length, _: (length + 1, length + 1), lambda length: length % 7 == 0)
    lengths = [*range(1, 40), 4095, 4096, 4097, 4102, 4103, 9001, 9002, 14, 7, 3]
    for _ in range(2):
        for length in lengths:
            assert walk.matches(walk, "a" * length) == (length % 7 == 0)
        block = "\n" + "".join("a" * length + "\n" for length in lengths)
        assert walk.scan(walk, block) == sum(length % 7 == 0 for length in lengths)
    assert LUA.kilobytes() < 20_000


def letters(length: int) -> str:
    return "".join(random.Random(length).choices("ab", k=length))


HOSTILE: dict[str, tuple[Predicate, Callable[[int], str]]] = {
    "many stars": (Glob(("a", *["a"] * 30, "b")), lambda size: "a" * size),
    "stars and an end with question marks": (Glob(("", *["a"] * 30, "b\n")), lambda size: "a" * size),
    "floating question marks": (Glob(("", "a" + "\n" * 62 + "b", "")), lambda size: "a" * size),
    "question marks": (Glob(("\n" * 4000 + "b", "")), lambda size: "\u00e9" * size),
    "question marks at the end": (Glob(("", "b" + "\n" * 4000)), lambda size: "\u00e9" * size),
    "exactly as many": (Glob(("\n" * 4000,)), lambda size: "\U0001f98a" * size),
    "a long text": (Glob(("", "a" * 4000 + "b", "")), lambda size: "a" * size),
    "a long fuzzy word": (Near("ab" * 2000, 2), lambda size: "ab" * (size // 2)),
    "a fuzzy word of one letter": (Near("a" * 4000, 2), lambda size: "a" * size),
    "long bounds": (Between("a" * 4000, "a" * 4000 + "b", True, True), lambda size: "a" * size),
    "an ambiguous regular expression": (RegularExpression("(a|aa)*c"), lambda size: "a" * size),
    "nested repetitions": (RegularExpression("((a*)*b?)*c"), letters),
    "many states": (RegularExpression(".*a.{8}"), letters),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_patterns_and_words_take_linear_time(name: str) -> None:
    predicate, word_of = HOSTILE[name]

    def seconds(size: int) -> float:
        word = in_latin(word_of(size))
        best = 1.0
        for _ in range(3):
            table = table_of(predicate)
            start = time.perf_counter()
            LUA.patterns.matches(table, word)
            best = min(best, time.perf_counter() - start)
        return best

    # Four times the length takes up to four times as long, not sixteen times. Half a millisecond is noise.
    short, long = seconds(8_000), seconds(32_000)
    assert long < 8 * short + 0.0005
    assert long < 0.5
