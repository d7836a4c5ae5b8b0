"""The service under test: `conversations up`, its processes, and another caller."""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Stack, start_stack, stop_stack
from tests.faults.bystander import Bystander
from tests.faults.report import Row
from tests.rest import Answer, Rest

__all__ = ["Fault", "Running", "peak_mib", "resident_mib", "running", "seconds_until"]


@dataclass(frozen=True, slots=True)
class Running:
    """A running service with demo data."""

    stack: Stack
    bystander: Bystander

    @property
    def http_port(self) -> int:
        return int(self.stack.http_url.rpartition(":")[2])

    @property
    def grpc_port(self) -> int:
        return int(self.stack.grpc_target.rpartition(":")[2])

    def pids(self, name: str) -> list[int]:
        """Return the processes of `up` whose command has a word: `envoy`, `redis-server` or `serve`."""
        return self.stack.pids(name)

    def health(self) -> Answer:
        """Return what `/healthz` answers."""
        with Rest(self.stack.http_url) as rest:
            return rest.request("GET", "/healthz")


Fault = Callable[[Running], Iterator[Row]]
"""Injects a fault into a service, and yields its effects, row by row."""


@contextmanager
def running(data_dir: Path, *options: str, **more: Any) -> Iterator[Running]:
    """Start the service with demo data, and another caller; `more` is for `start_stack`."""
    stack = start_stack(data_dir, "--demo", *options, **more)
    try:
        bystander = Bystander(int(stack.http_url.rpartition(":")[2]), stack.grpc_target)
        try:
            yield Running(stack, bystander)
        finally:
            bystander.close()
    finally:
        stop_stack(stack)


def seconds_until(condition: Callable[[], bool], patience_seconds: float = 20.0) -> float:
    """Return how long it takes until something is true; infinity where it does not become true."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_seconds:
            return math.inf
        time.sleep(0.02)
    return time.monotonic() - began


def resident_mib(pid: int) -> float:
    """Return the memory of a process now, in MiB."""
    return _status(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """Return the largest memory of a process so far, in MiB."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
