"""Sends batches to a server, which may be unavailable for a while."""

import asyncio
import concurrent.futures
import re
import threading
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Protocol

import grpc.aio

from conversations.importer.event_log import Batch, EncodedEvent, RejectedLine
from conversations.v1.ingest_service_pb2 import IngestEventsResponse

__all__ = ["ImportReporter", "ImportStoppedError", "ImportSummary", "import_events", "read_target"]

_METHOD = "/conversations.v1.IngestService/IngestEvents"
_CALL_SECONDS = 60.0
# A batch takes much less.
_SILENCE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

# gRPC itself waits up to two minutes between attempts to connect; the pauses here are enough.
_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

_TRANSIENT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
# A single event can make the server refuse the whole request with these.
_ABOUT_THE_EVENTS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """How far an import has got."""

    imported: int = 0
    """Events that the server applied."""
    rejected: int = 0
    """Lines that were not applied."""
    last_line: int = 0
    """Everything up to this line is acknowledged: applied or rejected."""
    bytes_read: int = 0
    """How much of the file has been read, in bytes as stored; 0 for a pipe."""


class ImportReporter(Protocol):
    """Receives the progress of an import, in the order of the lines."""

    def rejected(self, line: RejectedLine) -> None:
        """Report a line that was not applied."""

    def acknowledged(self, summary: ImportSummary) -> None:
        """Report how far the import has got; called after each batch."""

    def waiting(self, reason: str) -> None:
        """Report why the server does not answer; called before each further attempt."""


class ImportStoppedError(Exception):
    """Raised when the server is unreachable for too long, or refuses every call."""


_TARGET = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[\w.-]+):(?P<port>\d{1,5})")
# Other target schemes of gRPC.
_OTHER_TARGET = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock):.+")


def read_target(text: str) -> str:
    """Return a gRPC address: `host:port`, with or without `grpc://`, or one with another scheme of gRPC.

    Raises:
        ValueError: It isn't a gRPC address; says why.
    """
    target = text.strip().removeprefix("grpc://").removesuffix("/")
    if _OTHER_TARGET.fullmatch(target):
        return target
    if "://" in target:
        raise ValueError(
            f"{text!r} is not a gRPC address: it should look like 127.0.0.1:50051, without {target.split('://')[0]}://"
        )
    found = _TARGET.fullmatch(target)
    if found is None or not 0 < int(found["port"]) <= 65535:
        raise ValueError(
            f"{text!r} is not a gRPC address: it should look like 127.0.0.1:50051, with a port from 1 to 65535"
        )
    return target


async def import_events(
    batches: Iterator[Batch], target: str, reporter: ImportReporter, *, patience_seconds: float = 60.0
) -> ImportSummary:
    """Send every event to a server, in order.

    Args:
        batches: From `read_batches`, whose errors pass through.
        target: `host:port` of the server.
        reporter: Receives progress, rejected lines and reasons to wait.
        patience_seconds: How long to keep trying if the server does not answer. Events are idempotent, so a batch is
            sent again whether or not it was applied.

    Raises:
        ImportStoppedError: The server was unreachable for too long, or refuses every call.
    """
    summary = ImportSummary()
    async with grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS) as channel:
        sender = _Sender(channel, target, reporter, patience_seconds)
        batch = await _next_batch(batches)
        while batch is not None:
            following = _next_batch(batches)
            rejected = await _settle(batch, sender)
            for line in rejected:
                reporter.rejected(line)
            summary = _advanced(summary, batch, len(rejected))
            reporter.acknowledged(summary)
            batch = await following
    return summary


def _next_batch(batches: Iterator[Batch]) -> asyncio.Future[Batch | None]:
    """Start parsing the next batch; None is the end.

    The thread is a daemon: while it waits for standard input, it must not keep an interrupted program alive.
    """
    outcome: concurrent.futures.Future[Batch | None] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()

    def parse() -> None:
        try:
            outcome.set_result(next(batches, None))
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=parse, daemon=True).start()
    return asyncio.wrap_future(outcome)


