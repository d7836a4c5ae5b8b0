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
