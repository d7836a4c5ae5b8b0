"""Blocks of columns, searched in Lua."""

import time
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lua.patterns import LUA, in_latin, reference, table_of
from tests.unit.store.test_lua_patterns import ALPHABETS, PLAIN, predicates_of, words_of

from conversations.filters.patterns import Between, Glob, Near, Predicate, RegularExpression, StartsWith

ELSEWHERE = b"\xff"
LINES_ELSEWHERE = st.sampled_from([ELSEWHERE, ELSEWHERE + b"  "])


def lines_of(alphabet: str) -> st.SearchStrategy[list[bytes]]:
    """Lines of a block, with any blanks between words and behind them."""
    words = st.tuples(words_of(alphabet), st.sampled_from([" ", " ", "   "])).map("".join)
    line = st.tuples(st.lists(words, max_size=4).map("".join), st.sampled_from(["", "  "])).map("".join)
    stripped = line.map(str.rstrip)
    return st.lists(stripped.map(str.encode) | line.map(str.encode) | LINES_ELSEWHERE, min_size=1, max_size=10)


def cases_of(alphabet: str) -> st.SearchStrategy[tuple[Predicate, list[bytes], list[bytes]]]:
    return st.tuples(predicates_of(alphabet), lines_of(alphabet), lines_of(alphabet))


LINES = [lines_of(alphabet) for alphabet in ALPHABETS]
# Made once for each alphabet, which takes longer than to draw from them.
CASES = [cases_of(alphabet) for alphabet in (*ALPHABETS, PLAIN)]


def block_of(lines: list[bytes]) -> str:
    return (b"\n" + b"\n".join(lines) + b"\n").decode("latin-1")


def matching_lines(predicate: Predicate, lines: list[bytes]) -> list[int]:
    matches = reference(predicate)
    words = [[] if line.rstrip() == ELSEWHERE else line.decode().split(" ") for line in lines]
    return [number for number, line in enumerate(words) if any(word and matches(word) for word in line)]


@settings(max_examples=600, deadline=None)
@given(st.one_of(CASES))
def test_the_same_lines_match_as_in_lucene(case: tuple[Predicate, list[bytes], list[bytes]]) -> None:
    """Also in a second block, with what the first one left in the pattern."""
    predicate, *blocks = case
    table = table_of(predicate)
    for lines in blocks:
        expected = matching_lines(predicate, lines)
        assert list(LUA.blocks.lines(block_of(lines), table).values()) == expected
        assert LUA.blocks.count(block_of(lines), table) == len(expected)


TEXTS = ["".join(letters) for size in (1, 2) for letters in product("a\u00e9", repeat=size)]
SEGMENTS = [segments for size in (1, 2, 3, 4) for segments in product(["", "a", "\u00e9", "\n", "a\n"], repeat=size)]
SMALL: list[Predicate] = [
    *(StartsWith(text) for text in TEXTS),
    *(Glob(segments) for segments in SEGMENTS if any(segments)),
    *(Near(text, edits) for text in (*TEXTS, "a\u00e9a", "aa\u00e9a") for edits in (1, 2)),
    *(Between(*bounds) for bounds in product([None, "", *TEXTS], [None, "", *TEXTS], [True, False], [True, False])),
    *map(RegularExpression, ["a.*", ".*a", "[^a]+", "(a\u00e9)*", "~(.*a.*)", ".{2}", "@", "#", "()"]),
    *map(RegularExpression, ["a|\u00e9\u00e9", ".+&~a", "[\u00e8-\u00ea]a*"]),
]


def test_all_lines_of_five_characters() -> None:
    """Every predicate of few letters, with all lines of few letters and blanks in one block."""
    lines = ["".join(letters).lstrip(" ").encode() for letters in product("a\u00e9 ", repeat=5)]
    lines[100:100] = [ELSEWHERE, b"", ELSEWHERE + b"  ", b" "]
    block = block_of(lines)
    words = [[] if line.startswith(ELSEWHERE) else line.decode().split() for line in lines]
    for predicate in SMALL:
        matches = cache(reference(predicate))
        expected = [number for number, line in enumerate(words) if any(map(matches, line))]
        table = table_of(predicate)
        assert list(LUA.blocks.lines(block, table).values()) == expected, predicate
        assert LUA.blocks.count(block, table) == len(expected), predicate


