"""An import with its progress on the terminal."""

import io
import itertools
import os
import stat
import sys
import zlib
from collections.abc import Callable

import click

from conversations.importer.event_log import NotALogError, RejectedLine, read_batches
from conversations.importer.sending import ImportStoppedError, ImportSummary, import_events
from conversations.signals import StoppedError, run_until_stopped

__all__ = ["run_import"]


def run_import(path: str, target: str) -> int:
    """Import a log and report on the terminal; return the exit code.

    Args:
        path: File of JSON lines, plain or gzipped; `-` is standard input.
        target: `host:port` of the server, with or without `grpc://`.

    Returns:
        0 if every line was applied, 1 if one was rejected, 130 if interrupted, 143 if terminated.

    Raises:
        click.ClickException: The file cannot be read, or the server does not take the events.
    """
    console = _Console()
    try:
        summary = console.follow(_open(path), target.removeprefix("grpc://"))
    except StoppedError as stopped:
        click.echo(f"interrupted; {console.position}", err=True)
        return stopped.exit_code
    except ImportStoppedError as error:
        raise click.ClickException(f"{error}; {console.position}") from error
    except BrokenPipeError:
        raise
    except (OSError, EOFError, zlib.error, NotALogError) as error:
        raise click.ClickException(f"cannot read {path!r}: {_why_unreadable(error)}; {console.position}") from error
    click.echo(f"imported {summary.imported} events, {summary.rejected} rejected")
    return 1 if summary.rejected else 0


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EOFError):
        return "it is truncated: the end of the gzip data is missing"
    return str(error) if isinstance(error, NotALogError) else "its gzip data is damaged"


def _open(path: str) -> io.BufferedReader:
    try:
        # sys.stdin would be locked by the reading thread when Python shuts down.
        return open(0, "rb", closefd=False) if path == "-" else open(path, "rb")
    except OSError as error:
        raise click.FileError(path, error.strerror) from error


class _Console:
    """Reports an import on the terminal."""

    def __init__(self) -> None:
        self._summary = ImportSummary()
        self._on_terminal = sys.stderr.isatty()
        self._advance: Callable[[], None] = lambda: None
        self._waiting_for = ""

    @property
    def position(self) -> str:
        """How far the import has got, in words."""
        return f"everything up to line {self._summary.last_line} is acknowledged"

    def follow(self, file: io.BufferedReader, target: str) -> ImportSummary:
        """Import a file with a progress bar, by bytes if the size is known."""
        status = os.fstat(file.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        with click.progressbar(
            itertools.repeat(None),
            length=size,
            label="importing",
            file=sys.stderr,
            hidden=not self._on_terminal,
            item_show_func=lambda _: f"{self._summary.imported} events",
        ) as bar:
            self._advance = lambda: bar.update(self._summary.bytes_read - bar.pos if size else 1)
            return run_until_stopped(import_events(read_batches(file), target, self))

    def rejected(self, line: RejectedLine) -> None:
        """Print a rejected line's number and the reason."""
        self._say(f"line {line.number}: {line.reason}")

    def acknowledged(self, summary: ImportSummary) -> None:
        """Move the progress bar."""
        self._summary = summary
        self._waiting_for = ""
        self._advance()

    def waiting(self, reason: str) -> None:
        """Print once why nothing moves."""
        if reason != self._waiting_for:
            self._say(f"waiting for the server: {reason}")
        self._waiting_for = reason

    def _say(self, text: str) -> None:
        # On a terminal the progress bar may be on the line.
        click.echo(f"\r\x1b[K{text}" if self._on_terminal else text, err=True)
