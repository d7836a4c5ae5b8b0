"""The commands as processes, where what they stand on goes wrong: no traceback, our words, an exit code that fits."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import UUID

import grpc
import pytest
from pydantic import SecretStr
from tests.conftest import free_port

from conversations.event_json import parse_event
from conversations.servicers.events import read_event
from conversations.settings import Settings
from conversations.store import open_store
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

COMMAND = [sys.executable, "-m", "conversations"]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVERSATIONS_")}
    return kept | {f"CONVERSATIONS_{name}": value for name, value in variables.items()}


@contextmanager
def serving(log: Path, **variables: str) -> Iterator[str]:
    """Run `serve` with its log in a file; give where it listens."""
    port = free_port()
    settings = environment(PORT=str(port), DRAIN_SECONDS="0", **variables)
    with log.open("w") as stderr, subprocess.Popen([*COMMAND, "serve"], env=settings, stderr=stderr) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


async def test_deadlines_that_are_over_leave_no_traceback(redis_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log, REDIS_URL=redis_url) as target:
        async with grpc.aio.insecure_channel(target) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            # A stub for asyncio too.
            stub = ConversationServiceStub(channel)

            async def code(seconds: float) -> grpc.StatusCode:
                try:
                    await stub.ListConversations(ListConversationsRequest(), timeout=seconds)
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

            codes: Counter[grpc.StatusCode] = Counter()
            for seconds in (0.0, 0.001, 0.002, 0.005, 0.01, 0.02) * 5:
                codes.update(await asyncio.gather(*(code(seconds) for _ in range(40))))
            assert await code(20) is grpc.StatusCode.OK
    assert codes.keys() <= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert codes[grpc.StatusCode.DEADLINE_EXCEEDED] > 200
    assert "Traceback" not in log.read_text()


def run(*arguments: str, stdout: IO[bytes] | int = subprocess.PIPE, **variables: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it says of errors."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr.decode()


def message(number: int) -> bytes:
    fields = {
        "id": str(UUID(int=number)),
        "conversation_id": str(UUID(int=number)),
        "channel_id": str(UUID(int=1)),
        "sender": {"id": "1"},
        "content": {"text": "x" * 1000},
        "from_contact": True,
        "sent_at": "2019-01-07T09:01:44.000Z",
        "source": "facebook",
    }
    return json.dumps({"message": fields}).encode()


@pytest.fixture
async def filled(redis_url: str) -> str:
    """URL of a Redis with more than a pipe takes in."""
    store = await open_store(Settings(redis_url=SecretStr(redis_url)))
    assert await store.ingest.apply([read_event(parse_event(message(number))) for number in range(300)]) == {}
    await store.close()
    return redis_url


def test_a_reader_that_has_read_enough_ends_an_export_in_silence(filled: str) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "export", "--redis-url", filled], env=environment(), stdout=writer, stderr=subprocess.PIPE
    ) as process:
        os.close(writer)
        with open(reader, "rb") as lines:
            parse_event(lines.readline())
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


FULL = Path("/dev/full")
has_full_device = pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")


@has_full_device
@pytest.mark.parametrize(
    "arguments", [["settings"], ["explain", "a"], ["--help"], ["up", "--help"], ["--version"], ["import", "/dev/null"]]
)
def test_output_that_cannot_be_written_is_said(arguments: list[str]) -> None:
    with FULL.open("wb") as full:
        assert run(*arguments, stdout=full) == (1, "Error: cannot write the output: No space left on device\n")


@has_full_device
def test_an_export_that_cannot_be_written_is_said(filled: str) -> None:
    reason = "No space left on device; the export is incomplete\n"
    with FULL.open("wb") as full:
        code, error = run("export", "--redis-url", filled, stdout=full)
    assert (code, error) == (1, f"Error: cannot write standard output: {reason}")
    assert run("export", "--redis-url", filled, "-o", str(FULL)) == (1, f"Error: cannot write {FULL}: {reason}")


def test_an_export_leaves_a_file_as_it_is_while_redis_is_away(tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.write_text("an older one")
    code, error = run("export", "--redis-url", "redis://127.0.0.1:1", "-o", str(file))
    cause = "Redis cannot be reached at 127.0.0.1:1: Connection refused"
    assert (code, error) == (1, f"Error: the store is unavailable: {cause}\n")
    assert file.read_text() == "an older one"


def test_an_export_of_nothing_is_a_file_all_the_same(redis_url: str, tmp_path: Path) -> None:
    assert run("export", "--redis-url", redis_url, "-o", str(tmp_path / "export")) == (0, "")
    assert (tmp_path / "export").read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_an_export_that_nobody_reads(filled: str, number: signal.Signals) -> None:
    """Its write to a full pipe waits, and the first signal waits with it."""
    command = [*COMMAND, "export", "--redis-url", filled]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(number)
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(5) == 128 + number
        assert process.stderr.read() == b""


# Presses Ctrl-C when a module is looked for.
INTERRUPTED_IMPORT = """
import os, signal, sys

