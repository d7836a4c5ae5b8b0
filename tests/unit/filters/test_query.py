"""Filters as queries of the search engine."""

import re
import uuid
from collections.abc import Iterator
from random import Random

import pytest

from conversations import terms
from conversations.filters import MAX_CLAUSES, Query, compile_filter

UUID = "a688d36c-a85e-44af-bc02-4248c2c97622"
ESCAPED_UUID = UUID.replace("-", "\\-")
NOTHING = "(@id:{none})"
LOW, HIGH = 0xA688D36C0000, 0xA688D36CFFFF


def query(text: str) -> str:
    """Return the text of the query for a filter."""
    return compile_filter(text).query.text


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
        ("state:*", f"(@x:({terms.metadata_exists('state')}))"),
        ("display_name:*", f"(@x:({terms.NAME_EXISTS}))"),
        ("tag_ids:*", f"(@x:({terms.TAGS_EXIST}))"),
        ("metadata.k:*", f"(@x:({terms.metadata_exists('k')}))"),
        ("metadata.k:x", f"(@x:({m('x')}))"),
        ("channel_id:a tagIds:b", "((@ch:{a})|(@tg:{b}))"),
        ("source:a source:b-c source:x*", r"(@src:{x*|a|b\-c})"),
        ("source:a AND source:b", "((@src:{a}) (@src:{b}))"),
        ("state:open OR state:*", f"((@x:({terms.metadata_exists('state')}))|(@st:{{open}}))"),
        ("unread_count:[1 TO 5}", "(@un:[1 4])"),
        ("unread_count:{2 TO *]", "(@un:[3 +inf])"),
        ("last_message_at:[* TO 7]", "(@lm:[-inf 7])"),
        ("created_at:5", "(@ca:[5 5])"),
        ("id:E*", f"(@ih:[{0xE00000000000} {0xEFFFFFFFFFFF}])"),
        ("id:0123456*", f"(@ih:[{0x012345600000} {0x0123456FFFFF}])"),
        ("id:01234567-89a*", f"(@ih:[{0x0123456789A0} {0x0123456789AF}])"),
        ("id:01234567-89ab-*", r"(@id:{01234567\-89ab\-*})"),
        ("unread_count:[1 TO 3] OR unread_count:4 OR unread_count:[2 TO 2]", "(@un:[1 4])"),
        ("unread_count:1 OR unread_count:3", "((@un:[1 1])|(@un:[3 3]))"),
        ("unread_count:[* TO 3] OR unread_count:[3 TO *]", "*"),
        ("unread_count:[* TO 3] AND unread_count:[2 TO *]", "(@un:[2 3])"),
        ("unread_count:[* TO 3] AND unread_count:[4 TO *]", NOTHING),
        ("a OR (unread_count:1 AND unread_count:2)", "(@x:(na))"),
        ("NOT unread_count:2", "((@un:[-inf 1])|(@un:[3 +inf]))"),
        ("NOT unread_count:[3 TO *]", "(@un:[-inf 2])"),
        ("unread_count:[1 TO 5] AND NOT unread_count:5", "(@un:[1 4])"),
        ("(NOT unread_count:1) OR (NOT unread_count:2)", "*"),
        ("NOT (unread_count:[1 TO 2] OR unread_count:4)", "((@un:[-inf 0])|(@un:[3 3])|(@un:[5 +inf]))"),
        ("a AND unread_count:(1 3)", "(((@un:[1 1])|(@un:[3 3])) (@x:(na)))"),
        ("a OR unread_count:(1 3)", "((@un:[1 1])|(@un:[3 3])|(@x:(na)))"),
        ("unread_count:1 AND created_at:1", "((@un:[1 1]) (@ca:[1 1]))"),
        ("id:f* OR id:0*", "((@ih:[-inf 17592186044415])|(@ih:[263882790666240 +inf]))"),
        ("id:a688d36c* AND NOT id:a688d36c-a85*", f"((@ih:[{LOW} {0xA688D36CA84F}])|(@ih:[{0xA688D36CA860} {HIGH}]))"),
        ("id:a688d36c-*", f"(@ih:[{LOW} {HIGH}])"),
        ("id:a6-*", NOTHING),
        ("id:a688d36ca*", NOTHING),
        ("NOT id:a688d36ca*", "*"),
        ("id:a688d36c-a85e-4*", r"(@id:{a688d36c\-a85e\-4*})"),
        ("id:[* TO a688d36c-a85e]", f"(@ih:[-inf {0xA688D36CA85D}])"),
        ("id:[* TO a688d36d}", f"(@ih:[-inf {HIGH}])"),
        ("id:{a688d36c TO a688d36c-z]", f"(@ih:[{LOW} {HIGH}])"),
        ("id:{a688d36c-- TO f]", f"(@ih:[{LOW} 263882790666239])"),
        ("id:[0 TO g]", "*"),
        ("id:[a688d36c-zz TO a688d36c-zzz]", NOTHING),
        (f"id:[a688d36c-zzzzzzzzz TO {UUID[:8]}d]", NOTHING),
        ("source:X.y*", r"(@src:{x\.y*})"),
        ("state:x* tag_ids:x* channel_id:x*", "((@st:{x*})|(@tg:{x*})|(@ch:{x*}))"),
        ("id:nonsense AND display_name:x*", NOTHING),
        ("unread_count:* OR display_name:x*", "*"),
        # Boolean structure.
        ("a AND b", "((@x:(na)) (@x:(nb)))"),
        ("a OR b AND c", "((@x:(nb)) (@x:(nc)))"),
        ("a OR b", "(@x:(na|nb))"),
        ("a OR metadata.k:b OR display_name:*", f"(@x:({terms.NAME_EXISTS}|na|{m('b')}))"),
        ("a a OR a", "(@x:(na))"),
        ("a AND a AND a", "(@x:(na))"),
        ("a AND (b AND (c AND d))", "((@x:(na)) (@x:(nb)) (@x:(nc)) (@x:(nd)))"),
        ("a AND (b OR c)", "((@x:(nb|nc)) (@x:(na)))"),
        ("NOT a", "((-(@x:(na)))|(-(@x:(na))))"),
        ("NOT (NOT a)", "(@x:(na))"),
        ("a AND NOT b", "((@x:(na)) ((-(@x:(nb)))|(-(@x:(nb)))))"),
        ("a OR (NOT b)", "((@x:(na))|(-(@x:(nb))))"),
        ("-a -b", "((-(@x:(na|nb)))|(-(@x:(na|nb))))"),
        ("(NOT a) OR (NOT b)", "((-((@x:(na)) (@x:(nb))))|(-((@x:(na)) (@x:(nb)))))"),
        ("a OR (NOT b) OR (NOT c)", "((-((@x:(nb)) (@x:(nc))))|(@x:(na)))"),
        ("a AND ((NOT b) OR (NOT c))", "(((-((@x:(nb)) (@x:(nc))))|(-((@x:(nb)) (@x:(nc))))) (@x:(na)))"),
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
    assert compile_filter(text).query == Query(expected, is_exact=True)


