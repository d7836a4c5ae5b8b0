"""The table: what was done, what was measured, and its target."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.bystander import Effect

__all__ = ["Row", "line", "others", "summary"]

_WIDTHS = (56, 64, 32)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    what: str
    measured: str
    asked: str
    met: bool


def others(what: str, effect: Effect) -> Row:
    """Return the row of what a fault did to another caller."""
    return Row(f"{what}: others", str(effect), "the same, within twice the time", effect.is_none)


def line(row: Row) -> str:
    """Return a row as a line of a Markdown table."""
    cells = [cell.ljust(width) for cell, width in zip((row.what, row.measured, row.asked), _WIDTHS, strict=True)]
    return f"| {' | '.join(cells)} | {'met' if row.met else '**missed**'} |"


def summary(rows: list[Row]) -> Iterator[str]:
    """Yield what to say at the end."""
    missed = [row for row in rows if not row.met]
    yield f"{len(rows) - len(missed)} of {len(rows)} figures met"
    for row in missed:
        yield f"  missed: {row.what}: {row.measured}; asked: {row.asked}"
