"""The pure parts of the Lua library, run without Redis: each does what its twin in Python does."""

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from google.protobuf.internal import decoder, encoder
from hypothesis import given
from hypothesis import strategies as st
from tests.lua.interpreter import Modules
from tests.lua.lint import lint
from tests.lua.predicates import holds, predicates

from conversations import terms
from conversations.times import format_time, parse_time
from conversations.v1 import conversation_pb2

LUA = Modules()

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=120)
BYTES = st.binary(max_size=300).map(lambda data: data.decode("latin-1"))


@given(st.one_of(st.integers(0, 300), st.integers(0, 2**53)))
def test_a_varint_is_that_of_protobuf(number: int) -> None:
    written: list[bytes] = []
    encoder._EncodeVarint(written.append, number)  # type: ignore[attr-defined]
    assert LUA.protobuf.varint(number).encode("latin-1") == b"".join(written)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 300_000])
def test_a_field_is_that_of_protobuf(size: int) -> None:
    expected = conversation_pb2.Contact(avatar_url="x" * size).SerializeToString()
    field = LUA.protobuf.field(2, "x" * size).encode("latin-1")
    assert field == (expected or b"\x12\x00")
    text = field.decode("latin-1")
    assert LUA.protobuf.is_field(2, text)
    assert not LUA.protobuf.is_field(1, text)
    assert not LUA.protobuf.is_field(2, text + "x")
    assert not LUA.protobuf.is_field(2, text[:-1])
    assert LUA.protobuf.field_end(2, f"ab{text}c", 3) == 2 + len(text)


@given(BYTES.map(lambda rest: "\x0a" + rest))
def test_where_a_field_ends(text: str) -> None:
    data = text.encode("latin-1")
    try:
        size, start = decoder._DecodeVarint(data, 1)  # type: ignore[attr-defined]
    except IndexError:
        size, start = 2**64, 0
    expected = start + size if start + size <= len(data) and start <= 6 else None
    assert LUA.protobuf.field_end(1, text, 1) == expected


TIMES = st.integers(parse_time("0001-01-01T00:00:00Z"), parse_time("9999-12-31T23:59:59.999Z"))


@given(TIMES)
def test_a_timestamp_is_that_of_python(ms: int) -> None:
    assert LUA.format.timestamp(ms) == format_time(ms)


@pytest.mark.parametrize("number", [0, -1, 10**15 - 1, 2**53, -(10**15) + 1])
def test_integers_have_no_exponent(number: int) -> None:
    assert LUA.format.integer(number) == str(number)


@given(VISIBLE.map(str.lower))
def test_a_term_is_that_of_python(word: str) -> None:
    assert LUA.terms.name_term(word) == terms.name_term(word)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("facebook", "Facebook"),
        ("twilio.sms", "Sms"),
        (".", "."),
        ("a..b", "B"),
        ("a.", "A."),
        ("%d", "%d"),
        ("9", "9"),
    ],
)
def test_a_default_name(source: str, name: str) -> None:
    assert LUA.terms.default_name(source, "a688d36c-a85e-44af-bc02-4248c2c97622") == (name, "97622")


@given(st.fixed_dictionaries({}, optional={"st": st.sampled_from(["OPEN", "CLOSED"]), "tg": st.just("a,b")}))
def test_terms_are_put_together_and_taken_apart(c: dict[str, str]) -> None:
    conversation = LUA.table(c)
    LUA.terms.write(conversation, "na nb", "xk mk")
    exist = [terms.TAGS_EXIST] if "tg" in c else []
    if "st" in c:
        exist += [terms.metadata_exists("state"), terms.metadata_term("state", c["st"].lower())]
    assert conversation["x"] == f"xn na nb | xk mk | {' '.join(exist)}"
    assert LUA.terms.parts(conversation) == ("na nb", "xk mk")


