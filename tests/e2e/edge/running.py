"""A running Envoy before workers that do as they are told, and another caller who must not notice a thing."""

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tests.conftest import free_port
from tests.rest import Rest

from conversations.edge import Address, EnvoySettings, render
from conversations.local.engines import find_envoy, private_directory
from conversations.local.envoy_process import envoy_command
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

__all__ = ["ORIGIN", "Edge", "Worker", "nobody_notices", "running_edge", "wait_until"]

ORIGIN = "https://inbox.example.org"
ROOT = Path(__file__).parents[3]

_CALLS = 10
# What a busy machine adds to the time of a call.
_NOISE_SECONDS = 0.1


class Worker:
    """A process of `tests.e2e.edge.worker`."""

    def __init__(self) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tests.e2e.edge.worker", "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self) -> None:
        """Wait until it serves."""
        self._expect("ready")

    def tell(self, line: str) -> None:
        """Give it a line of standard input, and wait until it has been done."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        self._expect("done")

    def report(self, **report: Any) -> None:
        """Set what GetHealth answers."""
        self.tell(f"report {json.dumps(report)}")

    def hang(self) -> None:
        """Let it answer nothing, and keep its connections."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        with self._process:
            self._process.kill()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"


@dataclass(frozen=True, slots=True)
class Edge:
    """A running Envoy."""

    workers: list[Worker]
    settings: EnvoySettings
    process: "subprocess.Popen[bytes]"

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_socket(self) -> Path:
        assert self.settings.admin is not None
        return Path(self.settings.admin.host)

    def health_status(self) -> int:
        """Return the status of `/healthz`; 0 while nothing answers."""
        try:
            with Rest(self.url) as client:
                return client.request("GET", "/healthz").status
        except OSError:
            return 0

    def healthy_workers(self) -> set[int]:
        """Return how many workers the clusters with health checks have."""
        return set(self.stats(r"^cluster\.workers(-grpc|-streams)?\.membership_healthy$").values())

    def stats(self, pattern: str) -> dict[str, int]:
        """Return the counters and gauges whose names match."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.admin_socket))
            admin.sendall(b"GET /stats HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        found = re.findall(r"^([a-zA-Z0-9_.-]+): (\d+)\r?$", text, re.MULTILINE)
        return {name: int(value) for name, value in found if re.search(pattern, name)}

    def memory_bytes(self) -> int:
        """Return the resident memory of Envoy."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running_edge(folder: Path, workers: int = 1, **settings: Any) -> Iterator[Edge]:
    """Run Envoy and workers; afterwards no script may have failed."""
    with ExitStack() as cleanup:
        sockets = cleanup.enter_context(private_directory())
        running = [Worker() for _ in range(workers)]
        for worker in running:
            cleanup.callback(worker.kill)
        envoy_settings = EnvoySettings(
            port=free_port(),
            workers=[Address("127.0.0.1", worker.port) for worker in running],
            admin=Address(str(sockets / "admin.sock")),
            access_log=folder / "access.log",
            **{"cors_origins": [ORIGIN], **settings},
        )
        configuration = folder / "envoy.yaml"
        configuration.write_text(render(envoy_settings))
        for worker in running:
            worker.wait()
        process = subprocess.Popen(envoy_command(find_envoy(), configuration), start_new_session=True)
        cleanup.callback(process.wait)
        cleanup.callback(process.terminate)
        edge = Edge(running, envoy_settings, process)
        wait_until(lambda: edge.health_status() == 200)
        wait_until(lambda: edge.healthy_workers() == {workers})
        yield edge
        assert process.poll() is None, "Envoy has died"
        assert set(edge.stats(r"lua.*\.errors$").values()) == {0}


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something is true.

    Raises:
        AssertionError: It did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@contextmanager
def nobody_notices(edge: Edge) -> Iterator[None]:
    """Let another caller call before, while and after something happens.

    Raises:
        AssertionError: An answer was another one, or took more than twice as long.
    """
    with ExitStack() as cleanup:
        caller = cleanup.enter_context(_Caller(edge))
        before = [caller.call() for _ in range(_CALLS)]
        during: list[_Call] = []
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set() or len(during) < _CALLS:
                during.append(caller.call())
                time.sleep(0.01)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        after = [caller.call() for _ in range(_CALLS)]
    wanted = before[0].answers
    assert [call.answers for call in (*before, *during, *after) if call.answers != wanted] == []
    usual, seconds = (statistics.median(call.seconds for call in calls) for calls in (before, [*during, *after]))
    assert seconds <= 2 * usual + _NOISE_SECONDS


@dataclass(frozen=True, slots=True)
class _Call:
    answers: list[Any]
    seconds: float


class _Caller:
    """Somebody who does nothing wrong, in JSON and in gRPC."""

    def __init__(self, edge: Edge) -> None:
        self._url = edge.url
        self._channel = grpc.insecure_channel(f"127.0.0.1:{edge.port}")

    def call(self) -> _Call:
        start = time.monotonic()
        answers = [self._json(), self._grpc()]
        return _Call(answers, time.monotonic() - start)

    def _json(self) -> Any:
        try:
            with Rest(self._url) as client:
                answer = client.post("/conversations.list", {"page_size": 7})
            return answer.status, answer.json.get("data"), answer.json.get("code")
        except OSError as error:
            return repr(error)

    def _grpc(self) -> Any:
        try:
            answer = ConversationServiceStub(self._channel).ListConversations(
                ListConversationsRequest(page_size=7), timeout=10
            )
            return answer.pagination_data.total
        except grpc.RpcError as error:
            return repr(error)

    def __enter__(self) -> "_Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