class Presser:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

module = sys.argv.pop(1)
sys.meta_path.insert(0, Presser())
from conversations.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("conversations.cli", ["--help"]),
        ("click", ["settings"]),
        ("pydantic", ["explain", "a"]),
        ("conversations.filters", ["explain", "a"]),
        ("grpc", ["import", "-"]),
        ("uvloop", ["import", "/dev/null"]),
        ("conversations.server", ["serve"]),
        ("grpc_reflection", ["serve"]),
        ("conversations.local.up", ["up"]),
        ("conversations.store", ["export", "--redis-url", "redis://127.0.0.1:1"]),
        ("redis", ["doctor", "--redis-url", "redis://127.0.0.1:1"]),
    ],
)
def test_an_early_ctrl_c_leaves_no_traceback(module: str, command: list[str]) -> None:
    """While modules are imported, which is where most of a short command's time goes."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, module, *command],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_serve_says_what_it_waits_for_and_not_all_the_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log, REDIS_URL="redis://user:hunter2@127.0.0.1:1"):
        wait_for(log, "waiting")
        time.sleep(2)
    lines = log.read_text().splitlines()
    assert [re.sub(r"^\S+ \S+ ", "", line) for line in lines] == [
        "WARNING conversations.server: waiting for Redis: Redis cannot be reached at 127.0.0.1:1: Connection refused"
    ]


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 30
    while text not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_serve_that_waits_for_redis_ends_when_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log, REDIS_URL="redis://127.0.0.1:1"):
        wait_for(log, "waiting")
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert "Traceback" not in log.read_text()


def test_a_redis_that_is_silent_keeps_nobody_from_ending_serve(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        with serving(log, REDIS_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}", REDIS_TIMEOUT_MS="60000"):
            connection, _ = silent.accept()
            began = time.monotonic()
        connection.close()
    assert time.monotonic() - began < 3
    assert "Traceback" not in log.read_text()


async def test_what_answers_for_redis_and_is_none_is_said() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as other:
        url = f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        code, error = await asyncio.to_thread(run, "export", "--redis-url", url)
    assert (code, error) == (1, "Error: the store is unavailable: what answers there is not Redis\n")


def test_a_second_ctrl_c_ends_serve_at_once(redis_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = environment(PORT="0", DRAIN_SECONDS="60", REDIS_URL=redis_url)
    with log.open("w") as stderr, subprocess.Popen([*COMMAND, "serve"], env=settings, stderr=stderr) as process:
        wait_for(log, "serving on")
        process.send_signal(signal.SIGINT)
        wait_for(log, "stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(3) == 130
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("descriptors", "code", "error"),
    [
        ("0", 0, ""),
        ("1", 1, "Error: cannot write standard output: Bad file descriptor; the export is incomplete\n"),
        ("2", 0, ""),
        ("02", 0, ""),
        ("012", 1, ""),
    ],
)
def test_descriptors_that_are_closed_are_none_of_a_connection(
    filled: str, descriptors: str, code: int, error: str
) -> None:
    closed = " ".join(f"{descriptor}>&-" for descriptor in descriptors)
    command = ["/bin/sh", "-c", f'exec "$0" -m conversations "$@" {closed}', sys.executable]
    done = subprocess.run(
        [*command, "export", "--redis-url", filled], env=environment(), capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (code, error)
    assert len(done.stdout.splitlines()) == (300 if code == 0 else 0)
