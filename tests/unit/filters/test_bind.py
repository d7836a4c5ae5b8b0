"""Names, types and values; Lucene's rules for clauses."""

from collections.abc import Iterator
from typing import Any

import pytest

from conversations.errors import (
    FilterError,
    FilterSyntaxError,
    FilterTooLargeError,
    FilterValueError,
    UnknownFieldError,
)
from conversations.filters.bind import bind
from conversations.filters.expressions import (
    Boolean,
    BoundExpression,
    Everything,
    Exists,
    Nothing,
    NumberRange,
    Occur,
    Pattern,
    Term,
    ValuePrefix,
    WordPhrase,
)
from conversations.filters.language import parse
from conversations.filters.patterns import (
    MAX_FLOATING,
    Between,
    Glob,
    Near,
    Predicate,
    RegularExpression,
    StartsWith,
)
from conversations.filters.patterns.automata import MAX_WORK
from conversations.schema import FIELDS, Field, FieldKind, metadata_field

DAY_MS = 86_400_000
TAG = "f339c325-8614-43cb-a70a-e83d81bf56fc"


def bound(text: str) -> BoundExpression:
    return bind(parse(text))


def clauses(text: str) -> str:
    """Return the clauses of a filter over one-letter names as `+a b -c`."""
    return written(bound(text))


def written(expression: BoundExpression) -> str:
    match expression:
        case Term(_, word):
            return word
        case Boolean(parts):
            signs = {Occur.REQUIRED: "+", Occur.OPTIONAL: "", Occur.PROHIBITED: "-"}
            inner = [signs[part.occur] + written(part.expression) for part in parts]
            return f"({' '.join(inner)})"
        case Nothing():
            return "nothing"
    raise AssertionError(expression)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "(a b)"),
        ("a OR b AND c", "(a +b +c)"),
        ("a AND b OR c", "(+a +b c)"),
        ("a OR b AND NOT c", "(a +b -c)"),
        ("a AND NOT b AND c", "(+a -b +c)"),
        ("NOT a AND b", "(-a +b)"),
        ("a OR NOT b", "(a -b)"),
        ("a OR (NOT b)", "(a (-b))"),
        ("NOT (NOT a)", "(-(-a))"),
        ("+a OR b", "(+a b)"),
        ("a && !b || c", "(+a -b c)"),
        ("((a))", "a"),
        ("(+a)", "a"),
        ("(a)(b)", "(a b)"),
        ('a AND ""', "a"),
        ('a OR b AND ""', "(a +b)"),
        ('a "" AND b', "(+a +b)"),
        ('"" AND b', "b"),
        ('NOT "" a', "a"),
        ('a AND ("" "")', "a"),
        (r"a AND \ ", "a"),
        ('""', "nothing"),
        (r"a\ b", "(a b)"),
        ("A~0", "a"),
        (r"+a\ b c", "(+(a b) c)"),
        ('"A"', "a"),
        ('" \u3000x\t"', "x"),
    ],
)
def test_clauses(text: str, expected: str) -> None:
    assert clauses(f"metadata.k:({text})") == expected


