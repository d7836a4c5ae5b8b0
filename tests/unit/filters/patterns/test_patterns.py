"""Patterns against words, as Redis matches them."""

import re
from random import Random

import pytest
from tests.lua.patterns import matching

from conversations.filters.patterns import (
    MAX_FLOATING,
    Between,
    Glob,
    Near,
    Predicate,
    RegularExpression,
    StartsWith,
    WordPattern,
)

WORDS = ["ada", "adam", "a*b", "anna", "b", "bada", "éa", "é", "🦊", "👩\u200d💻", "\\", "a.c", "abc", "x" * 200 + "y"]


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (StartsWith("ad"), ["ada", "adam"]),
        (StartsWith("a."), ["a.c"]),
        (StartsWith("\\"), ["\\"]),
        (StartsWith("x" * 150), ["x" * 200 + "y"]),
        (Glob(("", "a")), ["ada", "anna", "bada", "éa"]),
        (Glob(("", "da", "")), ["ada", "adam", "bada"]),
        (Glob(("", "d", "")), ["ada", "adam", "bada"]),
        (Glob(("", "a\n", "")), ["ada", "adam", "a*b", "anna", "bada", "a.c", "abc"]),
        (Glob(("", "\na")), ["ada", "anna", "bada", "éa"]),
        (Glob(("a", "a")), ["ada", "anna"]),
        (Glob(("\n",)), ["b", "é", "🦊", "\\"]),
        (Glob(("\n\n\n",)), ["ada", "a*b", "👩\u200d💻", "a.c", "abc"]),
        (Glob(("a*", "")), ["a*b"]),
        (Glob(("", "ada", "a")), []),
        (Glob(("a", "\n", "a")), ["ada", "anna"]),
        (Glob(("", "x" * 100, "x" * 99 + "y")), ["x" * 200 + "y"]),
        (Glob(("", "x" * 101, "x" * 100 + "y")), []),
        (Near("ada", 1), ["ada", "adam", "bada"]),
        (Near("daa", 1), ["ada"]),
        (Near("🦊", 1), ["b", "é", "🦊", "\\"]),
        (Near("abc", 1), ["a.c", "abc"]),
        (Between("b", "c", True, True), ["b", "bada"]),
        (Between("b", None, False, False), ["bada", "éa", "é", "🦊", "👩\u200d💻", "x" * 200 + "y"]),
        (Between(None, "a.c", True, False), ["\\", "a*b"]),
        (Between("ada", "adam", False, True), ["adam"]),
        (RegularExpression("a.*a|é"), ["ada", "anna", "é"]),
    ],
)
def test_matching(predicate: Predicate, expected: list[str]) -> None:
    assert matching(predicate, WORDS) == sorted(expected, key=WORDS.index)


def test_globs_agree_with_a_backtracking_expression() -> None:
    random = Random(4)
    words = ["".join(random.choices("ab🦊", k=random.randint(1, 9))) for _ in range(300)]
    for _ in range(300):
        segments = tuple("".join(random.choices("ab\n🦊", k=random.randint(0, 3))) for _ in range(random.randint(1, 5)))
        expression = re.compile(".*".join(re.escape(segment).replace("\\\n", ".") for segment in segments))
        assert matching(Glob(segments), words) == [word for word in words if expression.fullmatch(word)], segments


def test_long_segments_agree_too() -> None:
    words = ["a" * length + "b" * (length % 3) + "a" * (length % 5) for length in range(1, 200)]
    segment = "a" * (MAX_FLOATING + 1) + "b"
    expression = re.compile(f"a.*{segment}.*.a")
    assert matching(Glob(("a", segment, "\na")), words) == [word for word in words if expression.fullmatch(word)]


@pytest.mark.parametrize("longest", [MAX_FLOATING - 1, MAX_FLOATING, MAX_FLOATING + 1])
def test_long_segments_with_others_beside_them_agree_too(longest: int) -> None:
    """Question marks are at the ends of the long one, and anywhere in the others."""
    random = Random(longest)

    def few(letters: str, most: int) -> str:
        return "".join(random.choices(letters, k=random.randint(0, most)))

    for _ in range(100):
        long = few("\n", 2) + "a" * longest + few("\n", 2)
        middle = [few("ab\n", 3), long, few("ab\n", 3)]
        random.shuffle(middle)
        segments = (few("ab\n", 2), *middle, few("ab\n", 2))
        words = [few("ab", 3) + "a" * (longest + random.randint(-1, 3)) + few("ab", 6) for _ in range(50)]
        expression = re.compile(".*".join(re.escape(segment).replace("\\\n", ".") for segment in segments))
        assert matching(Glob(segments), words) == [word for word in words if expression.fullmatch(word)], segments


@pytest.mark.parametrize("text", ["ada", "a", "a\u00a0b\u0085c"])
def test_near_finds_every_word_of_one_edit_and_no_word_of_two(text: str) -> None:
    """No-break spaces are letters of a word."""
    letters = "adx\u00a0"
    places = range(len(text) + 1)
    swapped = {text[:i] + text[i + 1 : i + 2] + text[i : i + 1] + text[i + 2 :] for i in places}
    replaced = {text[:i] + letter + text[i + skipped :] for i in places for letter in letters for skipped in (0, 1)}
    removed = {text[:i] + text[i + 1 :] for i in places} - {""}
    near = sorted(swapped | replaced | removed)
    far = [text + "yy", "yy" + text, "y" + text + "y"]
    assert sorted(matching(Near(text, 1), far + near)) == near
    assert sorted(matching(Near(text, 2), far + near)) == sorted(far + near)


def test_equal_whatever_the_position() -> None:
    assert WordPattern("id", StartsWith("a"), 1) == WordPattern("id", StartsWith("a"), 2)
    assert len({WordPattern("id", StartsWith("a"), 1), WordPattern("id", StartsWith("a"), 2)}) == 1
    assert WordPattern("id", StartsWith("a"), 1) != WordPattern("source", StartsWith("a"), 1)
