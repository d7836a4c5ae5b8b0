"""What an index says of itself while it is built."""

from typing import Any

import pytest

from conversations.store import index


class Redis:
    """Says one thing of every index."""

    def __init__(self, **info: Any) -> None:
        self._info = info

    def ft(self, name: str) -> "Redis":
        return self

    async def info(self) -> dict[str, Any]:
        return self._info


@pytest.mark.parametrize(
    ("percent", "indexing", "part"),
    [(b"0", b"1", 0.0), (b"0.5", b"1", 0.5), (b"1", b"1", 0.999), ("1", 1, 0.999), (b"1", b"0", 1.0), ("1", 0, 1.0)],
)
async def test_an_index_is_complete_once_it_says_that_it_is_done(percent: Any, indexing: Any, part: float) -> None:
    """A part is rounded: 1 may mean that some documents are still missing."""
    assert await index.progress(Redis(percent_indexed=percent, indexing=indexing), 0) == part