def test_field_of_a_group_yields_to_one_inside() -> None:
    match bound("source:(a metadata.k:b (c))"):
        case Boolean(parts):
            assert [written(part.expression) for part in parts] == ["a", "b", "c"]
            fields = [part.expression.field for part in parts if isinstance(part.expression, Term)]
            assert [field.name for field in fields] == ["source", "metadata.k", "source"]
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("text", "field", "predicate"),
    [
        ("display_name:Ad*", "display_name", StartsWith("ad")),
        (r"displayName:\AD\**", "display_name", StartsWith("ad*")),
        ("source:T?*x", "source", Glob(("t\n", "x"))),
        ("source:?", "source", Glob(("\n",))),
        ("source:*a?b*", "source", Glob(("", "a\nb", ""))),
        ("source:a**b", "source", Glob(("a", "b"))),
        (r"metadata.k:a\*\A*", "metadata.k", StartsWith("a*a")),
        (r"metadata.k:a\*\A?", "metadata.k", Glob(("a*A\n",))),
        (r"metadata.k:\u0041?", "metadata.k", Glob(("u0041\n",))),
        ("state:Opne~", "state", Near("opne", 2)),
        ("tag_ids:[A TO b}", "tag_ids", Between("a", "b", True, False)),
        ("display_name:{* TO x]", "display_name", Between(None, "x", False, True)),
        ("display_name:/[A-C]x/", "display_name", RegularExpression("[a-c]x")),
        ("id:2*0", "id", Glob(("2", "0"))),
        (f"id:*{TAG}", "id", Glob(("", TAG))),
        (f"id:{TAG}~1", "id", Near(TAG, 1)),
        (f"id:{TAG[2:]}~", "id", Near(TAG[2:], 2)),
        ("source:[a TO a]", "source", Between("a", "a", True, True)),
    ],
)
def test_patterns(text: str, field: str, predicate: Predicate) -> None:
    match bound(text):
        case Pattern(_, pattern):
            assert (pattern.field, pattern.predicate) == (field, predicate)
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    "text",
    ["display_name:*", "metadata.k:**", "state:?*", "tag_ids:*?", "source:[* TO *]", "unread_count:*", "id:{* TO *}"],
)
def test_exists(text: str) -> None:
    assert isinstance(bound(text), Exists)


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("metadata.unread_count:[2 TO *]", "unread_count:[2 TO *]"),
        ("metadata.unread_count:(1 OR 2)", "unread_count:(1 OR 2)"),
        (f"metadata.tags:{TAG}", f"tag_ids:{TAG}"),
        ("metadata.tags:*", "tag_ids:*"),
        (f"metadata.tags.{TAG}:*", f"tag_ids:{TAG}"),
        (f"metadata.tags.{TAG.upper()}:[* TO *]", f"tag_ids:{TAG}"),
        (f"-metadata.tags.{TAG}:*", f"-tag_ids:{TAG}"),
    ],
)
def test_what_the_answer_shows_in_the_metadata_is_found_there(alias: str, text: str) -> None:
    assert bound(alias) == bound(text)


@pytest.mark.parametrize("value", ["x", "x*", "/x/", "[a TO b]", "x~", '"a b"', '"x"'])
def test_a_tag_has_no_words(value: str) -> None:
    match bound(f"metadata.tags.{TAG}:{value}"):
        case Nothing(Field(name), reason, position):
            assert (name, position) == (f"metadata.tags.{TAG}", len(f"{name}:"))
            assert f"tag_ids:{TAG}" in reason
        case other:
            raise AssertionError(other)


WORD_LEAVES = [
    "a",
    r"a\ b",
    "a~0",
    r"a\ b~0",
    "a~2",
    '"a"',
    '"a b"',
    '"a b"~2',
    "a*",
    r"a\ b*",
    "a?b",
    r"a\ b?",
    "*a",
    "*",
    "[a TO b]",
    "[* TO b}",
    "[b TO a]",
    "[* TO *]",
    "/[a-f]+/",
    "/x/",
    "x",
    "x*",
    "x?",
    "[x TO y]",
    r"a\u0000",
]
NUMBER_LEAVES = ["5", r"5\ 6", '"5"', "[5 TO 6]", "[* TO 6}", "[6 TO 5]", "[* TO *]", "*"]


@pytest.mark.parametrize(
    ("field", "leaf"),
    [
        (field.name, leaf)
        for field in (*FIELDS[:-1], metadata_field("metadata.k"))
        for leaf in (NUMBER_LEAVES if field.kind is FieldKind.NUMBER else WORD_LEAVES)
    ],
)
def test_every_part_says_its_field_and_where_it_stands(field: str, leaf: str) -> None:
    before = f"NOT ({field}:"
    whole = bound(f"{before}{leaf})")
    assert isinstance(whole, Boolean)
    assert [clause.expression.position for clause in whole.clauses] == [len(before)]
    for part in parts_of(whole):
        assert (part.field.name, part.position) == (field, len(before))
        match part:
            case Pattern(_, pattern):
                assert (pattern.field, pattern.position) == (field, len(before))
            case Nothing(_, reason):
                assert reason


