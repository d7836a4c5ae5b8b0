"""What an index says of itself while it is built."""

from typing import Any

import pytest
from redis import exceptions

from conversations.store import index


class Redis:
    """Says one thing of every index: what it is, or an error."""

    def __init__(self, error: str = "", names: list[Any] | None = None, **info: Any) -> None:
        self._error, self._names, self._info = error, names or [], info

    def ft(self, name: str) -> "Redis":
        return self

    async def info(self) -> dict[str, Any]:
        if self._error:
            raise exceptions.ResponseError(self._error)
        return self._info

    async def execute_command(self, *words: str) -> Any:
        assert words == ("FT._LIST",)
        return self._names


@pytest.mark.parametrize(
    ("percent", "indexing", "part"),
    [(b"0", b"1", 0.0), (b"0.5", b"1", 0.5), (b"1", b"1", 0.999), ("1", 1, 0.999), (b"1", b"0", 1.0), ("1", 0, 1.0)],
)
async def test_an_index_is_complete_once_it_says_that_it_is_done(percent: Any, indexing: Any, part: float) -> None:
    """A part is rounded: 1 may mean that some documents are still missing."""
    assert await index.progress(Redis(percent_indexed=percent, indexing=indexing), 0) == part


@pytest.mark.parametrize("error", ["conversations:{0}: no such index", "Unknown index name", "Unknown Index name"])
async def test_each_release_says_in_its_way_that_there_is_no_index(error: str) -> None:
    assert await index.progress(Redis(error), 0) == 0.0
    assert await index.document_count(Redis(error), 0) is None


async def test_another_error_is_no_missing_index() -> None:
    for call in (index.progress, index.document_count):
        with pytest.raises(exceptions.ResponseError, match="^no permission$"):
            await call(Redis("no permission"), 0)


@pytest.mark.parametrize("count", [b"7", "7", 7])
async def test_how_many_documents_an_index_has(count: Any) -> None:
    assert await index.document_count(Redis(num_docs=count), 0) == 7


async def test_partitions_are_told_by_the_names_of_their_indexes() -> None:
    own = [b"conversations:{0}:v1", "conversations:{9}:v12", b"conversations:{63}:v2"]
    others = [
        b"conversations:{0}",
        "conversations:{100}:v1",
        "my conversations:{1}:v1",
        b"conversations:{2}:v1:old",
        "x",
    ]
    assert await index.partitions(Redis(names=[*others, *own])) == [0, 9, 63]
    assert await index.partitions(Redis()) == []


def test_the_version_changes_with_the_schema_alone() -> None:
    """A new one means that every Redis has to be indexed anew; a newer redis-py or a new spelling of code does not."""
    assert index.SCHEMA_VERSION == "034f5264db4e"
