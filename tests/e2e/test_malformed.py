"""Malformed requests by chance, of every kind, to the whole service: what `tests.faults` sends for long, in short."""

import asyncio
from collections.abc import Callable

from tests.conftest import Stack
from tests.faults.fuzz.sending import KINDS, Ports, prepare, send_all

REQUESTS = 1_000


def test_none_is_answered_by_a_defect(run_up: Callable[..., Stack]) -> None:
    stack = run_up()
    ports = Ports(int(stack.http_url.rpartition(":")[2]), int(stack.grpc_target.rpartition(":")[2]))
    tags = asyncio.run(prepare(ports.envoy))
    tally = asyncio.run(send_all(1, REQUESTS, ports, tags))
    assert set(KINDS) <= set(tally.outcomes)
    assert [str(finding) for finding in tally.findings] == []
    assert stack.process.poll() is None
