"""Rotates logs while programs write to them."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["keep_small", "older", "rotate"]

_CHECK_SECONDS = 1.0
_PIECE_BYTES = 1024 * 1024


async def keep_small(folder: Path, max_bytes: int, report: Callable[[str], None]) -> None:
    """Rotate each log of a folder that has grown too large, until cancelled.

    Args:
        folder: Contains files ending in `.log`, to which programs append.
        max_bytes: Size above which a log is rotated. It may be exceeded by what is written in a second.
        report: Called with why an older log could not be kept, once while the problem lasts.
    """
    reported = ""
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        problem = await asyncio.to_thread(_rotate_all, folder, max_bytes)
        if problem not in ("", reported):
            report(problem)
        reported = problem


def _rotate_all(folder: Path, max_bytes: int) -> str:
    problem = ""
    for log in sorted(folder.glob("*.log")):
        try:
            rotate(log, max_bytes)
        except OSError as error:
            problem = f"{log} was truncated, and its content is lost: {error.strerror}"
    return problem


def rotate(log: Path, max_bytes: int) -> None:
    """Move the content of a log to the file of its older lines, if it is too large.

    The file itself stays in place, since its program has it open. A line is lost only if it is written between the last
    read and the truncation, some microseconds.

    Raises:
        OSError: The content could not be kept, as on a full disk; the log is truncated all the same.
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
