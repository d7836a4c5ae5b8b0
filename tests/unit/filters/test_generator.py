"""Filters as queries of the search engine."""

import re
from collections.abc import Mapping, Sequence

import pytest

from conversations import terms
from conversations.errors import FilterTooBroadError
from conversations.filters import PhraseCheck, Query, WordPattern, compile_filter

UUID = "a688d36c-a85e-44af-bc02-4248c2c97622"
ESCAPED_UUID = UUID.replace("-", "\\-")
NOTHING = "(@id:{none})"


def query(text: str, words: Sequence[str] = ("w1", "w2")) -> Query:
    """Return the query for a filter, of which every pattern matches the same words."""
    compiled = compile_filter(text)
    return compiled.query(dict.fromkeys(compiled.patterns, words), 5000)


def m(word: str) -> str:
    return terms.metadata_term("k", word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "*"),
        (" \t", "*"),
        ("*:*", "*"),
        ("*", "*"),
        ("id:*", "*"),
        ("unread_count:*", "*"),
        ("a OR *:*", "*"),
        ("NOT *:*", NOTHING),
        ('""', NOTHING),
        ("display_name:ada", "(@x:(nada))"),
        ("ada", "(@x:(nada))"),
        (UUID, f"((@id:{{{ESCAPED_UUID}}})|(@x:({terms.name_term(UUID)})))"),
        (f"id:{UUID.upper()}", f"(@id:{{{ESCAPED_UUID}}})"),
        ("source:Facebook", "(@src:{facebook})"),
        ("source:twilio.sms", r"(@src:{twilio\.sms})"),
        ("state:OPEN", "(@st:{open})"),
        ("state:*", "(@st:{open|closed})"),
        ("display_name:*", f"(@x:({terms.NAME_EXISTS}))"),
        ("tag_ids:*", f"(@x:({terms.TAGS_EXIST}))"),
        ("metadata.k:*", f"(@x:({terms.metadata_exists('k')}))"),
        ("metadata.k:x", f"(@x:({m('x')}))"),
        ("channel_id:a tagIds:b", "((@ch:{a})|(@tg:{b}))"),
        ("unread_count:[1 TO 5}", "(@un:[1 4])"),
        ("unread_count:{2 TO *]", "(@un:[3 +inf])"),
        ("last_message_at:[* TO 7]", "(@lm:[-inf 7])"),
        ("created_at:5", "(@ca:[5 5])"),
        ("id:E*", f"(@ih:[{0xE00000000000} {0xEFFFFFFFFFFF}])"),
        ("id:0123456*", f"(@ih:[{0x012345600000} {0x0123456FFFFF}])"),
        ("id:01234567-89a*", f"(@ih:[{0x0123456789A0} {0x0123456789AF}])"),
        ("id:01234567-89ab-*", r"(@id:{01234567\-89ab\-*})"),
        ("id:012345678*", "(@id:{012345678*})"),
        ("id:a6-*", r"(@id:{a6\-*})"),
        ("e*", f"((@ih:[{0xE00000000000} {0xEFFFFFFFFFFF}])|(@x:(nw1|nw2)))"),
        ("display_name:x*y", "(@x:(nw1|nw2))"),
        ("source:x*", "(@src:{w1|w2})"),
        ("metadata.k:x~", f"(@x:({m('w1')}|{m('w2')}))"),
        # Boolean structure.
        ("a AND b", "((@x:(na)) (@x:(nb)))"),
        ("a OR b AND c", "((@x:(nb)) (@x:(nc)))"),
        ("a OR b", "((@x:(na))|(@x:(nb)))"),
        ("a a OR a", "(@x:(na))"),
        ("a AND (b AND (c AND d))", "((@x:(na)) (@x:(nb)) (@x:(nc)) (@x:(nd)))"),
        ("a AND (b OR c)", "(((@x:(nb))|(@x:(nc))) (@x:(na)))"),
        ("NOT a", "((-(@x:(na)))|(-(@x:(na))))"),
        ("NOT (NOT a)", "(@x:(na))"),
        ("a AND NOT b", "((@x:(na)) ((-(@x:(nb)))|(-(@x:(nb)))))"),
        ("a OR (NOT b)", "((@x:(na))|(-(@x:(nb))))"),
        ("-a -b", "((-((@x:(na))|(@x:(nb))))|(-((@x:(na))|(@x:(nb)))))"),
        ("(NOT a) OR (NOT b)", "((-((@x:(na)) (@x:(nb))))|(-((@x:(na)) (@x:(nb)))))"),
        ("a OR (NOT b) OR (NOT c)", "((@x:(na))|(-((@x:(nb)) (@x:(nc)))))"),
        ("a AND ((NOT b) OR (NOT c))", "((@x:(na)) ((-((@x:(nb)) (@x:(nc))))|(-((@x:(nb)) (@x:(nc))))))"),
        ("NOT (a AND NOT b)", "((@x:(nb))|(-(@x:(na))))"),
        ("a AND *:*", "(@x:(na))"),
        ("a AND id:nonsense", NOTHING),
        ("a OR id:nonsense", "(@x:(na))"),
        ("a NOT id:nonsense", "(@x:(na))"),
        # Phrases.
        ('"a b"', '(@x:("na nb"))'),
        ('"a b a"', '(@x:("na nb na"))'),
        ('"a a"', "(@x:(na na)=>{$slop:0})"),
        ('"a a"~3', "(@x:(na na)=>{$slop:3})"),
        ('"a b"~1', "(@x:(na nb)=>{$slop:1;$inorder:true})"),
        ('"a b"~2', "((@x:(na nb)=>{$slop:2;$inorder:true})|(@x:(nb na)=>{$slop:0;$inorder:true}))"),
        ('"a b c"~1', "(@x:(na nb nc)=>{$slop:1;$inorder:true})"),
        ('metadata.k:"a b"', f'(@x:("{m("a")} {m("b")}"))'),
    ],
)
def test_query(text: str, expected: str) -> None:
    assert query(text) == Query(expected, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("display_name:x*", NOTHING),
        ("NOT display_name:x*", "*"),
        ("a AND display_name:x*", NOTHING),
        ("a OR display_name:x*", "(@x:(na))"),
        ("a AND (b OR (NOT display_name:x*))", "(@x:(na))"),
        ("id:nonsense AND display_name:x*", NOTHING),
    ],
)
def test_patterns_without_words(text: str, expected: str) -> None:
    assert query(text, words=()).text == expected


