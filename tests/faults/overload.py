"""More than can be served: five times the load, many writers of one thing, streams that are reset at once."""

import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
from tests.faults.report import Row
from tests.faults.running import Running, peak_mib, resident_mib
from tests.http2 import Http2

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.metadata_service_pb2 import UpsertMetadataRequest
from conversations.v1.metadata_service_pb2_grpc import MetadataServiceStub

__all__ = ["FAULTS"]

_SECONDS = 6


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator saw."""

    good: float
    """Answers of 200 a second."""
    shed_p99_seconds: float
    """How long 99 of 100 refusals took at most."""
    statuses: dict[str, int]


def five_times_the_load(service: Running) -> Iterator[Row]:
    """An open loop with five times the calls that can be served, from many connections."""
    if shutil.which("h2load") is None:
        yield Row("five times the load", "h2load is not installed (nghttp2-client)", "to be measured", False)
        return
    [envoy] = service.pids("envoy")
    best = max((_load(service, 32, None) for _ in range(2)), key=lambda load: load.good)
    before = resident_mib(envoy)
    clients = 1500
    with service.bystander.watching() as effects:
        over = _load(service, clients, max(1, round(5 * best.good / clients)))
    yield Row(
        "5 times the load: answered",
        f"{over.good:.0f} of {best.good:.0f} a second ({over.good / best.good:.0%}); {over.statuses}",
        "70 % of the best",
        over.good >= 0.7 * best.good,
    )
    yield Row(
        "5 times the load: refused after",
        f"{over.shed_p99_seconds:.2f} s (p99)",
        "1 s at most",
        over.shed_p99_seconds <= 1,
    )
    yield Row(
        "5 times the load: Envoy",
        f"{before:.0f} to {peak_mib(envoy):.0f} MiB",
        "+150 MiB at most",
        peak_mib(envoy) - before <= 150,
    )
    yield Row("5 times the load: others", str(effects[0]), "none fail", effects[0].failed == 0)


def _load(service: Running, clients: int, rate: int | None) -> Load:
    """Send lists for some seconds; without a rate as fast as they are answered."""
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_text(json.dumps({"filters": "source:facebook", "page_size": 5}))
        command = [
            "h2load",
            "--h1",
            "-c",
            str(clients),
            "-t",
            "1",
            "-D",
            str(_SECONDS),
            "-d",
            str(body),
            "--log-file",
            str(log),
            "-H",
            "content-type: application/json",
            "-T",
            "5",
            "-N",
            "5",
        ]
        if rate is not None:
            command += ["--rps", str(rate)]
        subprocess.run(
            [*command, f"{service.stack.http_url}/conversations.list"], capture_output=True, check=False, timeout=120
        )
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    statuses: dict[str, int] = {}
    for _, status, _ in rows:
        statuses[status] = statuses.get(status, 0) + 1
    shed = sorted(int(taken) / 1e6 for _, status, taken in rows if status != "200") or [0.0]
    return Load(statuses.get("200", 0) / _SECONDS, shed[int(0.99 * (len(shed) - 1))], statuses)


def writers_of_one_conversation(service: Running) -> Iterator[Row]:
    """64 callers that change the metadata of one conversation all the time."""
    with grpc.insecure_channel(service.stack.grpc_target) as channel:
        id = ConversationServiceStub(channel).ListConversations(ListConversationsRequest(page_size=1)).data[0].id
        stub = MetadataServiceStub(channel)

        def write(number: int) -> list[float]:
            taken, turn, ends = [], 0, time.monotonic() + 5
            while time.monotonic() < ends:
                request = UpsertMetadataRequest(subject="conversation", id=id)
                request.data.update({f"writer {number}": turn})
                began = time.monotonic()
                stub.UpsertMetadata(request)
                taken.append(time.monotonic() - began)
                turn += 1
            return taken

        with ThreadPoolExecutor(64) as pool:
            taken = list(pool.map(write, range(64)))
    times = sorted(seconds for one in taken for seconds in one)
    p99, share = times[int(0.99 * len(times))], min(map(len, taken)) / max(map(len, taken))
    yield Row(
        "64 writers of one conversation: p99",
        f"{1000 * p99:.0f} ms of {len(times)} writes, median {1000 * statistics.median(times):.0f} ms",
        "3 times the median",
        p99 <= 3 * statistics.median(times),
    )
    yield Row(
        "64 writers of one conversation: fewest to most writes of one", f"{share:.0%}", "50 % at least", share >= 0.5
    )


def rapid_reset(service: Running) -> Iterator[Row]:
    """Streams that are opened and reset as fast as one client can, over connections made anew when they are closed."""
    if shutil.which("wrk") is None:
        yield Row("HTTP/2 rapid reset", "wrk is not installed", "to be measured", False)
        return
    alone = statistics.median(_good_client(service) for _ in range(3))
    stop = time.monotonic() + 3 * 3 + 2

    def attack() -> int:
        resets = 0
        while time.monotonic() < stop:
            with Http2(service.http_port) as client:
                while not client.closed and time.monotonic() < stop:
                    for _ in range(50):
                        stream = client.start("/conversations.list", [("content-type", "application/json")], end=True)
                        client.reset(stream)
                        resets += 1
                    client.drain()
        return resets

    with ThreadPoolExecutor(1) as pool:
        attacker = pool.submit(attack)
        time.sleep(1)
        meanwhile = statistics.median(_good_client(service) for _ in range(3))
        resets = attacker.result()
    yield Row(
        f"HTTP/2 rapid reset ({resets} streams): good clients",
        f"{meanwhile:.0f} of {alone:.0f} calls a second ({meanwhile / alone:.0%})",
        "50 % at least",
        meanwhile >= 0.5 * alone,
    )


def _good_client(service: Running) -> float:
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
