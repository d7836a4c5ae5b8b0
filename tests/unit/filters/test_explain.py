"""A filter as a person reads it."""

import re
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.lua.patterns import matching

from conversations import terms
from conversations.filters import CompiledFilter, Explanation, compile_filter, explain, explain_text, render
from conversations.filters.expressions import Exists, Pattern


def test_tree() -> None:
    text = 'source:Facebook AND NOT (unread_count:{2 TO *] OR metadata.k:"A b"~2)'
    assert explain(compile_filter(text)) == Explanation(
        "group",
        "required",
        0,
        children=(
            Explanation("word", "required", 7, "source", "keyword", "facebook"),
            Explanation(
                "group",
                "prohibited",
                25,
                children=(
                    Explanation("range", "optional", 38, "unread_count", "number", "[3 TO *]"),
                    Explanation("phrase", "optional", 61, "metadata.k", "metadata", '"a b"~2'),
                ),
            ),
        ),
    )


def test_lines() -> None:
    text = "+ada~1 -created_at:2019-01-01 tag_ids:* (id:e* *:*)"
    assert render(explain(compile_filter(text))).splitlines() == [
        "group",
        "  required group",
        "    optional nothing id (keyword) no id looks like that (by the index)",
        "    optional fuzzy display_name (text) ada~1 (by words)",
        "  prohibited range created_at (number) [2019-01-01T00:00:00.000Z TO 2019-01-01T23:59:59.999Z] (by the index)",
        "  optional exists tag_ids (text) * (by the index)",
        "  optional group",
        "    optional prefix id (keyword) e* (by the index)",
        "    optional everything (by the index)",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "everything (by the index)"),
        ('""', "nothing there is no word in the filter (by the index)"),
        ('display_name:"a b"', 'phrase display_name (text) "a b" (by the index)'),
        ("displayName:Ada", "word display_name (text) ada (by the index)"),
        (r"display_name:a\**", r"prefix display_name (text) a\** (by words)"),
        (r"display_name:a*b?\?", r"wildcard display_name (text) a*b?\? (by words)"),
        ('id:["2" TO A3}', "range id (keyword) [2 TO a3} (by the index)"),
        ('display_name:["*" TO b}', 'range display_name (text) ["*" TO b} (by words)'),
        ('display_name:{* TO "b c"]', 'range display_name (text) {* TO "b c"] (by words)'),
        ("display_name:/A.b/", "regex display_name (text) /a.b/ (by words)"),
        ("last_message_at:[* TO 9000000000000000]", "range last_message_at (number) [* TO 9000000000000000] (by the index)"),
        ("unread_count:*", "exists unread_count (number) * (by the index)"),
    ],
)
def test_line(text: str, line: str) -> None:
    assert render(explain(compile_filter(text))) == line


WORDS = ["".join(word) for length in (1, 2, 3, 4) for word in product("ab*?\\", repeat=length)]


@given(st.lists(st.sampled_from(["a", "b", "*", "?", r"\*", r"\?", r"\\"]), min_size=1, max_size=6).map("".join))
def test_what_is_explained_of_a_pattern_asks_the_same(text: str) -> None:
    asked = compile_filter(f"display_name:{text}")
    assume(isinstance(asked.expression, Pattern))
    explained = compile_filter(f"display_name:{explain(asked).value}")
    assert found_by(explained) == found_by(asked)


def found_by(compiled: CompiledFilter) -> list[str]:
    match compiled.expression:
        case Pattern(_, pattern):
            return matching(pattern.predicate, WORDS)
        case Exists():
            return WORDS
        case other:
            raise AssertionError(other)


def test_every_part_says_where_it_stands() -> None:
    values = ["a", '"a b"', "a*", "a?b", "a~", "[a TO b]", "/a/", "*", "x*"]
    text = (
        "*:* "
        + " ".join(f"id:{value} display_name:{value}" for value in values)
        + " unread_count:[1 TO 2] metadata.tags.x:* bob"
    )
    positions = [found.end() for found in re.finditer(r"[\w.]+:|\*:| (?=bob)", text)]
    assert [child.position for child in explain(compile_filter(text)).children] == positions


def test_nothing_without_a_field_has_no_type() -> None:
    reason = "there is no word in the filter"
    assert explain(compile_filter('""')) == Explanation("nothing", "required", 0, value=reason)


def test_everything_that_can_be_said() -> None:
    text = 'display_name:x* OR (a AND display_name:x*) OR "a b c"~2'
    lines = explain_text(compile_filter(text)).splitlines()
    assert lines[0] == "group"
    named = f"(@x:({terms.NAME_EXISTS}))"
    assert lines[-1] == f"query for what may match: (((@x:(na)) {named})|(@x:(na nb nc)=>{{$slop:2}})|{named})"
    assert explain_text(compile_filter("a AND display_name:b")).splitlines()[-1] == "query: ((@x:(na)) (@x:(nb)))"
