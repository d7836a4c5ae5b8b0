"""Pages of records, some of which may be damaged."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["fill_page"]

# Time, key, and the record as field 1 of a message, or nothing where it is damaged.
_Row = TypeVar("_Row", bound=tuple[object, bytes, bytes])

# Where records of a page are damaged, others are asked for in their place: so many at once, and so often.
_REPLACEMENTS = 100
_MAX_ROUNDS = 20


async def fill_page(
    limit: int, fetch: Callable[[_Row | None, int], Awaitable[tuple[list[_Row], bool]]], judge: Callable[[_Row], _Row]
) -> tuple[list[_Row], bool]:
    """Return the rows of a page, the nearest to its cursor first, and whether there are more.

    Those that are damaged stand there without bytes; others are fetched until the page is full.

    Args:
        limit: The most rows with bytes.
        fetch: Returns at most so many rows behind one, or behind the cursor, and whether there are more.
        judge: Returns a row as it may be sent, without bytes where that is not at all.
    """
    rows: list[_Row] = []
    missing, wanted, more = limit, limit, False
    for _ in range(_MAX_ROUNDS):
        found, more = await fetch(rows[-1] if rows else None, wanted)
        for number, row in enumerate(found, 1):
            rows.append(judge(row))
            missing -= bool(rows[-1][2])
            if missing == 0:
                return rows, more or number < len(found)
        if not more or not found:
            break
        wanted = _REPLACEMENTS
    return rows, more and bool(rows)
