"""Keeps logs small while their programs write them."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["keep_small", "older", "rotate"]

_CHECK_SECONDS = 1.0
_PIECE_BYTES = 1024 * 1024


async def keep_small(folder: Path, max_bytes: int, tell: Callable[[str], None]) -> None:
    """Rotate each log of a folder that has grown too large, until cancelled.

    Args:
        folder: Where files ending in `.log` lie; programs append to them.
        max_bytes: Size above which a log is rotated. It may be passed by what is written in a second.
        tell: Called with what keeps a log from being kept, once as long as it does.
    """
    told = ""
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        problem = await asyncio.to_thread(_rotate_all, folder, max_bytes)
        if problem not in ("", told):
            tell(problem)
        told = problem


def _rotate_all(folder: Path, max_bytes: int) -> str:
    problem = ""
    for log in sorted(folder.glob("*.log")):
        try:
            rotate(log, max_bytes)
        except OSError as error:
            problem = f"{log} was cut, and what was in it is lost: {error.strerror}"
    return problem


def rotate(log: Path, max_bytes: int) -> None:
    """Move what a log holds to the file of its older lines, if it is too large.

    The file itself stays where it is, since its program has it open. A line is lost only if it is written between the
    last look at the file and the cut, some microseconds.

    Raises:
        OSError: What it held could not be kept, as on a full disk; it is cut all the same.
    """
    with contextlib.suppress(FileNotFoundError), log.open("r+b") as source:
        if source.seek(0, 2) <= max_bytes:
            return
        source.seek(0)
        try:
            with older(log).open("wb") as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
        finally:
            source.truncate(0)


def older(log: Path) -> Path:
    """Return the file of a log's older lines."""
    return log.with_suffix(".log.1")