def parts_of(expression: BoundExpression) -> Iterator[Any]:
    if isinstance(expression, Boolean):
        for clause in expression.clauses:
            yield from parts_of(clause.expression)
    else:
        yield expression


@pytest.mark.parametrize(
    ("segment", "is_taken"),
    [
        ("a" * (MAX_FLOATING - 1) + "?b", False),
        ("a" * (MAX_FLOATING - 2) + "?b", True),
        ("a" * (MAX_FLOATING + 1), True),
        ("?" * 9 + "a" * MAX_FLOATING + "?" * 9, True),
    ],
)
def test_a_long_segment_holds_no_question_marks(segment: str, is_taken: bool) -> None:
    """At its ends they only move it."""
    text = f"display_name:*{segment}*"
    if is_taken:
        assert isinstance(bound(text), Pattern)
    else:
        with pytest.raises(FilterTooLargeError) as caught:
            bound(text)
        assert caught.value.metadata == {"position": "13", "limit": str(MAX_FLOATING)}
    assert isinstance(bound(f"display_name:a*{segment}"), Pattern), "the last one is at a fixed place"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("/.*a.{9}/", None),
        ("source:/.*a.{8}/ AND state:/.*b.{8}/", None),
        ("/.*a.{10}/", 1),
        ("source:/.*a.{8}/ AND state:(/.*b.{8}/ OR x OR /.*c.{8}/)", 47),
        (" ".join(["source:/.*a.{7}/"] * 6), 93),
    ],
)
def test_regular_expressions_of_a_filter_share_a_limit(text: str, position: int | None) -> None:
    """Whatever the fields; one that is looked for in several counts once."""
    if position is None:
        assert bound(text)
    else:
        with pytest.raises(FilterTooLargeError) as caught:
            bound(text)
        assert caught.value.metadata == {"position": str(position), "limit": str(MAX_WORK)}


@pytest.mark.parametrize("text", ["*:*", "*:(*)", "*:((* *))"])
def test_everything(text: str) -> None:
    assert all(isinstance(part, Everything) for part in parts_of(bound(text)))


@pytest.mark.parametrize(
    "text",
    [
        "id:ada",
        "id:x*",
        "id:*x*",
        "id:ada~2",
        "id:[x TO y]",
        "id:[* TO -]",
        f"id:{TAG[3:]}~",
        "id:/.*ly/",
        'id:"a b"',
        'tag_ids:"a b"',
        'source:"a b"~3',
        r"display_name:a\ b*",
        r"display_name:a\ b?",
        "display_name:a\\ b~0",
        "display_name:[b TO a]",
        "unread_count:[3 TO 2]",
        "unread_count:{2 TO 3}",
        "unread_count:[99999999999999999999 TO *]",
        "unread_count:-99999999999999999999".replace(":-", ":\\-"),
        r"source:a\u0000b",
    ],
)
def test_nothing(text: str) -> None:
    assert isinstance(bound(text), Nothing)


def test_default_fields() -> None:
    uuid = "A688D36C-a85e-44af-bc02-4248c2c97622"
    match bound(uuid):
        case Boolean(parts):
            assert [(part.occur, written(part.expression)) for part in parts] == [(Occur.OPTIONAL, uuid.lower())] * 2
        case other:
            raise AssertionError(other)
    match bound("e*"):
        case Boolean(parts):
            assert [type(part.expression) for part in parts] == [ValuePrefix, Pattern]
        case other:
            raise AssertionError(other)