async def _settle(batch: Batch, sender: "_Sender") -> list[RejectedLine]:
    """Send a batch until every event is applied or rejected; return the rejected lines in order."""
    events = [line for line in batch.lines if isinstance(line, EncodedEvent)]
    rejected = [line for line in batch.lines if isinstance(line, RejectedLine)]
    if events:
        rejected += await sender.send(events)
    return sorted(rejected, key=lambda line: line.number)


def _advanced(summary: ImportSummary, batch: Batch, rejected: int) -> ImportSummary:
    return ImportSummary(
        imported=summary.imported + len(batch.lines) - rejected,
        rejected=summary.rejected + rejected,
        last_line=batch.lines[-1].number,
        bytes_read=batch.bytes_read,
    )


# Texts of the gRPC library: why it has no connection, or what it found at the other end.
_NO_CONNECTION = re.compile(r"last error: .*?(?:remote host: |recvmsg:|error: )(?P<why>[^:]+?)(?: \(\d+\))?$")
_NO_NAME = re.compile(r"errors? resolving|DNS resolution|lookup failed", re.IGNORECASE)
_NO_GRPC = "Failed parsing HTTP/2"


def _describe(error: grpc.aio.AioRpcError, target: str) -> str:
    """Return why a call failed; in our own words if it never reached a server."""
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        if _NO_NAME.search(details):
            return f"unknown host: {target}"
        if _NO_GRPC in details:
            return f"what answers at {target} is not a gRPC server"
        if found := _NO_CONNECTION.search(details):
            return f"no connection to {target}: {found['why']}"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and details == "Deadline Exceeded":
        return f"no answer from {target}"
    return f"{error.code().name}: {details}"


def _is_wrong_target(error: grpc.aio.AioRpcError) -> bool:
    """Whether the failure of a first call is due to the target, so that waiting does not help."""
    details = error.details() or ""
    return error.code() is grpc.StatusCode.UNAVAILABLE and bool(_NO_NAME.search(details) or _NO_GRPC in details)


class _Sender:
    """Sends events until the server has answered for each."""

    def __init__(
        self, channel: grpc.aio.Channel, target: str, reporter: ImportReporter, patience_seconds: float
    ) -> None:
        self._ingest: grpc.aio.UnaryUnaryMultiCallable[bytes, IngestEventsResponse] = channel.unary_unary(
            _METHOD, response_deserializer=IngestEventsResponse.FromString
        )
        self._target = target
        self._answered = False
        self._reporter = reporter
        self._patience_seconds = patience_seconds

    async def send(self, events: list[EncodedEvent]) -> list[RejectedLine]:
        """Return the lines that the server rejected. A request refused as a whole is sent again in halves."""
        try:
            response = await self._call(b"".join(event.request for event in events))
        except grpc.aio.AioRpcError as error:
            reason = _describe(error, self._target)
            if error.code() not in _ABOUT_THE_EVENTS:
                raise ImportStoppedError(reason) from error
            if len(events) == 1:
                return [RejectedLine(events[0].number, reason)]
            middle = len(events) // 2
            return await self.send(events[:middle]) + await self.send(events[middle:])
        return [RejectedLine(events[item.index].number, f"{item.code}: {item.message}") for item in response.rejected]

    async def _call(self, request: bytes) -> IngestEventsResponse:
        give_up_at = time.monotonic() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                response = await self._report_silence(self._ingest(request, timeout=_CALL_SECONDS))
                self._answered = True
                return response
            except grpc.aio.AioRpcError as error:
                if error.code() not in _TRANSIENT or time.monotonic() + pause > give_up_at:
                    raise
                if not self._answered and _is_wrong_target(error):
                    raise
                self._reporter.waiting(_describe(error, self._target))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _report_silence(self, call: Awaitable[IngestEventsResponse]) -> IngestEventsResponse:
        timer = asyncio.get_running_loop().call_later(
            _SILENCE_SECONDS, self._reporter.waiting, f"no answer from {self._target}"
        )
        try:
            return await call
        finally:
            timer.cancel()