NAMED = f"(@x:({terms.NAME_EXISTS}))"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A pattern: everything with a value.
        ("display_name:x*", NAMED),
        ("display_name:x*y", NAMED),
        ("metadata.k:x~", f"(@x:({terms.metadata_exists('k')}))"),
        ("metadata.k:[a TO b]", f"(@x:({terms.metadata_exists('k')}))"),
        ("tag_ids:/x/", f"(@x:({terms.TAGS_EXIST}))"),
        ("state:*x", f"(@x:({terms.metadata_exists('state')}))"),
        ("source:*x", "*"),
        ("channel_id:[a TO b]", "*"),
        ("id:e*1", "*"),
        ("e*", f"((@ih:[{0xE00000000000} {0xEFFFFFFFFFFF}])|{NAMED})"),
        (f"id:[{UUID} TO *]", "*"),
        # A negated one: everything.
        ("NOT display_name:x*", "*"),
        ("a AND NOT display_name:x*", "(@x:(na))"),
        ("a AND (b OR (NOT display_name:x*))", "(@x:(na))"),
        ("NOT (a AND display_name:x*)", "*"),
        ("NOT (a OR display_name:x*)", "((-(@x:(na)))|(-(@x:(na))))"),
        ("a AND display_name:x*", f"((@x:(na)) {NAMED})"),
        ("a OR display_name:x*", f"(@x:({terms.NAME_EXISTS}|na))"),
        # A phrase that the engine cannot say.
        ('"a b a"~2', "(@x:(na nb)=>{$slop:3})"),
        ('"a a b"', "(@x:(na nb)=>{$slop:1})"),
        ('"c d e"~3', "(@x:(nc nd ne)=>{$slop:3})"),
        ('"a a a"', "(@x:(na))"),
        ('NOT "c d e"~3', "*"),
        ('x AND ("a b a"~2 OR (NOT "c d e"~3))', "(@x:(nx))"),
    ],
)
def test_query_for_what_may_match(text: str, expected: str) -> None:
    assert compile_filter(text).query == Query(expected, is_exact=False)


@pytest.mark.parametrize(
    "text", ["{} OR (NOT a)", "{} OR (a AND NOT b)", "a AND ((NOT b) OR {})", "(NOT a) OR (b AND (c OR (NOT d))) OR {}"]
)
def test_unions_with_a_negation_are_small(text: str) -> None:
    """The engine loses hits of a union with a negation from 21 parts on."""
    count = MAX_CLAUSES - 4
    counts = f"unread_count:({' '.join(str(2 * i) for i in range(count))})"
    written = query(text.format(counts))
    assert written.count("@un") == count
    assert max(union_sizes(written)) <= 20


