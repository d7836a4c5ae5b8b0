"""Overload: five times the load, many writers of one record, streams that are reset at once."""

import json
import multiprocessing
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from tests.clients import Http2, grpc_headers
from tests.faults.report import Row, others
from tests.faults.running import Running, peak_mib, resident_mib

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.metadata_service_pb2 import UpsertMetadataRequest
from conversations.v1.metadata_service_pb2_grpc import MetadataServiceStub

__all__ = ["FAULTS"]

_SECONDS = 6
_CLIENTS = 1500
_LIST_TAGS = "/conversations.v1.TagService/ListTags"


@dataclass(frozen=True, slots=True)
class _Load:
    """What a load generator saw."""

    good: float
    """Responses with status 200 per second."""
    shed_p99_seconds: float
    """The 99th percentile of the refusals' times."""
    statuses: dict[str, int]


def five_times_the_load(service: Running) -> Iterator[Row]:
    """An open loop with five times the calls that can be served, from many connections."""
    [envoy] = service.pids("envoy")
    best = max((_load(service, 32, None) for _ in range(2)), key=lambda load: load.good)
    before = resident_mib(envoy)
    with service.bystander.watching() as effects:
        over = _load(service, _CLIENTS, max(1, round(5 * best.good / _CLIENTS)))
    share, effect, grown = over.good / best.good, effects[0], peak_mib(envoy) - before
    answered = f"{over.good:.0f} of {best.good:.0f} a second ({share:.0%}); {over.statuses}"
    yield Row("5 times the load: answered", answered, "70 % of the best", share >= 0.7)
    shed = over.shed_p99_seconds
    yield Row("5 times the load: refused after (p99)", f"{shed:.2f} s", "1 s at most", shed <= 1)
    yield Row("5 times the load: Envoy", f"+{grown:.0f} MiB", "+150 MiB at most", grown <= 150)
    # All come from one address, so that another caller cannot be told apart by more than its connection.
    yield Row("5 times the load: others", str(effect), "none fail", effect.failed == 0)


def _load(service: Running, clients: int, rate: int | None) -> _Load:
    """Send lists for some seconds, at a rate for each client; without a rate, as fast as they are answered."""
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_text(json.dumps({"filters": "source:facebook", "page_size": 5}))
        command = ["h2load", "--h1", "-t", "1", "-c", str(clients), "-D", str(_SECONDS), "-T", "5", "-N", "5"]
        command += ["-d", str(body), "--log-file", str(log), "-H", "content-type: application/json"]
        if rate is not None:
            command += ["--rps", str(rate)]
        url = f"{service.stack.http_url}/conversations.list"
        subprocess.run([*command, url], capture_output=True, check=False, timeout=120)
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    shed = sorted(int(taken) / 1e6 for _, status, taken in rows if status != "200") or [0.0]
    statuses = Counter(status for _, status, _ in rows)
    return _Load(statuses["200"] / _SECONDS, shed[int(0.99 * (len(shed) - 1))], dict(statuses))


def writers_of_one_conversation(service: Running) -> Iterator[Row]:
    """64 callers that change the metadata of one conversation all the time."""
    with grpc.insecure_channel(service.stack.grpc_target) as channel:
        page = ConversationServiceStub(channel).ListConversations(ListConversationsRequest(page_size=1))
        stub = MetadataServiceStub(channel)

        def write(number: int) -> list[float]:
            taken: list[float] = []
            ends = time.monotonic() + 5
            while time.monotonic() < ends:
                request = UpsertMetadataRequest(subject="conversation", id=page.data[0].id)
                request.data.update({f"writer {number}": len(taken)})
                began = time.monotonic()
                stub.UpsertMetadata(request)
                taken.append(time.monotonic() - began)
            return taken

        with ThreadPoolExecutor(64) as pool:
            taken = list(pool.map(write, range(64)))
    times = sorted(seconds for one in taken for seconds in one)
    p99, median = times[int(0.99 * len(times))], statistics.median(times)
    share = min(map(len, taken)) / max(map(len, taken))
    measured = f"{1000 * p99:.0f} ms of {len(times)} writes, median {1000 * median:.0f} ms"
    yield Row("64 writers of one conversation: p99", measured, "3 times the median", p99 <= 3 * median)
    yield Row("64 writers: fewest to most writes of one", f"{share:.0%}", "50 % at least", share >= 0.5)


def rapid_reset(service: Running) -> Iterator[Row]:
    """Streams that are opened and reset as fast as one client can, over connections made anew when they are closed."""
    # The attacker takes of the machine's processors too: one that keeps as busy at another port shows how much.
    alone = _good_client(service)
    with _sink() as sink:
        with service.bystander.watching(lambda: _reset_streams(sink, 4)) as effects:
            _reset_streams(service.http_port, 4)
        calls: dict[int, list[float]] = {sink: [], service.http_port: []}
        resets = 0
        with ThreadPoolExecutor(1) as pool:
            for port in (sink, service.http_port) * 3:
                attacker = pool.submit(_reset_streams, port, 4)
                time.sleep(0.5)
                calls[port].append(_good_client(service))
                resets += attacker.result() if port == service.http_port else 0
    beside, meanwhile = (statistics.median(found) for found in calls.values())
    share = meanwhile / alone
    measured = f"{share:.0%}: {meanwhile:.0f} calls a second of {alone:.0f}; beside the same elsewhere {beside:.0f}"
    asked = "50 % of those without it"
    yield Row(f"HTTP/2 rapid reset, {resets} streams: good clients", measured, asked, share >= 0.5)
    yield others("HTTP/2 rapid reset", effects[0])


@contextmanager
def _sink() -> Iterator[int]:
    """Have a process take whatever comes, and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = multiprocessing.get_context("spawn").Process(target=_take_all, args=(listening,), daemon=True)
        process.start()
        try:
            yield listening.getsockname()[1]
        finally:
            process.kill()
            process.join()


def _take_all(listening: socket.socket) -> None:
    while True:
        with listening.accept()[0] as connection, suppress(ConnectionError):
            while connection.recv(65536):
                pass


def _reset_streams(port: int, seconds: float) -> int:
    resets, stop = 0, time.monotonic() + seconds
    while time.monotonic() < stop:
        with Http2(port, timeout=0.001) as client:
            while client.terminated is None and time.monotonic() < stop:
                for _ in range(50):
                    client.reset(client.request(grpc_headers(port, _LIST_TAGS), end=False))
                resets += 50
                with suppress(TimeoutError):
                    client.pump()
    return resets


def _good_client(service: Running) -> float:
    """Return the calls per second of eight connections, over three seconds."""
    script = 'wrk.method = "POST"\nwrk.body = "{}"\nwrk.headers["content-type"] = "application/json"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", "-c8", "-d3", "-s", file.name, f"{service.stack.http_url}/tags.list"]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found is not None, output
    return float(found[1])


FAULTS = (five_times_the_load, writers_of_one_conversation, rapid_reset)
