"""The reference that the service is compared with, compared with Lucene itself."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.reference.lucene import RefusedError, fields, matches
from tests.reference.model import Model
from tests.reference.words import Fields

DATA = Path(__file__).parents[1] / "data" / "filters"


def lines(name: str) -> Iterator[Any]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
        yield from map(json.loads, file)


@pytest.fixture(scope="module")
def corpus() -> dict[str, Fields]:
    model = Model()
    assert [error for event in lines("corpus") if (error := model.ingest(event))] == []
    return {id: fields(model.facts(id)) for id in model.ids()}


def answer(filter_text: str, corpus: dict[str, Fields]) -> list[str] | None:
    """Return the ids of the matching conversations, sorted; None if the filter is refused."""
    try:
        return sorted(id for id, conversation in corpus.items() if matches(filter_text, conversation))
    except RefusedError:
        return None


def test_answers_every_vector_as_lucene_does(corpus: dict[str, Fields]) -> None:
    vectors = list(lines("vectors"))
    assert len(corpus) == 1500
    assert len(vectors) == 500
    wrong = [vector["filter"] for vector in vectors if answer(vector["filter"], corpus) != vector.get("ids")]
    assert wrong == []


def conversation(name: str, unread: int = 2) -> Fields:
    facts = {
        "id": "a688d36c-a85e-44af-bc02-4248c2c97622",
        "channel_id": "318efa04-7cc1-4200-988e-50699d0dd6e3",
        "source": "facebook",
        "metadata": {"contact": {"display_name": name}, "user_data": {"n": 12.0, "on": True}},
        "display_name": name,
        "created_at": 1_546_300_800_000,
        "last_message_at": 1_546_387_199_999,
        "unread_count": unread,
    }
    return fields(facts)


@pytest.mark.parametrize(
    ("filter_text", "name", "expected"),
    [
        ("", "Ada", True),
        (" \t", "Ada", True),
        ('""', "Ada", False),
        ("a OR b AND c", "a", False),
        ("a OR b AND c", "b c", True),
        ("a AND b OR c", "c", False),
        ("a OR NOT b", "c", False),
        ("a OR (NOT b)", "c", True),
        ("(-a -b)", "c", True),
        ("ada - bob", "-", True),
        ("a||b", "a||b", True),
        ("a!b", "a", True),
        ("a!b", "a b", False),
        ("24/7/x", "7", True),
        ("display_name:a~b", "abc", True),
        ("abcde~0.8", "abcd", False),
        ("abcde~0.5", "abc", True),
        ("abcde~0.6", "abc", False),
        ("abcdefghij~0.9", "abcdefghi", True),
        ("ab~1", "ba", True),
        ("ca~2", "abc", False),
        ('"a b"~1', "b a", False),
        ('"a b"~2', "b a", True),
        ('"a b"~1.7', "a x b", True),
        ('"a b"~x', "a x b", False),
        ('"a a"~1', "a", False),
        ('"a b c"~2', "c a b", False),
        ('"a b c"~3', "c a b", True),
        ("[2 TO 3]", "25", True),
        ('[b TO "*"]', "*", False),
        ('["*" TO "*"]', "*", True),
        ("\\u0041da*", "ada", True),
        ("?\\Da", "ada", False),
        ("ada\\ bob", "bob", True),
        ("ẞ", "ß", True),
        ("i", "İ", True),
        ("a\u00a0b", "a\u00a0b", True),
        ("a\u2003b", "b", True),
        ("metadata.user_data.n:12 AND metadata.user_data.on:true", "Ada", True),
        ("unread_count:(1 2)", "Ada", True),
        ('unread_count:"2"^2', "Ada", True),
        ("unread_count:{* TO 2}", "Ada", False),
        ("created_at:2019-01-01 AND last_message_at:2019-01-01", "Ada", True),
        ("last_message_at:[* TO 2019-01-01]", "Ada", False),
        ('created_at:["2019-01-01T01:00:00+01:00" TO *]', "Ada", True),
        ("unreadMessageCount:*", "Ada", True),
        ("/a(d|e)[^b-z].{0,1}/", "ada", True),
        ("display_name:/ab?~(d.*)/", "ad", False),
        ("/<1-20>&@7/", "17", True),
        ('/#|"a.a"/', "aba", False),
    ],
)
def test_reads_filters_by_the_rules(filter_text: str, name: str, expected: bool) -> None:
    assert matches(filter_text, conversation(name)) is expected


@pytest.mark.parametrize(
    "filter_text",
    [
        *["NOT NOT a", "+-a", "id:-a", "a\\", "\\u12", "a/b", "AND", "a AND", "(a", "a)", '"a', "[a TO b", "[a b]"],
        *["a^", "a^ 2", "~1", "a~1.5", '"a b"~-1', "*a:b", "nick:a", "nick:(id:a)", "*:a", "/(/", "/[e-]/", "/a{/"],
        *["unread_count:one", "unread_count:2~1", "unread_count:-1", "unread_count:2*", "unread_count:2019-01-01"],
        *["created_at:2019-02-30", "created_at:[2019-01-01 TO soon]", "a" * 4097],
    ],
)
def test_refuses_what_is_no_filter(filter_text: str) -> None:
    with pytest.raises(RefusedError):
        matches(filter_text, conversation("Ada"))
