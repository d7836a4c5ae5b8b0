"""The grammar: expressions with positions, before any field is known."""

import pytest

from conversations.errors import FilterSyntaxError, FilterTooLargeError
from conversations.filters.language import (
    MAX_CLAUSES,
    MAX_LEVELS,
    Clause,
    Conjunction,
    Expression,
    FieldName,
    Fuzzy,
    Group,
    Modifier,
    Phrase,
    Prefix,
    Range,
    Regex,
    Wildcard,
    Word,
    parse,
)


def only(text: str) -> Expression:
    (clause,) = parse(text).clauses
    return clause.expression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada", Word("ada", 0)),
        (r"ada\ bob", Word("ada bob", 0)),
        ("- ", Word("-", 0)),
        ("ada^2", Word("ada", 0)),
        ('"a b"', Phrase("a b", 0, 0)),
        ('"a b"~2', Phrase("a b", 2, 0)),
        ('"a b" ~1.7^3', Phrase("a b", 1, 0)),
        ('"a b"^3~1', Phrase("a b", 1, 0)),
        ('"a b"~x', Phrase("a b", 0, 0)),
        ('"a b"~NaN', Phrase("a b", 0, 0)),
        ('"a b"~-2', Phrase("a b", -2, 0)),
        ('"a b"~1e99', Phrase("a b", 2**31 - 1, 0)),
        ('"a b"~0x1p9999', Phrase("a b", 2**31 - 1, 0)),
        ('"a b"~-1e99', Phrase("a b", -(2**31), 0)),
        (r"st\**", Prefix("st*", 0)),
        ("ab*~1^2", Prefix("ab", 0)),
        (r"a\*?", Wildcard(r"a\*?", 0)),
        ("*", Wildcard("*", 0)),
        (r"/a\/b/", Regex(r"a\/b", 0)),
        ("[a TO b}", Range("a", "b", True, False, 0, 1, 6)),
        ('{* TO "*"]^2', Range(None, "*", False, True, 0, 1, 6)),
        (r"[\* TO \+b]", Range("*", "+b", True, True, 0, 1, 7)),
        ("[TO TO TO]", Range("TO", "TO", True, True, 0, 1, 7)),
    ],
)
def test_leaf(text: str, expected: Expression) -> None:
    assert only(text) == expected


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("abcde~", 2),
        ("abcde~x", 2),
        ("abcde~b", 2),
        ("abcde~0", 0),
        ("abcde~1", 1),
        ("abcde~1^2", 1),
        ("abcde~7", 2),
        ("abcde~2147483648", 2),
        ("abcde~0.8", 0),
        ("abcde~0.5", 2),
        ("abcdefghij~0.9", 1),
        ("abcdefghij~.9f", 1),
        ("ab~0.5", 1),
        ("abcdefghij~0.1", 2),
        ("🦊~0.1", 0),
        ("abc~NaN", 0),
        ("abc~0x1p0", 1),
        ("abc~0X.8P1", 1),
        ("ab~0x.9p0", 0),
        ("ab~0x0.9ap0", 0),
        ("ab~1x5", 2),
        ("ab~0x1x5p0", 2),
    ],
)
def test_fuzzy(text: str, edits: int) -> None:
    word = text.partition("~")[0]
    assert only(text) == Fuzzy(word, edits, 0)


def test_clauses() -> None:
    query = parse(r"a +b AND NOT meta\ x:(-c) || d")
    inner = Group((Clause(None, Modifier.PROHIBITED, None, Word("c", 23)),), 22)
    assert query.clauses == (
        Clause(None, None, None, Word("a", 0)),
        Clause(None, Modifier.REQUIRED, None, Word("b", 3)),
        Clause(Conjunction.AND, Modifier.PROHIBITED, FieldName("meta x", 13), inner),
        Clause(Conjunction.OR, None, None, Word("d", 29)),
    )


def test_a_boost_changes_nothing() -> None:
    assert parse("(a OR b)^2  c").clauses == parse("(a OR b)    c").clauses


def test_nothing_between_clauses() -> None:
    assert [clause.expression for clause in parse('(a)"b"c').clauses] == [
        Group((Clause(None, None, None, Word("a", 1)),), 1),
        Phrase("b", 0, 3),
        Word("c", 6),
    ]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("nora}", 4),
        ("inson^x", 5),
        ("((alus) OR maro", 0),
        ("(a (b)", 0),
        ("a)", 1),
        ("roso^2^3", 6),
        ("a^2~1^3", 5),
        ("a -", 3),
        ("+-a", 1),
        ("NOT NOT a", 4),
        ("a || || b", 5),
        ("field:-a", 6),
        ("field:", 6),
        ("field:a:b", 7),
        ('field:"a":b', 9),
        ("*a:b", 2),
        ("(a):b", 3),
        ("~a", 0),
        ("AND a", 0),
        ("a AND", 5),
        ("()", 1),
        ("a~1.5", 1),
        ("a~-1", 1),
        ("a~4294967296", 1),
        ("a~0x1p9999", 1),
        ("(a)~2", 3),
        ("[a TO b]~2", 8),
        ("[a to b]", 3),
        ("[a b]", 3),
        ("[a TO b c]", 8),
        ("[a TO]", 5),
        ("[]", 1),
        (r"a\u12*", 1),
        (r"b a\u12:x", 3),
    ],
)
def test_syntax_errors(text: str, position: int) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)
    assert caught.value.position == position
    assert caught.value.message.startswith(f"at position {position}: ")


def test_levels() -> None:
    parse("(" * MAX_LEVELS + "a" + ")" * MAX_LEVELS)
    with pytest.raises(FilterTooLargeError) as caught:
        parse("(" * 1300 + "a" + ")" * 1300)
    assert caught.value.metadata == {"position": str(MAX_LEVELS), "limit": str(MAX_LEVELS)}
    assert "levels of parentheses" in caught.value.message


@pytest.mark.parametrize("level", [1, 2, MAX_LEVELS])
def test_levels_end_with_their_parentheses(level: int) -> None:
    opened, closed = "(" * (level - 1) + "(a) " * (MAX_LEVELS + 1), ")" * (level - 1)
    most = MAX_LEVELS - level + 1
    parse(f"{opened} {'(' * most}b{')' * most} {closed}")
    with pytest.raises(FilterTooLargeError):
        parse(f"{opened} {'(' * (most + 1)}b{')' * (most + 1)} {closed}")


def test_clauses_are_counted() -> None:
    parse("a " * MAX_CLAUSES)
    with pytest.raises(FilterTooLargeError) as caught:
        parse("(a) " * (MAX_CLAUSES + 1))
    assert caught.value.metadata["limit"] == str(MAX_CLAUSES)
    assert "words, phrases, patterns and ranges" in caught.value.message
