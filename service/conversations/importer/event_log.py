"""An event log: JSON lines, gzipped or not, read in batches."""

import codecs
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass

from conversations.errors import InvalidFieldError
from conversations.event_json import MAX_EVENT_TEXT, parse_event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest

__all__ = ["Batch", "EncodedEvent", "NotALogError", "RejectedLine", "parse_line", "read_batches"]

MAX_BATCH_LINES = 1000
MAX_BATCH_BYTES = 2 * 1024 * 1024
MAX_LINE_BYTES = MAX_EVENT_TEXT


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """A line that holds an event."""

    number: int
    """Number of the line, from 1."""
    request: bytes
    """The event as an IngestEventsRequest, serialised. Several of them concatenated are one request."""


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that was not applied."""

    number: int
    """Number of the line, from 1."""
    reason: str
    """One sentence for a person."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive lines of a log, blank ones left out."""

    lines: list[EncodedEvent | RejectedLine]
    """At least one."""
    bytes_read: int
    """How much of the file has been read, in bytes as stored; 0 for a pipe."""


class NotALogError(Exception):
    """Raised when a file is not an event log; says why."""


def parse_line(number: int, line: bytes) -> EncodedEvent | RejectedLine:
    """Return the event of a line, or why it is rejected.

    Args:
        number: Number of the line, from 1.
        line: Proto3 JSON of an Event, with or without the line break.
    """
    if len(line) > MAX_LINE_BYTES:
        return RejectedLine(number, f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return EncodedEvent(number, IngestEventsRequest(events=[parse_event(line)]).SerializeToString())
    except InvalidFieldError as error:
        return RejectedLine(number, error.message)


def read_batches(file: io.BufferedReader) -> Iterator[Batch]:
    """Yield the lines of a file, gzipped or not, in batches of at most 1000 lines and about 2 MiB of events.

    Closes the file at its end, in the reading thread: no other thread can while a read waits for input.

    Raises:
        OSError, EOFError, zlib.error: The file cannot be read or unpacked.
        NotALogError: It is text in another encoding than UTF-8.
    """
    lines: list[EncodedEvent | RejectedLine] = []
    size = 0
    with file:
        for number, text in _numbered_lines(_unpacked(file)):
            if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and number == 1:
                raise NotALogError("it is UTF-16, but an event log is UTF-8")
            # Some editors write a byte order mark; concatenated logs have it before other lines too.
            text = text.removeprefix(codecs.BOM_UTF8)
            if not text.strip():
                continue
            line = parse_line(number, text)
            line_size = len(line.request) if isinstance(line, EncodedEvent) else 0
            if lines and (len(lines) == MAX_BATCH_LINES or size + line_size > MAX_BATCH_BYTES):
                yield Batch(lines, _position(file))
                lines, size = [], 0
            lines.append(line)
            size += line_size
        if lines:
            yield Batch(lines, _position(file))


def _unpacked(file: io.BufferedReader) -> io.BufferedIOBase:
    return gzip.GzipFile(fileobj=file) if file.peek(2).startswith(b"\x1f\x8b") else file


def _position(file: io.BufferedReader) -> int:
    return file.tell() if file.seekable() else 0


def _numbered_lines(log: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines, from 1; of a line over MAX_LINE_BYTES only a first part, which is still over it."""
    number = 0
    while line := log.readline(MAX_LINE_BYTES + 1):
        number += 1
        yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = log.readline(MAX_LINE_BYTES + 1)