def test_phrase_checks() -> None:
    found = query('"a b a"~2 OR (NOT "c d e"~3) OR (x AND "a b a"~2) OR "a a b"')
    assert found.phrase_checks == (
        PhraseCheck("@x:(na nb)", ("na", "nb", "na"), 2),
        PhraseCheck("@x:(na nb)", ("na", "na", "nb"), 0),
        PhraseCheck("@x:(nc nd ne)", ("nc", "nd", "ne"), 3),
    )
    assert found.text == "(((@x:(nx)) (<<0>>))|(<<0>>)|(<<1>>)|(-(<<2>>)))"


def test_deepest_part_comes_first() -> None:
    """The engine's parser has room for 252 open parentheses, but for 63 unions that wait for their last part only."""
    text = "a"
    for level in range(63):
        text = f"(b{level} {'AND' if level % 2 else 'OR'} {text})"
    assert query(text).text.startswith("(" * 60)


def test_breadth_is_counted_wherever_a_pattern_stands() -> None:
    compiled = compile_filter("display_name:x* OR (a AND display_name:x*) OR metadata.k:y*")
    by_field: Mapping[str, list[str]] = {"display_name": ["a"] * 40, "metadata.k": ["b"] * 21}
    words = {pattern: by_field[pattern.field] for pattern in compiled.patterns}
    assert len(compiled.patterns) == 2
    compiled.query(words, 101)
    with pytest.raises(FilterTooBroadError) as caught:
        compiled.query(words, 100)
    assert caught.value.metadata == {"position": "13", "words": "101", "limit": "100"}


def test_patterns_that_change_nothing_are_not_looked_up() -> None:
    assert compile_filter("id:nonsense AND display_name:x*").patterns == ()


HOSTILE = [
    "x) | (@un:[0 100]",
    "a|b",
    "}{",
    "*",
    "w'*'",
    "%a%",
    "$p",
    "=>{$slop:1}",
    "\\",
    '"',
    "<<0>>",
    "-a",
    "~a",
    "@id",
    "a,b",
    "\x01\x1b",
    "é🦊",
    "a\\u0000b",
]
LEAF = r"\(@(?:x:\([a-z0-9_]+\)|(?:id|ch|src|st|tg):\{(?:[a-z0-9é🦊]|\\[^a-z0-9])+\})\)"
ANY_LEAF = re.compile(rf"{LEAF}|\({LEAF}(?:\|{LEAF})+\)", re.DOTALL)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["display_name", "metadata.k", "source", "channel_id", "state", "tag_ids"])
def test_no_value_becomes_syntax(field: str, value: str) -> None:
    escaped = value if "\\u" in value else re.sub("[^a-z0-9]", r"\\\g<0>", value)
    for text in (f"{field}:{escaped}", f"{field}:{escaped}~0"):
        assert ANY_LEAF.fullmatch(query(text).text), text


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_a_dictionary_becomes_syntax(word: str) -> None:
    pattern = "source:x*"
    assert ANY_LEAF.fullmatch(query(pattern, [word]).text)


def test_text_fields_are_ascii() -> None:
    assert query("display_name:é🦊 metadata.ключ:значение").text.isascii()


def test_every_pattern_is_asked_for_once() -> None:
    compiled = compile_filter("display_name:x* OR display_name:x* OR display_name:y*")
    assert [pattern.position for pattern in compiled.patterns] == [13, 51]
    assert all(isinstance(pattern, WordPattern) for pattern in compiled.patterns)
