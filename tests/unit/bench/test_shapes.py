"""Filters, and what says the same to PostgreSQL."""

import re
from collections.abc import Callable

import pytest
from bench.corpus import Row, rows
from bench.peers.statements import ListRequest, list_statement
from bench.shapes import BROAD, FILTERED, PLAIN, WITH_WRITES, WORST, Shape
from tests.reference import lucene
from tests.reference.words import Fields, fields

from conversations.filters import compile_filter
from conversations.terms import lower, split_words


def _name(shape: Shape) -> str:
    return shape.name


@pytest.mark.parametrize("shape", [*FILTERED, *BROAD, *PLAIN, *WORST], ids=_name)
def test_every_filter_is_one(shape: Shape) -> None:
    # All ids have a first letter.
    assert compile_filter(shape.filters).matches_all == shape.filters.startswith("id:0*")


def test_names_are_of_one_shape_each() -> None:
    for shapes in (FILTERED, (*BROAD, *PLAIN, *WORST)):
        names = [shape.name for shape in shapes]
        assert len(set(names)) == len(names)
    assert set(WITH_WRITES) <= {shape.name for shape in FILTERED}


@pytest.fixture(scope="module")
def corpus() -> list[Row]:
    return list(rows(2000))


@pytest.mark.parametrize("shape", [*FILTERED, *BROAD, *PLAIN], ids=_name)
def test_the_clauses_of_the_peer_mean_the_filter(shape: Shape, corpus: list[Row]) -> None:
    request = ListRequest.model_validate(shape.clauses)
    expected = [row for row in corpus if lucene.matches(shape.filters, _fields(row))]
    assert [row for row in corpus if _holds(request, row)] == expected
    assert expected or shape.selective
    assert len(expected) < len(corpus)


def _fields(row: Row) -> Fields:
    metadata = {"tags": dict.fromkeys(row.tags, ""), "user_data": row.user_data}
    times = {"created_at": row.sent_at_ms, "last_message_at": row.sent_at_ms}
    facts = {"id": row.id, "channel_id": row.channel_id, "source": row.source, "display_name": row.name}
    state = {"state": row.state} if row.state else {}
    return fields({**facts, **times, "metadata": metadata | state, "unread_count": int(row.unread)})


def _holds(request: ListRequest, row: Row) -> bool:
    """Tell what the clauses mean in SQL: statements compare text by code points."""
    words = f" {lower(row.name)} "
    seen, total = lower(str(row.user_data["last_seen"])), str(row.user_data["order_total"])
    return all(
        (
            request.state in (None, row.state),
            request.source in (None, row.source),
            request.not_source != row.source,
            request.channel_id is None or str(request.channel_id) == row.channel_id,
            request.tag_id is None or str(request.tag_id) in row.tags,
            not request.unread or row.unread,
            not request.words_like or any(_like(pattern)(words) for pattern in request.words_like),
            request.words_unlike is None or not _like(request.words_unlike)(words),
            request.order_total is None or request.order_total[0] <= total <= request.order_total[1],
            request.last_seen is None or request.last_seen[0] <= seen <= request.last_seen[1],
            request.created_from is None or request.created_from <= row.sent_at_ms,
            request.created_to is None or row.sent_at_ms <= request.created_to,
        )
    )


def _like(pattern: str) -> Callable[[str], object]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(character, re.escape(character)) for character in pattern)).fullmatch


def _where(**clauses: object) -> tuple[str, list[object]]:
    """Return the conditions of both the count and the page, which have to be the same, and the values."""
    statement, values = list_statement(ListRequest.model_validate(clauses))
    [count] = re.findall(r"\(SELECT count\(\*\) FROM conversations WHERE (.*)\) AS filtered_total,", statement)
    [page] = re.findall(r"SELECT id FROM conversations WHERE (.*)\n", statement)
    assert count == page
    return page, values


@pytest.mark.parametrize(
    ("clauses", "condition", "values"),
    [
        ({"words_like": ["%a%"]}, "(words LIKE $1)", ["%a%"]),
        (
            {"words_like": ["% a%", "% b%"], "source": "whatsapp", "unread": True},
            "source = $1 AND (words LIKE $2 OR words LIKE $3) AND unread_count > 0",
            ["whatsapp", "% a%", "% b%"],
        ),
        ({"words_unlike": "%a%"}, "words NOT LIKE $1", ["%a%"]),
        ({"not_source": "facebook"}, "source <> $1", ["facebook"]),
        ({"order_total": ("100", "200")}, "order_total >= $1 AND order_total <= $2", ["100", "200"]),
        ({"last_seen": ("2020", "2021")}, "last_seen >= $1 AND last_seen <= $2", ["2020", "2021"]),
        ({"created_from": 1, "unread": True}, "created_at_ms >= $1 AND unread_count > 0", [1]),
    ],
)
def test_the_statement_of_a_filter(clauses: dict[str, object], condition: str, values: list[object]) -> None:
    assert _where(**clauses) == (condition, values)


def test_words_stay_values_whatever_they_hold() -> None:
    hostile = "%'; DROP TABLE conversations; --%"
    condition, values = _where(words_like=[hostile])
    assert (condition, values) == ("(words LIKE $1)", [hostile])


def test_the_statement_of_all() -> None:
    statement, values = list_statement(ListRequest())
    assert "WHERE" not in statement
    assert "total AS filtered_total" in statement
    assert values == []


def test_words_of_the_corpus_are_what_the_service_splits(corpus: list[Row]) -> None:
    assert all(f" {' '.join(split_words(row.name))} " == f" {lower(row.name)} " for row in corpus)
