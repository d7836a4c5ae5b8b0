"""The importer: lines to batches, batches to a server in this process, and what a terminal is told."""

import asyncio
import gzip
import io
import json
import os
import pty
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio
import pytest

from conversations.importer import event_log, read_target, sending
from conversations.importer.event_log import (
    MAX_LINE_BYTES,
    Batch,
    EncodedEvent,
    NotALogError,
    RejectedLine,
    parse_line,
    read_batches,
)
from conversations.importer.sending import ImportStoppedError, ImportSummary, import_events
from conversations.v1.event_pb2 import Event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse, RejectedEvent
from conversations.v1.ingest_service_pb2_grpc import IngestServiceServicer, add_IngestServiceServicer_to_server


def tag_line(name: str) -> bytes:
    return json.dumps({"tag": {"id": "x", "name": name, "color": "tag-red"}}).encode() + b"\n"


def batches_of(*lines: bytes) -> list[Batch]:
    return list(read_batches(as_file(b"".join(lines))))


def as_file(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))


def numbers(batch: Batch) -> list[int]:
    return [line.number for line in batch.lines]


class TestParseLine:
    def test_an_event_becomes_a_request_of_its_own(self) -> None:
        line = parse_line(7, tag_line("Urgent"))
        assert isinstance(line, EncodedEvent)
        assert line.number == 7
        assert [event.tag.name for event in IngestEventsRequest.FromString(line.request).events] == ["Urgent"]

    def test_joined_requests_are_a_request_of_all_events(self) -> None:
        lines = [parse_line(number, tag_line(str(number))) for number in range(3)]
        request = b"".join(line.request for line in lines if isinstance(line, EncodedEvent))
        assert [event.tag.name for event in IngestEventsRequest.FromString(request).events] == ["0", "1", "2"]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            pytest.param(b'{"tag": {"id": "a"}', "a comma or the end is missing at column 20", id="cut off"),
            pytest.param(b'{"tag": {}} {}', "there is text after its end at column 13", id="two documents"),
            pytest.param(b"5", "event: has to be an object", id="no object"),
            pytest.param(b'{"tga": {}}', "tga: is unknown; did you mean tag?", id="unknown event"),
            pytest.param(b'{"tag": {"nmae": "x"}}', "tag.nmae: is unknown; did you mean name?", id="unknown field"),
            pytest.param(b'{"tag": {"id": 5}}', "tag.id: has to be text", id="wrong type"),
            pytest.param(b'{"tag": {"id": "a", "id": "b"}}', "tag.id: occurs twice", id="duplicate key"),
            pytest.param(b'{"tag": {}, "channel": {}}', "event: has both tag and channel", id="two events in one"),
            pytest.param(
                b'{"message": {"delivery_state": "LOST"}}', "has to be PENDING, FAILED or DELIVERED", id="unknown enum"
            ),
            pytest.param(b'{"tag": {"id": "\\ud800"}}', "surrogate", id="lone surrogate"),
            pytest.param(b'{"tag": {"id": "\xff"}}', "tag.id: is not UTF-8", id="not UTF-8"),
            pytest.param(b"[" * 100_000, "nested too deep", id="deep beyond JSON"),
            pytest.param(
                b'{"message": {"content": ' + b'{"a":' * 33 + b"1" + b"}" * 35,
                "nested too deep",
                id="deep for protobuf",
            ),
            pytest.param(b'{"message": {"content": {"a": ' + b"9" * 400 + b"}}}", "not finite", id="huge number"),
        ],
    )
    def test_a_bad_line_is_rejected_with_its_reason(self, line: bytes, reason: str) -> None:
        rejected = parse_line(3, line)
        assert isinstance(rejected, RejectedLine)
        assert rejected.number == 3
        assert reason in rejected.reason
        assert "\n" not in rejected.reason
        assert "line 1" not in rejected.reason

    def test_whatever_is_accepted_can_be_read_as_part_of_a_request(self) -> None:
        for levels in range(1, 120):
            line = parse_line(1, b'{"message": {"content": ' + b'{"a":' * levels + b"1" + b"}" * (levels + 2))
            if isinstance(line, EncodedEvent):
                assert len(IngestEventsRequest.FromString(line.request).events) == 1
            else:
                assert levels > 20


