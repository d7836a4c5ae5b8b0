"""Filters as predicates over one document."""

from typing import Any

import msgpack
import pytest

from conversations import terms
from conversations.filters import MAX_CLAUSES, compile_filter

INFINITY = 1e300


def predicate(text: str) -> Any:
    return msgpack.unpackb(compile_filter(text).predicate)


def words(field: str, *found: str) -> list[str]:
    """Return the predicate for the words of a metadata field."""
    return ["words", f"metadata.{field}", *prefixed(field, *found)]


def prefixed(field: str, *found: str) -> list[str]:
    prefix = terms.metadata_prefix(field)
    return [prefix, *(terms.metadata_term(field, word) for word in found)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*:*", ["and"]),
        ("NOT *:*", ["or"]),
        ("display_name:A", ["words", "display_name", "n", "na"]),
        (
            "display_name:(a OR b)",
            ["or", ["words", "display_name", "n", "na"], ["words", "display_name", "n", "nb"]],
        ),
        ("metadata.k:x", words("k", "x")),
        # Not stored as metadata.
        ("metadata.state:open", ["words", "", *prefixed("state", "open")]),
        ("source:x-Y", ["values", "src", "x-y"]),
        ("tag_ids:(a OR b)", ["or", ["values", "tg", "a"], ["values", "tg", "b"]]),
        ("source:x*", ["matching_value", "src", ["prefix", "x"]]),
        ("tag_ids:*1", ["matching_value", "tg", ["glob", "", "1"]]),
        ("display_name:x*", ["matching_word", "display_name", "n", ["prefix", "x"]]),
        ("display_name:[a TO b}", ["matching_word", "display_name", "n", ["range", "a", "b", True, False]]),
        ("metadata.k:xyz~1", ["matching_word", "metadata.k", *prefixed("k"), ["fuzzy", "xyz", 1]]),
        ("metadata.state:x*", ["matching_word", "", *prefixed("state"), ["prefix", "x"]]),
        ("state:*", ["exists", "state", terms.metadata_exists("state")]),
        ("tag_ids:*", ["exists", "tag_ids", terms.TAGS_EXIST]),
        ("display_name:*", ["exists", "display_name", terms.NAME_EXISTS]),
        ("metadata.k:*", ["exists", "metadata.k", terms.metadata_exists("k")]),
        ("unread_count:3", ["numbers", "un", 3, 3]),
        ("unread_count:(1 3)", ["numbers", "un", 1, 1, 3, 3]),
        ("created_at:[2 TO *]", ["numbers", "ca", 2, INFINITY]),
        ("NOT unread_count:2", ["numbers", "un", -INFINITY, 1, 3, INFINITY]),
        ("id:a688d36c-a85e-44*", ["matching_value", "id", ["prefix", "a688d36c-a85e-44"]]),
        ('"a b"~3', ["phrase", "display_name", "n", 3, "na", "nb"]),
        ('"a b a"', ["phrase", "display_name", "n", 0, "na", "nb", "na"]),
        ("state:open AND source:a", ["and", ["values", "st", "open"], ["values", "src", "a"]]),
        ("state:open OR source:a", ["or", ["values", "st", "open"], ["values", "src", "a"]]),
        ("NOT state:open", ["not", ["values", "st", "open"]]),
        ("state:open AND NOT source:a", ["and", ["values", "st", "open"], ["not", ["values", "src", "a"]]]),
    ],
)
def test_predicate(text: str, expected: list[Any]) -> None:
    assert predicate(text) == expected


WORDS = " ".join(f"é{i}" for i in range(MAX_CLAUSES))
NUMBERS = " ".join(str(2 * i) for i in range(MAX_CLAUSES))


@pytest.mark.parametrize(
    "text", [f"metadata.k:({WORDS})", WORDS.replace(" ", " AND "), f"NOT unread_count:({NUMBERS})"]
)
def test_there_is_one_for_as_many_words_as_a_filter_has_clauses(text: str) -> None:
    assert predicate(text)
