"""What is measured, running: the service as its users start it, the floor, Envoy before the floor, and the peers."""

import asyncio
import base64
import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import redis
from bench.processes import command_line, descendants, free_port, running

from conversations.edge import Address, EnvoySettings, render
from conversations.local.engines import find_envoy, find_redis, private_directory, throwaway_redis
from conversations.local.envoy_process import envoy_command, wait_until_healthy
from conversations.local.redis import running_url

__all__ = [
    "Peer",
    "Service",
    "StartError",
    "envoy_before",
    "post",
    "redis_pid",
    "running_floor",
    "running_peer",
    "running_service",
    "throwaway_search",
]

_START_SECONDS = 300.0
_POLL_SECONDS = 0.02


class StartError(Exception):
    """Raised when something that is to be measured does not start; holds what it wrote."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running `conversations up`."""

    http_url: str
    target: str
    """`127.0.0.1:PORT` that the workers share."""
    redis_url: str
    pid: int
    ready_seconds: float
    """From its start to its line that it is ready."""

    @property
    def worker_pids(self) -> list[int]:
        """Return the processes of its workers."""
        return [pid for pid in descendants(self.pid) if command_line(pid)[-1:] == ["serve"]]


@contextmanager
def running_service(data_dir: Path, workers: int = 1) -> Iterator[Service]:
    """Run the service on a data directory, on any free ports."""
    options = ["--http-port", "0", "--grpc-port", "0", "--workers", str(workers), "--data-dir", str(data_dir)]
    log = data_dir.with_name("up.log")
    start = time.monotonic()
    with running([sys.executable, "-m", "conversations", "up", *options], log=log) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        seconds = time.monotonic() - start
        redis_url = running_url(data_dir)
        if len(ready) != 3 or redis_url is None:
            raise StartError(log.read_text())
        yield Service(ready[1], ready[2].removeprefix("grpc://"), redis_url, process.pid, seconds)


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server to compare with."""

    address: str
    """`127.0.0.1:PORT`."""
    pids: Sequence[int]
    """Roots of the process trees that answer a call."""

    @property
    def url(self) -> str:
        """Return its address for JSON."""
        return f"http://{self.address}"


@contextmanager
def running_floor(answers: Mapping[str, bytes], folder: Path) -> Iterator[Peer]:
    """Run the server that answers ready bytes, by path of the method."""
    file, port = folder / "answers.json", free_port()
    file.write_text(json.dumps({path: base64.b64encode(answer).decode() for path, answer in answers.items()}))
    options = ["--port", str(port), "--answers", str(file)]
    with running([sys.executable, "-m", "bench.peers.floor", *options], log=folder / "floor.log") as process:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(_START_SECONDS)
        yield Peer(f"127.0.0.1:{port}", [process.pid])


@contextmanager
def envoy_before(floor: Peer, folder: Path) -> Iterator[Peer]:
    """Run Envoy with the service's configuration, with the floor for a worker."""
    port = free_port()
    with ExitStack() as cleanup:
        socket = cleanup.enter_context(private_directory()) / "envoy.sock"
        configuration = folder / "envoy.yaml"
        settings = EnvoySettings(
            port=port,
            workers=[Address("127.0.0.1", int(floor.address.rpartition(":")[2]))],
            admin=Address(str(socket)),
            access_log=folder / "access.log",
        )
        configuration.write_text(render(settings))
        command = envoy_command(find_envoy(), configuration)
        process = cleanup.enter_context(running(command, log=folder / "envoy.log"))
        asyncio.run(asyncio.wait_for(wait_until_healthy("127.0.0.1", port), _START_SECONDS))
        yield Peer(f"127.0.0.1:{port}", [process.pid, *floor.pids])


@contextmanager
def running_peer(module: str, options: Sequence[str], database_pid: int, folder: Path) -> Iterator[Peer]:
    """Run a FastAPI peer of `bench.peers` on its database."""
    port, log = free_port(), folder / f"{module}.log"
    command = [sys.executable, "-m", f"bench.peers.{module}", "--port", str(port), *options]
    with running(command, log=log) as process:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/openapi.json"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(log.read_text())
            time.sleep(_POLL_SECONDS)
        yield Peer(f"127.0.0.1:{port}", [process.pid, database_pid])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - ours
            return True
    except OSError:
        return False


def post(url: str, path: str, body: object) -> dict[str, object]:
    """Return the JSON that a server answers."""
    request = urllib.request.Request(  # noqa: S310 - ours
        f"{url}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found: dict[str, object] = json.loads(answer.read() or b"{}")
        return found


@contextmanager
def throwaway_search() -> Iterator[str]:
    """Run a Redis with search that keeps nothing, and give its URL."""
    with throwaway_redis(find_redis()) as url:
        yield url


def redis_pid(url: str) -> int:
    """Return the process of a Redis on this machine."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])
