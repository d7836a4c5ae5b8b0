"""The library of Redis Functions with small limits: little data makes it do what it does with much.

`python -m tests.pieces <cut> <arguments>` is `conversations <arguments>` with such a library.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum

from conversations.store import library

__all__ = ["Cut", "cut_into_pieces"]

# Replaced in the library's text, with the number of places.
_SCANS = {
    "local MAX_LOOKED_AT = 1000": "local MAX_LOOKED_AT = 10",
    "local MANY = 2000": "local MANY = 9",
}

_PIECES = {
    **_SCANS,
    "local LENGTH = 0.008": "local LENGTH = 0",
    "local FIRST_WINDOW, MIN_WINDOW = 4000, 500": "local FIRST_WINDOW, MIN_WINDOW = 8, 2",
    "local LONG_WALK = 3": "local LONG_WALK = 1",
    "local READ_AT_ONCE = 64": "local READ_AT_ONCE = 6",
    "local READ_AT_ONCE = 50": "local READ_AT_ONCE = 2",
    # Where there is nothing yet there is no log, without which nothing would be known for the next turn.
    "return turn.is_over() or scan.count(s)": "return s.all and turn.is_over() or scan.count(s)",
    "local SPARE = 12": "local SPARE = 3",
    "known.MAX_TOP = 120": "known.MAX_TOP = 14",
    "local BLOCK_ROWS = 256": "local BLOCK_ROWS = 8",
    "local MAX_LINE = 256": "local MAX_LINE = 40",
    "local LONG_AT_ONCE = 100000": "local LONG_AT_ONCE = 100",
}

_FIND = "local function find(s, query, ...)\n"


def _failing(percent: int) -> dict[str, str]:
    """Let so many searches of an index with conversations end as if they had run out of time."""
    chance = f"  chance = (chance * 75 + 74) % 65537\n  if s.all and chance % 100 < {percent} then return nil end\n"
    return {_FIND: f"local chance = 1\n{_FIND}{chance}"}


class Cut(Enum):
    """How small the limits are."""

    WHOLE = "whole"
    """As they are."""
    SCANS = "scans"
    """The columns are scanned for a few conversations, too."""
    PIECES = "pieces"
    """A turn ends at once, blocks and pages are small, and every other search of the index runs out of time.

    Pages have at most 10 conversations.
    """
    NO_INDEX = "no index"
    """The same, and every search of the index runs out of time."""

    @property
    def replaced(self) -> Mapping[str, str]:
        """What is replaced in the library's text, and by what."""
        match self:
            case Cut.WHOLE:
                return {}
            case Cut.SCANS:
                return _SCANS
            case Cut.PIECES:
                return {**_PIECES, **_failing(50)}
            case Cut.NO_INDEX:
                return {**_PIECES, **_failing(100)}


@contextmanager
def cut_into_pieces(cut: Cut, mutations: Mapping[str, str] | None = None) -> Iterator[None]:
    """Have every store in this process use a library with small limits.

    Args:
        cut: Which limits.
        mutations: What else is replaced.
    """
    whole = library._body
    code = whole()
    for old, new in {**cut.replaced, **(mutations or {})}.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    library._body = lambda: code  # type: ignore[assignment]
    _forget_names()
    try:
        yield
    finally:
        library._body = whole
        _forget_names()


def _forget_names() -> None:
    for cached in (library.library_name, library.function_name, library.library_code, library._version):
        cached.cache_clear()


if __name__ == "__main__":
    from conversations.__main__ import main

    _cut = Cut(sys.argv.pop(1))
    with cut_into_pieces(_cut):
        main()
