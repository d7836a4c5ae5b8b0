"""The service under test: `conversations up`, its processes, and another caller beside whoever does harm."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Stack, start_stack, stop_stack
from tests.faults.bystander import Bystander

__all__ = ["Running", "peak_mib", "resident_mib", "running"]


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
        children = Path(f"/proc/{self.stack.process.pid}/task/{self.stack.process.pid}/children").read_text()
        found = []
        for pid in map(int, children.split()):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if any(Path(word).name == name for word in words):
                found.append(pid)
        return found


@contextmanager
def running(data_dir: Path, *options: str) -> Iterator[Running]:
    """Start the service with demo data, and another caller."""
    stack = start_stack(data_dir, "--demo", *options)
    try:
        bystander = Bystander(int(stack.http_url.rpartition(":")[2]), stack.grpc_target)
        try:
            yield Running(stack, bystander)
        finally:
            bystander.close()
    finally:
        stop_stack(stack)


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
