"""Lucene's regular expressions."""

import re
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lua.patterns import matching

from conversations.errors import FilterSyntaxError, FilterTooLargeError
from conversations.filters.patterns import Budget, RegularExpression
from conversations.filters.patterns.automata import MAX_DEPTH, MAX_WORK
from conversations.filters.patterns.regexes import compile_regex


def matches(expression: str, words: list[str]) -> list[str]:
    return matching(RegularExpression(expression), words)


@pytest.mark.parametrize(
    ("expression", "matching", "others"),
    [
        ("ad[ae]", ["ada", "ade"], ["adi", "adaa", "xada"]),
        ("[^a-c]", ["d", "🦊"], ["a", "b", "c", "dd"]),
        (".", ["a", "🦊", "é", "\0", "\U0010ffff"], ["ab"]),
        ("[^a]", ["\0", "b", "\U0010ffff"], ["a"]),
        ("[^\0-\U0010fffe]", ["\U0010ffff"], ["a", "\U0010fffe"]),
        ("a{2}", ["aa"], ["a", "aaa"]),
        ("a{2,}", ["aa", "aaaaa"], ["a"]),
        ("a{1,2}b?", ["a", "aab"], ["aaa", "b"]),
        ("a{2,1}", [], ["a", "aa"]),
        ("(a|bc)+", ["a", "bc", "abca"], ["b", "ab"]),
        ("ab&.b", ["ab"], ["bb"]),
        (".*a.*&.*b.*", ["ab", "ba", "xaxbx"], ["a", "b"]),
        ("~a", ["b", "aa"], ["a"]),
        ("~(.*b.*)", ["a", "ac"], ["b", "abc"]),
        ("~~a", ["a"], ["b", "aa"]),
        ("~~~a", ["b", "aa"], ["a"]),
        ("~a*", ["b", "aa", "bbb"], []),
        ("<10-99>", ["10", "42", "99"], ["9", "100", "010", "a"]),
        ("<7-120>", ["7", "007", "45", "120"], ["6", "121", "a7"]),
        ("<007-120>", ["007", "045", "120"], ["7", "45", "121"]),
        ("<99-10>", ["10", "50"], ["9", "100"]),
        ("<0-10>", ["0", "00", "10"], ["11"]),
        ("@", ["a", "🦊x"], []),
        ("a@", ["a", "abc"], ["b"]),
        ("#", [], ["a", "#"]),
        ("a#*", [], ["a"]),
        ("a#?", ["a"], ["a#"]),
        ("a#{0,2}", ["a"], ["a#"]),
        ("a(b&c)*", [], ["a", "ab"]),
        ('"a.*"', ["a.*"], ["ab"]),
        ('"a."b"."', ["a.b."], ['a."b".', "a.bx"]),
        ("<1-2>a<3-4>", ["1a3", "2a4"], ["1a", "1a5", "13"]),
        ("<0-2147483647>", ["2147483647"], ["2147483648"]),
        ("a()b", ["ab"], ["a()b"]),
        ("\\.\\d", [".d"], [".1", "xd"]),
        ("\\/", ["/"], ["\\/"]),
        ("^a$", ["^a$"], ["a"]),
        ("[a\\]b]", ["a", "]", "b"], ["\\"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("*a", ["*a"], ["a", "aa"]),
        ("a||b", ["a", "|b"], ["b"]),
        ("]}", ["]}"], []),
        ("(a*)*b", ["b", "aaab"], ["a" * 60]),
        ("(x+x+)+y", ["xxxy"], ["x" * 60]),
        ("(a?){50}a{50}", ["a" * 50, "a" * 100], ["a" * 49, "a" * 101]),
        (".*a.{6}", ["a123456"], ["a12345", "b123456"]),
        ("", [], ["a"]),
    ],
)
def test_match(expression: str, matching: list[str], others: list[str]) -> None:
    assert matches(expression, matching + others) == matching


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("ad[ae", 12),
        ("a(b", 11),
        ("ab)", 12),
        ("a{x}", 11),
        ("a{2", 11),
        ("a{99999999999}", 12),
        ("[b-a]", 11),
        ("<5>", 10),
        ("<a-b>", 10),
        ("<1-2", 10),
        ("a<5>", 11),
        ("<0-2147483648>", 10),
        ('a"b', 11),
        ("a\\", 12),
        ("a|", 12),
    ],
)
def test_malformed(expression: str, position: int) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        compile_regex(expression, 10)
    assert caught.value.position == position


@pytest.mark.parametrize("expression", ["(" * 2000 + "a" + ")" * 2000, "a" + "{2}?" * 500])
def test_nested_too_deeply(expression: str) -> None:
    with pytest.raises(FilterTooLargeError) as caught:
        compile_regex(expression, 5)
    assert caught.value.metadata == {"position": "5", "limit": str(MAX_DEPTH)}


