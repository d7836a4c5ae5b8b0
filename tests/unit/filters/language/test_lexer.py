"""Tokens: the longest one that fits wins."""

import pytest

from conversations.errors import FilterSyntaxError
from conversations.filters.language.lexer import TokenKind, tokenize, unescape


def tokens(text: str) -> list[tuple[str, str]]:
    return [(token.kind.name, token.text) for token in tokenize(text)][:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a-b C++ AT&T a||b 50% o'brien >5", ["a-b", "C++", "AT&T", "a||b", "50%", "o'brien", ">5"]),
        ("and Or not ANDx", ["and", "Or", "not", "ANDx"]),
        (r"\AND \* a\ b", [r"\AND", r"\*", r"a\ b"]),
        ("a\\\nb a\\\r\\?", ["a\\\nb", "a\\\r\\?"]),
        ("ada - bob", ["ada", "-", "bob"]),
        ("+\u3000!\t", ["+", "!"]),
        ("a\u00a0b \u0085", ["a\u00a0b", "\u0085"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert tokens(text) == [("WORD", word) for word in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a!b", [("WORD", "a"), ("NOT", "!"), ("WORD", "b")]),
        ("a && b||c", [("WORD", "a"), ("AND", "&&"), ("WORD", "b||c")]),
        ("24/7/x", [("WORD", "24"), ("REGEX", "/7/"), ("WORD", "x")]),
        (r"/a\/b/", [("REGEX", r"/a\/b/")]),
        ("a~b*", [("WORD", "a"), ("TILDE", "~b"), ("STAR", "*")]),
        ("a^2.", [("WORD", "a"), ("BOOST", "^2"), ("WORD", ".")]),
        (
            "ab* a*b ?a ** *",
            [("PREFIX", "ab*"), ("WILDCARD", "a*b"), ("WILDCARD", "?a"), ("WILDCARD", "**"), ("STAR", "*")],
        ),
        (r"a\** a*\* a\?", [("PREFIX", r"a\**"), ("WILDCARD", r"a*\*"), ("WORD", r"a\?")]),
        ("a\\\n* a*\\\n", [("PREFIX", "a\\\n*"), ("WILDCARD", "a*\\\n")]),
        (r'"a \" b"c', [("QUOTED", r'"a \" b"'), ("WORD", "c")]),
        ("field : a", [("WORD", "field"), ("COLON", ":"), ("WORD", "a")]),
    ],
)
def test_other_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("[a TO b]", ["a", "TO", "b", "]"]),
        ("{ 2  TO *}", ["2", "TO", "*", "}"]),
        ('["a b" TO "x"y]', ['"a b"', "TO", '"x"y', "]"]),
        (r'["a\" b" TO c]', [r'"a\" b"', "TO", "c", "]"]),
        ('["a]" TO 2019-01-01T00:00:00Z}', ['"a]"', "TO", "2019-01-01T00:00:00Z", "}"]),
        ('["" TO b]', ['""', "TO", "b", "]"]),
    ],
)
def test_ranges(text: str, bounds: list[str]) -> None:
    assert [part for _, part in tokens(text)][1:] == bounds


def test_position_counts_code_points() -> None:
    assert [token.position for token in tokenize("🦊 é:x")] == [0, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "position"), [('a "b', 2), ("a/b", 1), ("a\\", 1), ("a^x", 1), ("a}", 1), ("[a TO b", 0)]
)
def test_no_token(text: str, position: int) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        tokens(text)
    assert caught.value.position == position


def test_tokens_before_an_error_come_first() -> None:
    stream = tokenize('a "')
    assert next(stream).kind is TokenKind.WORD


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        (r"a\*\\\ b", "a*\\ b"),
        (r"kel\u0079", "kely"),
        (r"\ud83e\udd8a", "🦊"),
        (r"\ud83ea", "\ufffda"),
        (r"\udd8a\ud83e", "\ufffd\ufffd"),
        (r"\A", "A"),
        (r"\u00AF\u00fa\u0CdE", "\u00af\u00fa\u0cde"),
        ("a\\\n", "a\n"),
    ],
)
def test_unescape(text: str, expected: str) -> None:
    assert unescape(text, 0) == expected


@pytest.mark.parametrize("digits", ["", "12", "00:0", "00g0", " 1234"])
def test_unescape_says_where(digits: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        unescape(rf"ab\u{digits}", 10)
    assert caught.value.position == 12
