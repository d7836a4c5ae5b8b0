"""Pages of records, some of which may be damaged."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["fill_page"]

# Time, key, and the record as field 1 of a message; empty if damaged.
_Row = TypeVar("_Row", bound=tuple[object, bytes, bytes])

# Damaged records are replaced by others: how many are fetched at once, and how often.
_REPLACEMENTS = 100
_MAX_ROUNDS = 20


async def fill_page(
    limit: int, fetch: Callable[[_Row | None, int], Awaitable[tuple[list[_Row], bool]]], check: Callable[[_Row], _Row]
) -> tuple[list[_Row], bool]:
    """Return the rows of a page, the nearest to its cursor first, and whether there are more.

    Damaged rows are included without bytes; others are fetched until the page is full.

    Args:
        limit: Maximum rows with bytes.
        fetch: Returns at most the given number of rows after a row, or after the cursor, and whether there are more.
        check: Returns a row as it may be sent, without bytes if it is damaged.
    """
    rows: list[_Row] = []
    missing, wanted, more = limit, limit, False
    for _ in range(_MAX_ROUNDS):
        found, more = await fetch(rows[-1] if rows else None, wanted)
        for number, row in enumerate(found, 1):
            rows.append(check(row))
            missing -= bool(rows[-1][2])
            if missing == 0:
                return rows, more or number < len(found)
        if not more or not found:
            break
        wanted = _REPLACEMENTS
    return rows, more and bool(rows)