def test_other_unions_are_flat() -> None:
    counts = " OR ".join(f"unread_count:{2 * i}" for i in range(200))
    assert list(union_sizes(query(counts))) == [200]


def union_sizes(text: str) -> Iterator[int]:
    """Yield how many parts each union has; a first part that is a union counts as its parts."""
    text = re.sub(r"\(@\w+:(\[.*?\]|\(.*?\))\)", "a", text)
    while group := re.search(r"\(([^()]*)\)", text):
        first, *others = group[1].split("|")
        size = len(others) + (int(first) if first.isdigit() else 1)
        if others:
            yield size
        text = text[: group.start()] + (str(size) if others else "a") + text[group.end() :]


def test_ids_are_found_by_their_start() -> None:
    """An id lies in a range of its first 48 bits if and only if it has the prefix, or lies between the bounds."""
    random = Random(1)
    ids = [str(uuid.UUID(int=random.getrandbits(128))) for _ in range(50)] + [
        UUID,
        "0" * 8 + UUID[8:],
        "f" * 8 + UUID[8:],
    ]
    for _ in range(500):
        low, high = sorted(bound(random, ids) for _ in range(2))
        for text, found in (
            (f"id:{low}*", [id for id in ids if id.startswith(low)]),
            (f'id:["{low}" TO "{high}"}}', [id for id in ids if low <= id < high]),
            (f'NOT id:{{* TO "{high}"]', [id for id in ids if id > high]),
            (f'NOT id:["{low}" TO *]', [id for id in ids if id < low]),
        ):
            assert [id for id in ids if has(query(text), id)] == found, text


def bound(random: Random, ids: list[str]) -> str:
    text = random.choice(ids)[: random.choice([1, 7, 8, 9, 10, 12, 13])]
    if random.random() < 0.5:
        at = random.randrange(len(text))
        text = text[:at] + random.choice("0f-") + text[at + 1 :]
    return text.lstrip("-") or "0"


def has(text: str, id: str) -> bool:
    number = int(id[:8] + id[9:13], 16)
    spans = re.findall(r"@ih:\[(\S+) (\S+)\]", text)
    return text == "*" or any(float(low) <= number <= float(high) for low, high in spans)


def test_a_phrase_with_a_word_twice_is_told_apart_whatever_its_slop() -> None:
    for slop in (1, 2, 7):
        found = compile_filter(f'"a b a"~{slop}').query
        assert found == Query(f"(@x:(na nb)=>{{$slop:{slop + 1}}})", is_exact=False)


def test_deepest_part_comes_first() -> None:
    """The engine's parser has room for 252 open parentheses, but for 63 unions that wait for their last part only."""
    text = "a"
    for level in range(18):
        text = f"(b{level} {'AND' if level % 2 else 'OR'} {text})"
    assert query(text).startswith("(" * 18)
    shallow = "(c OR (d AND (e OR (f AND g))))"
    assert query(f"{shallow} AND {text}").startswith("(" * 18)
    assert query(f"{shallow} OR {text}").startswith("(" * 19)


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
LEAF = r"\(@(?:x:\(W(?:\|W)*\)|(?:id|ch|src|st|tg):\{V(?:\|V)*\})\)"
LEAF = LEAF.replace("W", "[a-z0-9_]+").replace("V", r"(?:[a-z0-9é🦊]|\\[^a-z0-9])+")
ANY_LEAF = re.compile(rf"{LEAF}|\({LEAF}(?:\|{LEAF})+\)", re.DOTALL)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["display_name", "metadata.k", "source", "channel_id", "state", "tag_ids"])
def test_no_value_becomes_syntax(field: str, value: str) -> None:
    escaped = value if "\\u" in value else re.sub("[^a-z0-9]", r"\\\g<0>", value)
    for text in (f"{field}:{escaped}", f"{field}:{escaped}~0"):
        assert ANY_LEAF.fullmatch(query(text)), text


@pytest.mark.parametrize("value", [value for value in HOSTILE if " " not in value and "\\u" not in value])
@pytest.mark.parametrize("field", ["source", "channel_id", "state", "tag_ids"])
def test_no_prefix_becomes_syntax(field: str, value: str) -> None:
    escaped = re.sub("[^a-z0-9]", r"\\\g<0>", value)
    written = query(f"{field}:{escaped}*")
    assert written.endswith("*})")
    assert ANY_LEAF.fullmatch(written.removesuffix("*})") + "})"), written


def test_text_fields_are_ascii() -> None:
    assert query("display_name:é🦊 metadata.ключ:значение").isascii()