@pytest.mark.parametrize(
    ("check", "pattern"),
    [("is_id", "[0-9a-f-]{36}"), ("is_time", r"-?[0-9]{1,15}"), ("is_count", "[0-9]{1,10}")],
)
@given(text=st.text("0123456789abcf-. e", max_size=37) | st.text("0123-a", min_size=36, max_size=36))
def test_checks(check: str, pattern: str, text: str) -> None:
    # A time has 15 characters at most, the sign included.
    expected = re.fullmatch(pattern, text) is not None and (check != "is_time" or len(text) <= 15)
    assert bool(LUA.checks[check](text)) == expected
    assert not LUA.checks[check](None)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("5 0000000001 1 {id} a.b\n\0x\ny", ("5", "0000000001", "1", "{id}", "a.b", "\0x\ny")),
        ("-5 0000000001 0 {id} b\n", ("-5", "0000000001", "0", "{id}", "b", "")),
        ("5 0000000001 1 {id} b", None),
        ("5 1 1 {id} b\n", None),
        ("5 0000000001 2 {id} b\n", None),
        ("5 0000000001 1 x b\n", None),
        ("5555555555555555 0000000001 1 {id} b\n", None),
    ],
)
def test_a_line_of_a_message(line: str, parts: tuple[str, ...] | None) -> None:
    id = "a688d36c-a85e-44af-bc02-4248c2c97622"
    expected = parts and tuple(part.format(id=id) for part in parts)
    assert LUA.message.parse(line.format(id=id)) == expected


LETTERS = st.sampled_from("abc")


def has_phrase(text: Sequence[str], wanted: Sequence[str], slop: int) -> bool:
    """Try every choice of different positions for which the largest p_i - i less the smallest is the slop at most."""
    places = [[at for at, word in enumerate(text) if word == one] for one in wanted]
    for choice in product(*places):
        shifts = [at - i for i, at in enumerate(choice)]
        if len(set(choice)) == len(choice) and max(shifts) - min(shifts) <= slop:
            return True
    return False


@given(st.lists(LETTERS, max_size=9), st.lists(LETTERS, min_size=1, max_size=4), st.integers(0, 8))
def test_a_phrase(text: list[str], wanted: list[str], slop: int) -> None:
    assert LUA.phrases.is_in(" ".join(text), LUA.table(wanted), slop) == has_phrase(text, wanted, slop)


NUMBERS = st.integers(-3, 3)
RANGES = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=2)
VALUES = st.lists(st.sampled_from(["a", "b", "a,b", "open", ""]), min_size=1, max_size=3)
ATOMS: st.SearchStrategy[list[Any]] = st.one_of(
    st.builds(lambda key, values: ["values", key, *values], st.sampled_from(["id", "src", "st", "tg"]), VALUES),
    st.builds(lambda words: ["words", "k", "", *words], st.lists(LETTERS, min_size=1, max_size=2)),
    st.builds(lambda word: ["exists", "k", word], LETTERS),
    st.builds(lambda word, high: ["matching_word", "k", "", ["range", word, high, True, True]], LETTERS, LETTERS),
    st.builds(
        lambda words, slop: ["phrase", "k", "", slop, *words],
        st.lists(LETTERS, min_size=2, max_size=3),
        st.integers(0, 2),
    ),
    st.builds(lambda key, ranges: ["numbers", key, *sum(ranges, ())], st.sampled_from(["un", "lm"]), RANGES),
    st.builds(
        lambda key, start: ["matching_value", key, ["prefix", start]],
        st.sampled_from(["id", "src", "st", "tg"]),
        st.text("abo", max_size=2),
    ),
)
PREDICATES = predicates(ATOMS)
CONVERSATIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text("ab", max_size=3),
        "src": st.sampled_from(["a", "B", "Open"]),
        "st": st.sampled_from(["OPEN", "CLOSED"]),
        "tg": st.sampled_from(["a", "b", "a,b", "b,c"]),
        "x": st.lists(LETTERS, max_size=6).map(" ".join),
        "un": NUMBERS.map(str),
        "lm": NUMBERS.map(str),
    },
)