def test_phrase() -> None:
    match bound('metadata.a b:"X  y"~3'.replace("a b", "a\\ b")):
        case WordPhrase(field, words, slop):
            assert (field.name, words, slop) == ("metadata.a b", ("x", "y"), 3)
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("unread_count:2", 2, 2),
        ('unreadCount:"+2"', 2, 2),
        (r"unread_message_count:\-2", -2, -2),
        ("unreadMessageCount:[-2 TO 5}", -2, 4),
        ("unread_count:{2 TO *}", 3, None),
        ("unread_count:[* TO 99999999999999999999]", None, None),
        ("unread_count:[2 TO 99999999999999999999]", 2, None),
        ("unread_count:[-99999999999999999999 TO 2]", None, 2),
        ("created_at:1000", 1000, 1000),
        ("created_at:1970-01-02", DAY_MS, 2 * DAY_MS - 1),
        ('createdAt:"1970-01-01T01:00:00.005+01:00"', 5, 5),
        ("last_message_at:[1970-01-02 TO 1970-01-03]", DAY_MS, 2 * DAY_MS),
        ("last_message_at:{1970-01-02 TO 1970-01-03}", DAY_MS + 1, 2 * DAY_MS - 1),
        ('lastMessageAt:["1970-01-01T00:00:01Z" TO 1970-01-01T00:00:02Z}', 1000, 1999),
    ],
)
def test_numbers(text: str, low: int | None, high: int | None) -> None:
    match bound(text):
        case NumberRange(_, first, last):
            assert (first, last) == (low, high)
        case Exists():
            assert low is None
            assert high is None
        case other:
            raise AssertionError(other)


def test_a_value_error_names_its_field() -> None:
    with pytest.raises(FilterValueError) as caught:
        bound("unreadCount:x")
    assert caught.value.metadata == {"position": "12", "field": "unread_count"}


def test_several_numbers() -> None:
    match bound("unread_count:(1 2)"):
        case Boolean(parts):
            assert [part.occur for part in parts] == [Occur.OPTIONAL, Occur.OPTIONAL]
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("text", "error", "position"),
    [
        ("Display_Name:x", UnknownFieldError, 0),
        ("a AND nick:x", UnknownFieldError, 6),
        ("nick:(a id:b)", UnknownFieldError, 0),
        ("nick:(id:b)", UnknownFieldError, 0),
        ("a AND nick:((source:b))", UnknownFieldError, 6),
        ("a nick:(id:b)", UnknownFieldError, 2),
        ('nick:("")', UnknownFieldError, 0),
        ("*:a", UnknownFieldError, 0),
        ("unread_count:one", FilterValueError, 13),
        ("unread_count:2.5", FilterValueError, 13),
        ("unread_count:(1 OR x)", FilterValueError, 19),
        ("unread_count:1*", FilterValueError, 13),
        ("unread_count:?", FilterValueError, 13),
        ("unread_count:**", FilterValueError, 13),
        ("unread_count:1~0", FilterValueError, 13),
        ("unread_count:/1/", FilterValueError, 13),
        ('unread_count:"1 2"', FilterValueError, 13),
        ('unread_count:""', FilterValueError, 13),
        ("unread_count:[1 TO x]", FilterValueError, 19),
        ("unread_count:[x TO 1]", FilterValueError, 14),
        ("unread_count:2019-01-01", FilterValueError, 13),
        ("created_at:2019-02-30", FilterValueError, 11),
        ('display_name:"a b"~-1', FilterSyntaxError, 13),
        ("display_name:/a(b/", FilterSyntaxError, 15),
        (r'"ab\u12"', FilterSyntaxError, 3),
        (r'["\u12" TO b]', FilterSyntaxError, 2),
        (f"display_name:*{'a?' * 40}*", FilterTooLargeError, 13),
    ],
)
def test_errors(text: str, error: type[FilterError], position: int) -> None:
    with pytest.raises(error) as caught:
        bound(text)
    assert (type(caught.value), caught.value.position) == (error, position)
    assert caught.value.message.startswith(f"at position {position}: ")
