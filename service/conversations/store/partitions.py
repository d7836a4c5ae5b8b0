"""Assigns records to partitions. Each partition is its own store; a list asks all of them."""

from collections.abc import Iterator
from zlib import crc32

__all__ = ["Partitions"]


class Partitions:
    """The partitions of a store, by number."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._count))

    def of(self, id: str) -> int:
        """Return the partition of a conversation, or the home of a channel or tag."""
        return crc32(id.encode()) % self._count
