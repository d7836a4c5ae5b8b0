"""What the tests of several rooms stand on: a real Redis, and the whole stack of `conversations up`."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from pydantic import SecretStr

from conversations.local.engines import find_redis, throwaway_redis
from conversations.settings import Settings
from conversations.store import open_store

START_SECONDS = 90.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running Redis with search."""

    url: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A running `conversations up`."""

    http_url: str
    """`http://127.0.0.1:PORT` of Envoy."""
    grpc_target: str
    """`127.0.0.1:PORT` that all workers share."""
    data_dir: Path
    process: "subprocess.Popen[str]"

    @property
    def envoy_target(self) -> str:
        """`127.0.0.1:PORT` of Envoy, for gRPC through it."""
        return self.http_url.removeprefix("http://")

    @property
    def redis_url(self) -> str:
        """URL of the embedded Redis."""
        return (self.data_dir / "redis.url").read_text().strip()

    @property
    def said(self) -> str:
        """What it has written to stderr."""
        return (self.data_dir / "up.stderr").read_text()

    def pids(self, name: str) -> list[int]:
        """Return the processes that it has started by a word of their command: `redis-server`, `serve` or `envoy`."""
        command = ["ps", "-A", "-ww", "-o", "ppid=,pid=,args="]
        table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = (line.split(None, 2) for line in table.splitlines())
        started = [(int(pid), words.split()) for parent, pid, words in rows if int(parent) == self.process.pid]
        return [pid for pid, words in started if name in (Path(word).name for word in words)]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the tests' own that keeps nothing on disk."""
    with throwaway_redis(find_redis()) as url:
        yield RedisServer(url)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of an empty Redis: no keys, no index, no functions."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.function_flush()
    return redis_server.url


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_stack(
    data_dir: Path, *options: str, umask: int = -1, prefix: Sequence[str] = (), **environment: str
) -> Stack:
    """Run `conversations up` on free ports until it is ready.

    Args:
        data_dir: Its data directory; made when it is not there.
        options: More options of the command.
        umask: Of its process; -1 leaves it as it is.
        prefix: A command that becomes the one behind it.
        environment: More variables.

    Raises:
        AssertionError: It ended instead; the message holds what it wrote to stderr.
    """
    command = [sys.executable, "-m", "conversations", "up", "--http-port", "0", "--grpc-port", "0"]
    data_dir.mkdir(exist_ok=True)
    errors = data_dir / "up.stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*prefix, *command, "--data-dir", str(data_dir), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            umask=umask,
            env={**os.environ, **environment},
        )
    assert process.stdout is not None
    with ExitStack() as on_failure:
        on_failure.callback(process.stdout.close)
        on_failure.callback(process.wait)
        on_failure.callback(process.terminate)
        ready = process.stdout.readline().split()
        assert len(ready) == 3, errors.read_text()
        on_failure.pop_all()
    return Stack(ready[1], ready[2].removeprefix("grpc://"), data_dir, process)


def stop_stack(stack: Stack, signal_number: int = signal.SIGTERM) -> int:
    """Stop a stack, if it still runs, and return its exit code."""
    stack.process.send_signal(signal_number)
    assert stack.process.stdout is not None
    try:
        return stack.process.wait(STOP_SECONDS)
    finally:
        stack.process.stdout.close()


def limit_files(pid: int, bytes: int | None) -> None:
    """Let a process write no file beyond a size, of which it is told by an error; None takes the limit away.

    It ends by a signal where that is not ignored: Python ignores it, and so does what `up` starts.
    """
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most if bytes is None else bytes, most))


@pytest.fixture
def run_up(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """A function that runs `conversations up` with options, always on the same data directory."""
    started: list[Stack] = []

    def run(*options: str, **more: Any) -> Stack:
        started.append(start_stack(tmp_path / "data", *options, **more))
        return started[-1]

    yield run
    for running in started:
        stop_stack(running)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole service, as `conversations up --workers 2` runs it, empty at first."""
    running = start_stack(tmp_path_factory.mktemp("stack"), "--workers", "2")
    yield running
    stop_stack(running)


@dataclass(frozen=True, slots=True)
class GrpcServer:
    """A running `conversations serve` on a Redis of its own."""

    target: str
    """`127.0.0.1:PORT`."""
    redis_url: str
    partitions: int
    pid: int

    def flush(self) -> None:
        """Empty the store."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        asyncio.run(self._set_up())

    async def _set_up(self) -> None:
        store = await open_store(Settings(redis_url=SecretStr(self.redis_url), partitions=self.partitions))
        await store.close()


@pytest.fixture(scope="session")
def grpc_server() -> Iterator[Callable[[int], GrpcServer]]:
    """A function that gives the gRPC server for a number of partitions, started at the first call."""
    with ExitStack() as cleanup:

        @cache
        def start(partitions: int) -> GrpcServer:
            url = cleanup.enter_context(throwaway_redis(find_redis()))
            port = free_port()
            process = subprocess.Popen(
                [sys.executable, "-m", "conversations", "serve"],
                env={
                    **os.environ,
                    "CONVERSATIONS_REDIS_URL": url,
                    "CONVERSATIONS_PORT": str(port),
                    "CONVERSATIONS_PARTITIONS": str(partitions),
                    "CONVERSATIONS_DRAIN_SECONDS": "0",
                    "CONVERSATIONS_LOG_LEVEL": "WARNING",
                },
            )
            cleanup.callback(process.wait, 10)
            cleanup.callback(process.terminate)
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(START_SECONDS)
            return GrpcServer(f"127.0.0.1:{port}", url, partitions, process.pid)

        yield start