def test_the_deepest_nesting() -> None:
    def nested(levels: int) -> str:
        return "(" * levels + "a" + "*b)" * levels

    most = (MAX_DEPTH - 1) // 2
    for levels, limit in ((most, MAX_WORK), (most + 1, MAX_DEPTH)):
        with pytest.raises(FilterTooLargeError) as caught:
            compile_regex(nested(levels), 0)
        assert caught.value.metadata["limit"] == str(limit)
    assert matches(nested(15), ["a" + "b" * 15, "b", "a"]) == ["a" + "b" * 15, "b"]
    assert matches("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH + "(b)", ["ab"]) == ["ab"]
    with pytest.raises(FilterTooLargeError):
        compile_regex("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), 0)


@pytest.mark.parametrize(
    "expression",
    [
        # Twice as many states for each.
        ".*a.{10}",
        ".*a.{30}",
        "(.{1,50}a){5}",
        "(.*a.{9})&(.*b.{9})",
        # To find out whether a part matches anything.
        "(.*a.{12}&~(.*a.{12}))*",
        "(" + "|".join(f"[{a}-{b}]*{b}{a}" for a in "abcdefgh" for b in "ijklmnop") + "){20}",
        "~(" + "".join(map(chr, range(0x4E00, 0x4E00 + 1300))) + ".*)&.{200,}",
        "a{999999999}",
        "(a{30000})*",
    ],
)
def test_too_much_work_is_refused_soon(expression: str) -> None:
    start = time.perf_counter()
    with pytest.raises(FilterTooLargeError) as caught:
        compile_regex.__wrapped__(expression, 5)
    # 0.03 s where nothing else runs; without the limit minutes, or for ever.
    assert time.perf_counter() - start < 1
    assert caught.value.position == 5
    assert caught.value.metadata["limit"] in (str(MAX_WORK), str(MAX_DEPTH))


@pytest.mark.parametrize(
    "expression",
    [
        ".*(foo|bar).*[0-9]{3,10}",
        ".*(anna|maria|peter|johannes).*(smith|jones|müller).*",
        r"[a-z0-9._\-]+\@[a-z0-9\-]+\.(com|de|org)",
        r"[+]?[0-9]{1,3}[0-9/\-]{6,15}",
        "[a-zäöüß]{2,30}-[a-zäöüß]{2,30}",
        "[一-龥]{2,4}|[а-яё]+|[α-ωά-ώ]+",
        "<0-2147483647>",
        "~(.*(test|demo).*)",
        ".*a.{7}",
        "a{1000}",
        "[a-z]{1,1000}",
    ],
)
def test_what_people_write_stays_within_the_limit(expression: str) -> None:
    compiled = compile_regex(expression, 0)
    assert compiled.work < MAX_WORK / 2
    assert len(compiled.table.outer) + len(compiled.table.inner) < 10_000


@pytest.mark.parametrize("expression", ["a", ".*a.{9}", "[\u4e00-\u4e10]{1,200}", "(a|b|\u00e9|\u0451|[^\u6f22]){300}"])
def test_a_table_has_two_bytes_for_a_unit_of_work(expression: str) -> None:
    """So its size is bounded too."""
    compiled = compile_regex(expression, 0)
    assert len(compiled.table.outer) + len(compiled.table.inner) <= 2 * compiled.work


def test_the_expressions_of_a_filter_share_the_limit() -> None:
    budget = Budget()
    # Again is not more.
    for _ in range(3):
        budget.compile_regex(".*a.{8}", 1)
    budget.compile_regex(".*b.{8}", 20)
    with pytest.raises(FilterTooLargeError) as caught:
        budget.compile_regex(".*c.{8}", 40)
    assert caught.value.metadata == {"position": "40", "limit": str(MAX_WORK)}
    # Whatever others have compiled.
    assert Budget().compile_regex(".*c.{8}", 40) == compile_regex(".*c.{8}", 40).table


def test_agrees_with_a_backtracking_engine() -> None:
    random = Random(7)

    def expression(level: int) -> str:
        if level == 0 or random.random() < 0.3:
            return random.choice(["a", "b", ".", "[ab]", "[^a]", "é", "[b-é]"])
        inner = [expression(level - 1) for _ in range(random.randint(1, 3))]
        joined = random.choice(["", "|"]).join(inner)
        return f"({joined})" + random.choice(["", "", "*", "+", "?", "{2}", "{1,2}"])

    words = sorted({"".join(random.choices("abcé", k=random.randint(1, 5))) for _ in range(200)})
    refused = 0
    for _ in range(200):
        pattern = expression(3)
        try:
            compile_regex(pattern, 1)
        except FilterTooLargeError:
            refused += 1
            continue
        assert matches(pattern, words) == [word for word in words if re.fullmatch(pattern, word)], pattern
    assert refused <= 2


@given(st.integers(0, 1300), st.integers(0, 1300), st.integers(1, 4), st.booleans())
def test_an_interval_has_the_numbers_between_its_ends(first: int, last: int, digits: int, is_padded: bool) -> None:
    """Ends of the same length give the length of every number; otherwise zeros may stand before it."""
    low, high = (str(number).zfill(digits if is_padded else 1) for number in (first, last))
    words = [str(number).zfill(width) for number in range(1320) for width in range(len(str(number)), 6)]
    between = range(min(first, last), max(first, last) + 1)
    expected = [w for w in words if int(w) in between and (len(low) != len(high) or len(w) == len(low))]
    assert matches(f"<{low}-{high}>", words) == expected


def test_what_an_alphabet_allows() -> None:
    hexadecimal = "-0123456789abcdef"
    for expression in ("5[0-9]{2}.*", "@", ".*a&.{36}", "[0-9]+", ""):
        assert compile_regex(expression, 0).table.can_match(hexadecimal), expression
    for expression in (".*ly", "#", "[g-z].*", "5é.*", "a&b"):
        assert not compile_regex(expression, 0).table.can_match(hexadecimal), expression
