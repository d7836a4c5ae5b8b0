"""Filters as predicates over one document."""

import json
from typing import Any

import pytest

from conversations import terms
from conversations.filters import MAX_CLAUSES, compile_filter

INFINITY = 1e300


def predicate(text: str, words: tuple[str, ...] = ("w1", "w2")) -> str:
    compiled = compile_filter(text)
    return compiled.query(dict.fromkeys(compiled.patterns, words), 10**6).predicate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*:*", ["and"]),
        ("NOT *:*", ["or"]),
        ("display_name:A", ["words", "na"]),
        ("display_name:(a OR b)", ["words", "na", "nb"]),
        ("metadata.k:x", ["words", terms.metadata_term("k", "x")]),
        ("source:x-Y", ["values", "src", "x-y"]),
        ("tag_ids:(a OR b)", ["values", "tg", "a", "b"]),
        ("source:x*", ["values", "src", "w1", "w2"]),
        ("display_name:x*", ["words", "nw1", "nw2"]),
        ("state:*", ["words", terms.metadata_exists("state")]),
        ("tag_ids:*", ["words", terms.TAGS_EXIST]),
        ("unread_count:3", ["numbers", "un", 3, 3]),
        ("unread_count:(1 3)", ["numbers", "un", 1, 1, 3, 3]),
        ("created_at:[2 TO *]", ["numbers", "ca", 2, INFINITY]),
        ("NOT unread_count:2", ["numbers", "un", -INFINITY, 1, 3, INFINITY]),
        ("id:a688d36c-a85e-44*", ["start", "a688d36c-a85e-44"]),
        ('"a b"~3', ["phrase", 3, "na", "nb"]),
        ('"a b a"', ["phrase", 0, "na", "nb", "na"]),
        ("state:open AND source:a", ["and", ["values", "st", "open"], ["values", "src", "a"]]),
        ("state:open OR source:a", ["or", ["values", "st", "open"], ["values", "src", "a"]]),
        ("NOT state:open", ["not", ["values", "st", "open"]]),
        ("state:open AND NOT source:a", ["and", ["values", "st", "open"], ["not", ["values", "src", "a"]]]),
    ],
)
def test_predicate(text: str, expected: list[Any]) -> None:
    assert json.loads(predicate(text)) == expected


WORDS = " ".join(f"é{i}" for i in range(MAX_CLAUSES))
NUMBERS = " ".join(str(2 * i) for i in range(MAX_CLAUSES))


@pytest.mark.parametrize(
    "text", [f"metadata.k:({WORDS})", WORDS.replace(" ", " AND "), f"NOT unread_count:({NUMBERS})"]
)
def test_there_is_one_for_as_many_words_as_a_filter_has_clauses(text: str) -> None:
    assert predicate(text)


def test_there_is_none_that_would_be_too_long() -> None:
    short = len(predicate("source:x*", ("w",)))
    room = 16384 - short
    assert len(predicate("source:x*", ("w" * (room + 1),))) == 16384
    assert predicate("source:x*", ("w" * (room + 2),)) == ""
