"""Requests that are wrong in every way, by chance.

There are 100,000, some minutes of them, or as many as `FAULTS_REQUESTS` says. `FAULTS_SEED` makes the same ones again.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator

from tests.faults.fuzz.sending import Ports, prepare, send_all
from tests.faults.report import Row, others
from tests.faults.running import Running, resident_mib

__all__ = ["FAULTS"]

_REQUESTS = 100_000
_MOST_MIB = 512


def malformed(service: Running) -> Iterator[Row]:
    """Malformed requests over JSON, raw HTTP/1 and HTTP/2, gRPC and gRPC-Web, to Envoy and to a worker."""
    count = int(os.environ.get("FAULTS_REQUESTS", _REQUESTS))
    seed = int(os.environ.get("FAULTS_SEED", time.time()))
    print(f"FAULTS_REQUESTS={count} FAULTS_SEED={seed}", file=sys.stderr)
    ports = Ports(service.http_port, service.grpc_port)
    before = {name: service.pids(name) for name in ("envoy", "serve")}
    tags = asyncio.run(prepare(ports.envoy))
    with service.bystander.watching() as effects:
        tally = asyncio.run(send_all(seed, count, ports, tags))
    for finding in tally.findings:
        print(finding, file=sys.stderr)
    for kind, outcomes in tally.outcomes.items():
        bad = sum(number for (of, _), number in tally.problems.items() if of == kind)
        text = ", ".join(f"{outcome}: {number}" for outcome, number in outcomes.most_common(4))
        yield Row(
            f"{outcomes.total()} malformed requests, {kind}: wrong answers", f"{bad} ({text})"[:64], "0", bad == 0
        )
    alive = before == {name: service.pids(name) for name in before}
    yield Row("malformed requests: the same processes", str(alive), "True", alive)
    size = max(resident_mib(pid) for pids in before.values() for pid in pids)
    yield Row(
        "malformed requests: memory of a process", f"{size:.0f} MiB", f"{_MOST_MIB} MiB at most", size <= _MOST_MIB
    )
    yield others("malformed requests", effects[0])


FAULTS = (malformed,)
