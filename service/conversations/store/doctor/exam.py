"""What all parts of an examination share: calls that check or repair, and the findings."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import Any, TypeVar

from conversations.store.client import Client
from conversations.store.damage import is_id, read_count
from conversations.store.doctor.findings import Findings
from conversations.store.doctor.records import Change
from conversations.store.functions import Call
from conversations.store.partitions import Partitions

__all__ = ["Exam", "Key", "in_pieces"]

# A SCAN of this many keys takes Redis about half a millisecond.
_KEYS_AT_ONCE = 1000
_T = TypeVar("_T")

Key = tuple[int, str]
"""Partition and id of a record."""


class Exam:
    """One examination of a Redis."""

    def __init__(
        self,
        client: Client,
        partitions: Partitions,
        findings: Findings,
        advance: Callable[[int], None],
        *,
        repairs: bool,
        half_speed: bool = False,
    ) -> None:
        self.client = client
        self.partitions = partitions
        self.findings = findings
        self.advance = advance
        """Called with the number of keys examined since the last call."""
        self.repairs = repairs
        self._half_speed = half_speed
        self._paused_at = monotonic()
        self.has_index = True
        """Whether every partition has an index."""

    async def call(self, calls: Sequence[tuple[int, str, tuple[str | bytes | int, ...]]]) -> list[Any]:
        """Return the replies of read-only functions."""
        return await self._call_all([Call(*call) for call in calls])

    async def check(self, calls: Sequence[tuple[int, str, tuple[str | bytes | int, ...]]]) -> list[Any]:
        """Return the replies of functions that check, or also repair; they are named without `check_` or `repair_`."""
        prefix = "repair_" if self.repairs else "check_"
        return await self._call_all([Call(p, prefix + name, args) for p, name, args in calls])

    async def _call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Return replies; at half speed, first pause for as long as the work since the last pause took."""
        if self._half_speed:
            await asyncio.sleep(monotonic() - self._paused_at)
            self._paused_at = monotonic()
        return await self.client.call_all(calls)

    async def repair_fields(self, kind: str, partition: int, id: str, changes: Iterable[Change]) -> None:
        """Replace fields if this examination repairs; what changed meanwhile stays."""
        args = [part for change in changes for part in (change.field, change.old, change.new)]
        if self.repairs and args:
            await self.client.call(Call(partition, "repair_fields", (kind, id, *args)))

    async def set_aside(self, partition: int, key: str | bytes) -> None:
        """Set a key aside if this examination repairs."""
        if self.repairs:
            await self.client.call(Call(partition, "repair_key", (key,)))

    async def scan(self, kind: str) -> AsyncIterator[list[bytes]]:
        """Yield the keys of a kind, some at a time. A key may come twice."""
        found: list[bytes] = []
        async for stored in self.client.redis.scan_iter(match=f"{kind}:*", count=_KEYS_AT_ONCE):
            found.append(stored)
            if len(found) == _KEYS_AT_ONCE:
                self.advance(len(found))
                yield found
                found = []
        self.advance(len(found))
        yield found

    async def keys(self, kind: str) -> AsyncIterator[list[Key]]:
        """Yield the records of a kind, some at a time; report keys with an invalid name. A record may come twice."""
        async for stored in self.scan(kind):
            found = []
            for key in stored:
                record = self._record(kind, key)
                if record is None:
                    await self.report_name(key)
                else:
                    found.append(record)
            yield found

    def _record(self, kind: str, stored: bytes) -> Key | None:
        tag, closed, id = stored.decode(errors="backslashreplace").removeprefix(f"{kind}:{{").partition("}:")
        partition = read_count(tag.encode())
        if not closed or partition is None or partition >= len(self.partitions) or not is_id(id):
            return None
        own = kind in ("channel", "message") or self.partitions.of(id) == partition
        return (partition, id) if own else None

    async def report_name(self, stored: bytes) -> None:
        """Report a key that has an invalid name or is in the wrong partition, unless it is no partition's."""
        tag, closed, _ = stored.partition(b"{")[2].partition(b"}:")
        partition = read_count(tag)
        if closed and partition is not None:
            self.findings.add("key name", partition, stored.decode(errors="backslashreplace"))
            # Set aside within its hash tag, even if there is no such partition.
            await self.set_aside(partition, stored)


def in_pieces(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Yield the items, some at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
