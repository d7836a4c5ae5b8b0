"""What is measured, running: the service as its users start it, the floor, Envoy before the floor, and the peer."""

import asyncio
import base64
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import grpc
import redis
from bench import calls, corpus
from bench.processes import free_port, running, tree

from conversations.edge import Address, EnvoySettings, render
from conversations.local.engines import find_envoy, private_directory
from conversations.local.envoy_process import envoy_command, wait_until_healthy
from conversations.local.redis import running_url
from conversations.v1.event_pb2 import Event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse

__all__ = ["Ask", "Server", "Service", "StartError", "envoy_before", "fill", "floor"]
__all__ += ["ingest", "peer", "post", "service", "used_memory", "worker"]

_START_SECONDS = 300.0
_ANSWER_SECONDS = 60.0
_EVENTS_AT_ONCE = 900


class StartError(Exception):
    """Raised when something that is to be measured does not start; holds what it wrote."""


Ask = Callable[[str, bytes], bytes]
"""Sends the message of a call to a method, and gives the answer, both serialised; raises `grpc.RpcError`."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    address: str
    """`127.0.0.1:PORT`."""
    pids: Sequence[int]
    """Roots of the process trees that answer a call."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running `conversations up`."""

    grpc: Server
    json: Server
    redis_url: str
    redis_pid: int
    ask: Ask
    ready_seconds: float
    """From its start to its line that it is ready."""

    @property
    def worker_bytes(self) -> int:
        """Return how much of its worker is in memory."""
        [worker] = (process for process in tree(self.grpc.pids[0]) if process.cmdline()[-1:] == ["serve"])
        return worker.memory_info().rss


@contextmanager
def service(data_dir: Path) -> Iterator[Service]:
    """Run the service on a data directory, on any free ports."""
    options = ["--http-port", "0", "--grpc-port", "0", "--workers", "1", "--data-dir", str(data_dir)]
    log = data_dir.with_name("up.log")
    start = time.monotonic()
    with running([sys.executable, "-m", "conversations", "up", *options], log=log) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        seconds = time.monotonic() - start
        url = running_url(data_dir)
        if len(ready) != 3 or url is None:
            raise StartError(log.read_text())
        json_server, grpc_server = (Server(word.partition("://")[2], [process.pid]) for word in ready[1:])
        with redis.Redis.from_url(url) as client:
            redis_pid = int(client.info("server")["process_id"])
        with _asking(grpc_server.address) as ask:
            yield Service(grpc_server, json_server, url, redis_pid, ask, seconds)


@contextmanager
def worker(redis_url: str, folder: Path, client_name: str) -> Iterator[Ask]:
    """Run a worker that nobody has asked anything, on the Redis of a service, which knows its connections by a name."""
    port, log = free_port(), folder / "worker.log"
    environment = {
        "CONVERSATIONS_REDIS_URL": f"{redis_url}?client_name={client_name}",
        "CONVERSATIONS_PORT": str(port),
        "CONVERSATIONS_DRAIN_SECONDS": "0",
    }
    with running([sys.executable, "-m", "conversations", "serve"], log=log, environment=environment) as process:
        _wait_until_it_listens(port, process, log)
        with _asking(f"127.0.0.1:{port}") as ask:
            yield ask


@contextmanager
def _asking(address: str) -> Iterator[Ask]:
    with grpc.insecure_channel(address) as channel:

        def ask(method: str, message: bytes) -> bytes:
            answer: bytes = channel.unary_unary(method, bytes, bytes)(message, timeout=_ANSWER_SECONDS)
            return answer

        yield ask


def used_memory(service: Service) -> int:
    """Return the bytes that the service's Redis uses."""
    with redis.Redis.from_url(service.redis_url) as client:
        return int(client.info("memory")["used_memory"])


def fill(service: Service, conversations: int, *, user_data: bool = False) -> None:
    """Load the corpus into a service that is empty."""
    ingest(service, corpus.events(conversations, user_data=user_data))


def ingest(service: Service, events: Iterable[Event]) -> None:
    """Send events in large batches, one after the other."""
    remaining = iter(events)
    while batch := list(islice(remaining, _EVENTS_AT_ONCE)):
        answer = service.ask(calls.INGEST, IngestEventsRequest(events=batch).SerializeToString())
        if (accepted := IngestEventsResponse.FromString(answer).accepted) != len(batch):
            raise StartError(f"the service takes {accepted} of {len(batch)} events")


@contextmanager
def floor(answers: Mapping[str, bytes], folder: Path) -> Iterator[Server]:
    """Run the server that answers ready bytes, by method."""
    file = folder / "answers.json"
    file.write_text(json.dumps({method: base64.b64encode(answer).decode() for method, answer in answers.items()}))
    with _peer("floor", ["--answers", str(file)], folder) as server:
        yield server


@contextmanager
def envoy_before(floor: Server, folder: Path) -> Iterator[Server]:
    """Run Envoy with the service's configuration, with the floor for a worker."""
    port, configuration = free_port(), folder / "envoy.yaml"
    with ExitStack() as cleanup:
        settings = EnvoySettings(
            port=port,
            workers=[Address("127.0.0.1", int(floor.address.rpartition(":")[2]))],
            admin=Address(str(cleanup.enter_context(private_directory()) / "envoy.sock")),
            access_log=folder / "access.log",
        )
        configuration.write_text(render(settings))
        command = envoy_command(find_envoy(), configuration)
        process = cleanup.enter_context(running(command, log=folder / "envoy.log"))
        asyncio.run(asyncio.wait_for(wait_until_healthy("127.0.0.1", port), _START_SECONDS))
        yield Server(f"127.0.0.1:{port}", [process.pid, *floor.pids])


@contextmanager
def peer(database: Server, folder: Path) -> Iterator[Server]:
    """Run the FastAPI peer on its database."""
    with _peer("inbox", ["--dsn", database.address], folder) as server:
        yield Server(server.address, [*server.pids, *database.pids])


@contextmanager
def _peer(module: str, options: Sequence[str], folder: Path) -> Iterator[Server]:
    """Run a module of `bench.peers` until it listens, and on."""
    port, log = free_port(), folder / f"{module}.log"
    command = [sys.executable, "-m", f"bench.peers.{module}", "--port", str(port), *options]
    with running(command, log=log) as process:
        _wait_until_it_listens(port, process, log)
        yield Server(f"127.0.0.1:{port}", [process.pid])


def _wait_until_it_listens(port: int, process: "subprocess.Popen[str]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(log.read_text()) from None
            time.sleep(0.02)


def post(server: Server, path: str, body: object) -> dict[str, object]:
    """Return the JSON that a server answers."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{server.address}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - ours
        found: dict[str, object] = json.loads(answer.read() or b"{}")
        return found