EVERY_KIND = [
    StartsWith("a"),
    Glob(("", "a")),
    Glob(("", "a", "")),
    Glob(("\na", "")),
    Glob(("", "a\n")),
    Glob(("a", "b")),
    Glob(("", "a", "b", "")),
    Glob(("\n" * 65, "")),
    Glob(("", "\n" * 65 + "a" + "\n" * 65, "")),
    Near("aa", 2),
    Between("a", "b", True, True),
    RegularExpression("a.*"),
    RegularExpression("#"),
    RegularExpression("@"),
]


@pytest.mark.parametrize("predicate", EVERY_KIND)
@pytest.mark.parametrize("lines", [[b""], [b"", b" ", b""], [ELSEWHERE, ELSEWHERE + b"   "], [b""] * 256])
def test_lines_without_a_word_match_nothing(predicate: Predicate, lines: list[bytes]) -> None:
    table = table_of(predicate)
    assert LUA.blocks.count(block_of(lines), table) == 0
    assert list(LUA.blocks.lines(block_of(lines), table).values()) == []


@pytest.mark.parametrize("predicate", [*EVERY_KIND, Near("abababababab", 2), RegularExpression(".*b.{8}a")])
def test_a_whole_block_of_long_lines(predicate: Predicate) -> None:
    lines = [(str(number * number) + "ab" * 20 + " ").encode() * 8 for number in range(64)]
    lines += [(b"ab" * 7 + b"ba" * (number % 4) + b"\xc3\xa9" * (number % 5) + b" ") * 8 for number in range(192)]
    expected = matching_lines(predicate, lines)
    assert list(LUA.blocks.lines(block_of(lines), table_of(predicate)).values()) == expected


HOSTILE: dict[str, Predicate] = {
    "many stars": Glob(("a", *["a"] * 30, "b")),
    "a star between letters": Glob(("", "a", "b", "")),
    "floating question marks": Glob(("", "a" + "\n" * 62 + "b", "")),
    "question marks": Glob(("\n" * 2000, "")),
    "a long text": Glob(("", "a" * 4000 + "b", "")),
    "the end of a word": Glob(("", "aab")),
    "a prefix": StartsWith("a" * 900 + "b"),
    "a fuzzy word": Near("a" * 998, 2),
    "bounds": Between("a" * 4000, "a" * 4000 + "b", True, True),
    "a regular expression": RegularExpression("((a|aa)*b)*c"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_patterns_and_blocks_take_linear_time(name: str) -> None:
    def seconds(count: int) -> float:
        block, best = block_of([b"a" * 999] * count), 1.0
        for _ in range(3):
            table = table_of(HOSTILE[name])
            start = time.perf_counter()
            LUA.blocks.count(block, table)
            best = min(best, time.perf_counter() - start)
        return best

    short, long = seconds(16), seconds(64)
    assert long < 8 * short + 0.0005
    assert long < 0.5


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(EVERY_KIND))
def test_a_damaged_block_is_searched_like_any_other(data: bytes, predicate: Predicate) -> None:
    """Also one without its ends, or with bytes that are in no text: the search ends, and other lines are found."""
    text, table = data.decode("latin-1"), table_of(predicate)
    for block in (text, "\n" + text, text + "\n", "\n" + text + "a"):
        found = list(LUA.blocks.lines(block, table).values())
        assert LUA.blocks.count(block, table) == len(found) == len(set(found))
    with_another = block_of([b"abc a", data, b"aa b"])
    found = list(LUA.blocks.lines(with_another, table).values())
    assert (0 in found) == (matching_lines(predicate, [b"abc a"]) == [0])
    assert (3 + data.count(b"\n") - 1 in found) == (matching_lines(predicate, [b"aa b"]) == [0])


@given(st.one_of(LINES), st.integers(0, 12))
def test_where_a_line_is(lines: list[bytes], number: int) -> None:
    block = block_of(lines)
    found = LUA.blocks.place(block, number)
    if number >= len(lines):
        assert found == (None, len(lines))
    else:
        first, line_feed = found
        assert block[first - 1 : line_feed - 1] == lines[number].decode("latin-1")
        assert block[line_feed - 1] == "\n"


def test_a_pattern_is_prepared_once() -> None:
    table = table_of(Near("anna", 1))
    assert LUA.blocks.count(in_latin("\nanna\nhanna\n"), table) == 2
    prepared = table["prepared"]
    assert LUA.patterns.matches(table, "ana")
    assert str(table["prepared"]) == str(prepared)