class TestReadTarget:
    @pytest.mark.parametrize(
        ("text", "target"),
        [
            ("127.0.0.1:50051", "127.0.0.1:50051"),
            ("grpc://127.0.0.1:50051", "127.0.0.1:50051"),
            (" grpc://inbox.example.org:443/ ", "inbox.example.org:443"),
            ("[::1]:50051", "[::1]:50051"),
            ("my_host:1", "my_host:1"),
            ("unix:/run/inbox.sock", "unix:/run/inbox.sock"),
            ("unix:///run/inbox.sock", "unix:///run/inbox.sock"),
            ("dns:///inbox:50051", "dns:///inbox:50051"),
        ],
    )
    def test_an_address_is_taken(self, text: str, target: str) -> None:
        assert read_target(text) == target

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "127.0.0.1",
            "localhost:",
            ":50051",
            "host:port",
            "host:0",
            "host:65536",
            "::1:50051",
            "a b:1",
            "grpc://",
            "http://127.0.0.1:8080",
            "https://host",
            "redis://host:1",
            "grpc://http://host:1",
            "host:1/path",
            "u@host:1",
        ],
    )
    def test_what_is_no_address_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a gRPC address: it should look like 127.0.0.1:50051"):
            read_target(text)


class TestReadBatches:
    def test_blank_lines_are_skipped_and_counted(self) -> None:
        (batch,) = batches_of(b"\n", tag_line("a"), b"  \r\n", b"\n", tag_line("b").rstrip())
        assert numbers(batch) == [2, 5]

    @pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
    def test_a_byte_order_mark_is_no_part_of_a_line(self, ends: bytes) -> None:
        log = b"\xef\xbb\xbf" + ends.join([b"", tag_line("a").strip(), b"\xef\xbb\xbf" + tag_line("b").strip()])
        for content in (log, gzip.compress(log)):
            (batch,) = batches_of(content)
            assert numbers(batch) == [2, 3]
            assert all(isinstance(line, EncodedEvent) for line in batch.lines)
        (batch,) = batches_of(b"\xef\xbb\xbf" + tag_line("a"))
        assert batch.lines == batches_of(tag_line("a"))[0].lines
        assert batches_of(b"\xef\xbb\xbf") == []

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
    def test_another_encoding_is_said_at_once(self, encoding: str) -> None:
        with pytest.raises(NotALogError, match="it is UTF-16, but an event log is UTF-8"):
            batches_of(("\ufeff" * (encoding == "utf-16-be") + tag_line("a").decode()).encode(encoding))

    def test_an_empty_log_has_no_batch(self) -> None:
        assert batches_of(b"\n\n") == []

    def test_a_batch_has_at_most_a_thousand_lines_bad_ones_included(self) -> None:
        batches = batches_of(*[tag_line("a"), b"{\n"] * 1001)
        assert [len(batch.lines) for batch in batches] == [1000, 1000, 2]
        assert [line for batch in batches for line in numbers(batch)] == list(range(1, 2003))

    def test_a_batch_has_at_most_two_mebibytes_of_events(self) -> None:
        batches = batches_of(*[tag_line("a" * 900_000)] * 5)
        assert [numbers(batch) for batch in batches] == [[1, 2], [3, 4], [5]]

    def test_an_event_larger_than_a_batch_travels_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_log, "MAX_BATCH_BYTES", 1000)
        batches = batches_of(tag_line("a"), tag_line("b" * 1001), tag_line("c"))
        assert [numbers(batch) for batch in batches] == [[1], [2], [3]]

    @pytest.mark.parametrize("length", [MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES + 5])
    def test_a_line_beyond_the_limit_is_rejected_and_the_next_one_read(self, length: int) -> None:
        (batch,) = batches_of(b"x" * length + b"\n", tag_line("a"))
        assert batch.lines[0] == RejectedLine(1, f"longer than {MAX_LINE_BYTES} bytes")
        assert isinstance(batch.lines[1], EncodedEvent)
        assert batch.lines[1].number == 2

    def test_a_gzipped_log_is_unpacked(self) -> None:
        (batch,) = batches_of(gzip.compress(tag_line("a") + tag_line("b")))
        assert numbers(batch) == [1, 2]

    def test_a_log_without_end_is_read_piece_by_piece(self) -> None:
        class Endless(io.RawIOBase):
            taken = 0

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                text = (tag_line("endless") * (len(buffer) // 50))[: len(buffer)]
                text = text[: text.rindex(b"\n") + 1]
                buffer[: len(text)] = text
                self.taken += len(text)
                return len(text)

        endless = Endless()
        batches = read_batches(io.BufferedReader(endless))
        assert numbers(next(batches))[-1] == 1000
        assert numbers(next(batches))[-1] == 2000
        assert endless.taken < 1_000_000

    def test_bytes_read_grow_to_the_size_of_the_file_as_stored(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl.gz"
        path.write_bytes(gzip.compress(b"".join(tag_line(os.urandom(40).hex()) for _ in range(3000))))
        read = [batch.bytes_read for batch in read_batches(path.open("rb"))]
        assert 0 < read[0] < read[-1] == path.stat().st_size

    def test_the_file_is_closed_at_its_end(self) -> None:
        file = as_file(tag_line("a"))
        list(read_batches(file))
        assert file.closed


@dataclass
class FakeServer(IngestServiceServicer):
    """Takes events; what it does with them is said by the name of a tag."""

    names: list[str] = field(default_factory=list)
    """Names of the tags that were applied, in order."""
    calls: int = 0
    failures: list[grpc.StatusCode] = field(default_factory=list)
    """What the next calls fail with, before they apply anything."""
    lost_answers: int = 0
    """How many of the next calls apply everything and then fail."""
    called_twice: asyncio.Event = field(default_factory=asyncio.Event)

    async def IngestJson(self, request: Any, context: Any) -> NoReturn:
        raise NotImplementedError

    async def IngestEvents(
        self, request: IngestEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> IngestEventsResponse:
        self.calls += 1
        if self.calls == 2:
            self.called_twice.set()
        if self.failures:
            await context.abort(self.failures.pop(0), "as told")
        if any(event.tag.name == "poison" for event in request.events):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "cannot read this")
        rejected = [
            RejectedEvent(index=index, code="INVALID_ARGUMENT", message="refused by name")
            for index, event in enumerate(request.events)
            if event.tag.name == "refused"
        ]
        self.names += [event.tag.name for event in request.events if event.tag.name != "refused"]
        if self.lost_answers:
            self.lost_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return IngestEventsResponse(accepted=len(request.events) - len(rejected), rejected=rejected)


@dataclass
class Running:
    fake: FakeServer
    target: str


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    fake = FakeServer()
    grpc_server = grpc.aio.server()
    add_IngestServiceServicer_to_server(fake, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    yield Running(fake, f"127.0.0.1:{port}")
    await grpc_server.stop(None)


@dataclass
class Recorder:
    """A reporter that keeps everything."""

    lines: list[RejectedLine] = field(default_factory=list)
    summaries: list[ImportSummary] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def rejected(self, line: RejectedLine) -> None:
        self.lines.append(line)

    def acknowledged(self, summary: ImportSummary) -> None:
        self.summaries.append(summary)

    def waiting(self, reason: str) -> None:
        self.waits.append(reason)


class TestImportEvents:
    async def send(
        self, server: Running, lines: Iterable[bytes], patience_seconds: float = 10
    ) -> tuple[ImportSummary, Recorder]:
        recorder = Recorder()
        batches = read_batches(as_file(b"".join(lines)))
        summary = await import_events(batches, server.target, recorder, patience_seconds=patience_seconds)
        return summary, recorder

    async def test_all_events_arrive_once_and_in_order(self, server: Running) -> None:
        summary, recorder = await self.send(server, [tag_line(str(number)) for number in range(2500)])
        assert server.fake.names == [str(number) for number in range(2500)]
        assert server.fake.calls == 3
        assert (summary.imported, summary.rejected, summary.last_line) == (2500, 0, 2500)
        assert [after.last_line for after in recorder.summaries] == [1000, 2000, 2500]

    async def test_bad_lines_and_rejected_events_are_named_in_order_and_the_rest_goes_on(self, server: Running) -> None:
        lines = [tag_line("a"), tag_line("refused"), b"{\n", b"\n", tag_line("b"), tag_line("refused"), tag_line("c")]
        summary, recorder = await self.send(server, lines)
        assert server.fake.names == ["a", "b", "c"]
        assert (summary.imported, summary.rejected, summary.last_line) == (3, 3, 7)
        assert [line.number for line in recorder.lines] == [2, 3, 6]
        assert recorder.lines[0].reason == "INVALID_ARGUMENT: refused by name"

    async def test_a_log_of_bad_lines_needs_no_server(self) -> None:
        recorder = Recorder()
        summary = await import_events(read_batches(as_file(b"{\n[\n")), "127.0.0.1:1", recorder)
        assert (summary.imported, summary.rejected) == (0, 2)

    async def test_one_event_that_spoils_its_request_is_found(self, server: Running) -> None:
        lines = [tag_line(str(number)) for number in range(300)]
        lines[123] = tag_line("poison")
        summary, recorder = await self.send(server, lines)
        assert recorder.lines == [RejectedLine(124, "INVALID_ARGUMENT: cannot read this")]
        assert summary.imported == 299
        assert server.fake.names == [str(number) for number in range(300) if number != 123]

    @pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
    async def test_a_server_that_is_away_for_a_moment_is_waited_for(
        self, server: Running, code: grpc.StatusCode
    ) -> None:
        server.fake.failures = [code, code]
        summary, recorder = await self.send(server, [tag_line("a")])
        assert server.fake.names == ["a"]
        assert summary.imported == 1
        assert recorder.waits == [f"{code.name}: as told"] * 2

    async def test_a_batch_whose_answer_is_lost_is_sent_again_and_counted_once(self, server: Running) -> None:
        server.fake.lost_answers = 1
        summary, _ = await self.send(server, [tag_line("a"), tag_line("b")])
        assert server.fake.names == ["a", "b", "a", "b"]
        assert summary.imported == 2

    async def test_nobody_at_the_target_is_said_in_plain_words(self) -> None:
        recorder = Recorder()
        batches = read_batches(as_file(tag_line("a")))
        with pytest.raises(ImportStoppedError, match="^no connection to 127.0.0.1:1: Connection refused$"):
            await import_events(batches, "127.0.0.1:1", recorder, patience_seconds=0.5)
        assert set(recorder.waits) == {"no connection to 127.0.0.1:1: Connection refused"}

    @pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n"])
    async def test_a_target_that_is_no_grpc_server_is_said_at_once(self, answer: bytes) -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.current_task())
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(respond, "127.0.0.1", 0) as other:
            target = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"
            recorder = Recorder()
            with pytest.raises(ImportStoppedError, match=f"^what answers at {target} is not a gRPC server$"):
                await import_events(read_batches(as_file(tag_line("a"))), target, recorder)
            async with asyncio.timeout(10):
                await asyncio.gather(*filter(None, tasks))
        assert recorder.waits == []

    async def test_a_name_that_there_is_not_is_said_at_once(self) -> None:
        with pytest.raises(ImportStoppedError, match="^unknown host: nohost.invalid:1$"):
            await import_events(read_batches(as_file(tag_line("a"))), "nohost.invalid:1", Recorder())

    async def test_a_server_that_is_silent_is_said_to_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sending, "_SILENCE_SECONDS", 0.05)
        monkeypatch.setattr(sending, "_CALL_SECONDS", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            recorder = Recorder()
            with pytest.raises(ImportStoppedError, match=f"^no answer from {target}$"):
                await import_events(read_batches(as_file(tag_line("a"))), target, recorder, patience_seconds=0.2)
        assert recorder.waits[0] == f"no answer from {target}"

    async def test_patience_ends(self, server: Running) -> None:
        server.fake.failures = [grpc.StatusCode.UNAVAILABLE] * 100
        with pytest.raises(ImportStoppedError, match="UNAVAILABLE: as told"):
            await self.send(server, [tag_line("a")], patience_seconds=0.5)
        assert 2 <= server.fake.calls <= 3

    async def test_what_is_acknowledged_before_the_end_is_known(self, server: Running) -> None:
        recorder = Recorder()
        batches = read_batches(as_file(tag_line("a") * 1500))

        def stop_after_the_first(summary: ImportSummary) -> None:
            recorder.summaries.append(summary)
            server.fake.failures = [grpc.StatusCode.UNIMPLEMENTED]

        recorder.acknowledged = stop_after_the_first  # type: ignore[method-assign]
        with pytest.raises(ImportStoppedError, match="UNIMPLEMENTED"):
            await import_events(batches, server.target, recorder)
        assert [summary.last_line for summary in recorder.summaries] == [1000]

    async def test_a_log_that_breaks_off_raises_after_what_was_read(self, server: Running) -> None:
        packed = gzip.compress(b"".join(tag_line(os.urandom(40).hex()) for _ in range(3000)))
        recorder = Recorder()
        with pytest.raises(EOFError):
            await import_events(read_batches(as_file(packed[: len(packed) // 2])), server.target, recorder)
        assert recorder.summaries[-1].last_line == 1000


COMMAND = """
import sys, click
from conversations.importer import run_import

@click.command()
@click.argument("path")
@click.argument("target")
def command(path, target):
    sys.exit(run_import(path, target))

command()
"""


class TestRunImport:
    """As a program of its own, since signals, terminals and open files are its business."""

    async def start(self, path: object, target: str, **options: Any) -> asyncio.subprocess.Process:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE) | options
        return await asyncio.create_subprocess_exec(sys.executable, "-c", COMMAND, str(path), target, **streams)

    async def run(self, path: object, target: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
        process = await self.start(path, target)
        out, err = await process.communicate(stdin)
        return process.returncode, out.decode(), err.decode()

    async def test_a_good_log_ends_with_zero_and_says_nothing_else(self, server: Running, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl"
        log.write_bytes(tag_line("a") + tag_line("b"))
        assert await self.run(log, server.target) == (0, "imported 2 events, 0 rejected\n", "")

    async def test_standard_input_and_the_target_of_the_ready_line(self, server: Running) -> None:
        code, out, err = await self.run("-", f"grpc://{server.target}", tag_line("a"))
        assert (code, out, err) == (0, "imported 1 events, 0 rejected\n", "")
        assert server.fake.names == ["a"]

    async def test_a_rejected_line_is_named_and_ends_with_one(self, server: Running, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl.gz"
        log.write_bytes(gzip.compress(tag_line("a") + b"{\n" + tag_line("refused")))
        code, out, err = await self.run(log, server.target)
        assert (code, out) == (1, "imported 1 events, 2 rejected\n")
        assert [line.split(":")[0] for line in err.splitlines()] == ["line 2", "line 3"]

    @pytest.mark.parametrize(
        ("name", "reason"), [("missing.jsonl", "No such file or directory"), (".", "Is a directory")]
    )
    async def test_a_file_that_cannot_be_opened_is_an_error(self, tmp_path: Path, name: str, reason: str) -> None:
        code, out, err = await self.run(tmp_path / name, "127.0.0.1:1")
        assert (code, out) == (1, "")
        assert err == f"Error: Could not open file '{tmp_path / name}': {reason}\n"

    async def test_a_damaged_file_is_an_error_that_tells_how_far_it_got(self, server: Running, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl.gz"
        packed = gzip.compress(b"".join(tag_line(os.urandom(40).hex()) for _ in range(3000)))
        log.write_bytes(packed[: len(packed) // 2])
        code, out, err = await self.run(log, server.target)
        assert (code, out) == (1, "")
        assert f"cannot read '{log}': it is truncated: the end of the gzip data is missing; " in err
        assert "everything up to line 1000 is acknowledged" in err
        assert "Traceback" not in err

    async def test_a_server_that_refuses_is_an_error_that_tells_how_far_it_got(self, server: Running) -> None:
        server.fake.failures = [grpc.StatusCode.PERMISSION_DENIED]
        code, out, err = await self.run("-", server.target, tag_line("a"))
        assert (code, out) == (1, "")
        assert err == "Error: PERMISSION_DENIED: as told; everything up to line 0 is acknowledged\n"

    async def test_an_interrupt_while_waiting_for_input_ends_cleanly(self, server: Running) -> None:
        process = await self.start("-", server.target)
        assert process.stdin is not None
        process.stdin.write(tag_line("a") * 2001)
        await process.stdin.drain()
        # A second call shows that the first one's answer has arrived.
        await server.fake.called_twice.wait()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(10):
            out, err = await process.stdout.read(), await process.stderr.read()
            assert await process.wait() == 130
        process.stdin.close()
        assert out == b""
        assert re.fullmatch(r"interrupted; everything up to line [12]000 is acknowledged\n", err.decode())

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"\x1f\x8b" + b"x" * 20, "its gzip data is damaged"),
            (gzip.compress(tag_line("a"))[:-8] + b"x" * 8, "its gzip data is damaged"),
            (gzip.compress(tag_line("a"))[:12] + b"x" * 30, "its gzip data is damaged"),
            (b"\x1f\x8b", "it is truncated: the end of the gzip data is missing"),
            (tag_line("a").decode().encode("utf-16"), "it is UTF-16, but an event log is UTF-8"),
        ],
    )
    async def test_what_cannot_be_read_is_said_in_words_of_ours(
        self, server: Running, tmp_path: Path, content: bytes, reason: str
    ) -> None:
        log = tmp_path / "log"
        log.write_bytes(content)
        code, out, err = await self.run(log, server.target)
        assert (code, out) == (1, "")
        assert err == f"Error: cannot read '{log}': {reason}; everything up to line 0 is acknowledged\n"

    async def test_terminated_it_says_how_far_it_got(self, server: Running) -> None:
        process = await self.start("-", server.target)
        assert process.stdin is not None
        process.stdin.write(tag_line("a") * 2001)
        await process.stdin.drain()
        await server.fake.called_twice.wait()
        process.terminate()
        async with asyncio.timeout(10):
            _, err = await process.communicate()
        assert process.returncode == 143
        assert re.fullmatch(r"interrupted; everything up to line [12]000 is acknowledged\n", err.decode())

    async def test_a_terminal_sees_a_progress_bar(self, server: Running, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl"
        log.write_bytes(tag_line("a") * 2500 + b"{\n")
        terminal, stderr = pty.openpty()
        process = await self.start(log, server.target, stderr=stderr)
        os.close(stderr)
        out, _ = await process.communicate()
        shown = os.read(terminal, 100_000).decode()
        os.close(terminal)
        assert out == b"imported 2500 events, 1 rejected\n"
        assert "importing" in shown
        assert "100%" in shown
        assert "line 2501: " in shown

    async def test_the_progress_bar_of_a_pipe_counts_events(self, server: Running) -> None:
        terminal, stderr = pty.openpty()
        process = await self.start("-", server.target, stderr=stderr)
        os.close(stderr)
        await process.communicate(tag_line("a") * 1200)
        shown = os.read(terminal, 100_000).decode()
        os.close(terminal)
        assert "1200 events" in shown


def test_the_events_of_a_batch_are_what_the_log_says() -> None:
    (batch,) = batches_of(tag_line("a"), b'{"read_receipt": {"conversation_id": "c", "read_at": "t"}}\n')
    events = [
        event
        for line in batch.lines
        if isinstance(line, EncodedEvent)
        for event in IngestEventsRequest.FromString(line.request).events
    ]
    assert events[0] == Event(tag={"id": "x", "name": "a", "color": "tag-red"})
    assert events[1].read_receipt.conversation_id == "c"