def matches(predicate: Sequence[Any], c: dict[str, str]) -> bool:
    return holds(predicate, lambda atom: matches_atom(atom, c))


def matches_atom(atom: Sequence[Any], c: dict[str, str]) -> bool:
    kind, *rest = atom
    match kind:
        case "words":
            return not set(rest[2:]).isdisjoint(c.get("x", "").split())
        case "exists":
            return rest[1] in c.get("x", "").split()
        case "matching_word":
            return any(rest[2][1] <= word <= rest[2][2] for word in c.get("x", "").split())
        case "phrase":
            return has_phrase(c.get("x", "").split(), rest[3:], rest[2])
        case "numbers":
            key, *bounds = rest
            pairs = zip(bounds[::2], bounds[1::2], strict=True)
            return key in c and any(low <= int(c[key]) <= high for low, high in pairs)
    key, *values = rest
    value = c.get(key, "").lower() if key in ("src", "st") else c.get(key, "")
    own = [one for one in (value.split(",") if key == "tg" else [value]) if one]
    if kind == "matching_value":
        return any(one.startswith(values[0][1]) for one in own)
    return not set(values).isdisjoint(own)


@given(PREDICATES, CONVERSATIONS)
def test_a_predicate(predicate: list[Any], c: dict[str, str]) -> None:
    assert bool(LUA.predicate.is_match(LUA.table(predicate), LUA.table(c))) == matches(predicate, c)
    assert bool(LUA.predicate.is_found(LUA.table(predicate), LUA.table(c))) == matches(predicate, c)
    assert not LUA.predicate.is_found(LUA.table(predicate), LUA.table({**c, "ca": "junk"}))


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        (["values", "st", "a"], {"st"}),
        (["matching_value", "ch", ["prefix", "a"]], {"ch"}),
        (["not", ["numbers", "un", 1, 2]], {"un"}),
        (["or", ["words", "a", "m", "mb"], ["and", ["exists", "a", "xa"], ["matching_word", "a", "m", []]]], {"x"}),
        (["and", ["phrase", "k", "", 1, "a", "b"], ["values", "tg", "a"]], {"x", "tg"}),
        (["and"], set()),
    ],
)
def test_what_a_predicate_reads(predicate: list[Any], names: set[str]) -> None:
    assert sorted(LUA.predicate.reads(LUA.table(predicate)).values()) == sorted(names)


@given(VISIBLE.map(str.lower))
def test_the_word_of_a_term(word: str) -> None:
    term = terms.name_term(word).removeprefix(terms.NAME_PREFIX)
    assert LUA.predicate.word_of(term) == (None if term.startswith("__") else word)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("local keys = require('keys')\nreturn keys.tag", []),
        ("local keys = require('keys')\nreturn keys.tags", [(2, "keys has no tags")]),
        ("local keys = require('keys')", [(1, "keys is not used")]),
        ("return tag", [(1, "tag is not defined")]),
        ("tag = 1", [(1, "tag becomes a global")]),
        ("function tag() end", [(1, "tag becomes a global")]),
        ("local next = 1\nreturn next", [(1, "next hides another one")]),
        ("local a = 1\nreturn function(a) return a end, a", [(2, "a hides another one")]),
        ("for i, v in ipairs({}) do redis.call(v) end", [(1, "i is not used")]),
        ("for _, v in ipairs({}) do redis.call(v) end", []),
        ("repeat local a = 1 until a", []),
        ("local a = {}\na.b, a[c] = 1, 2", [(2, "c is not defined")]),
        ("local x = 1  \nreturn x", [(1, "the line is too long, or ends with a blank")]),
    ],
)
def test_the_linter(code: str, said: list[tuple[int, str]]) -> None:
    assert lint(code, {"keys": frozenset({"tag"})}) == said
