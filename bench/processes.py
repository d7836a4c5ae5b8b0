"""Processes that are measured: run as long as a block, and the CPU time of whole trees of them."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["cpu_seconds", "free_port", "running", "tree"]

_STOP_SECONDS = 30.0


@contextlib.contextmanager
def running(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program as long as the block: its standard output is a pipe, its errors go to `log`.

    Args:
        command: Program and arguments.
        log: File that is written anew.
        environment: Variables besides those of this process.
    """
    with log.open("w") as errors:
        # A session of its own: Ctrl-C is for the benchmark, which then stops its programs one after the other.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def tree(root: int) -> list[psutil.Process]:
    """Return a process and all below it; none when it has ended."""
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the CPU time, user and system, that processes and all below them have used.

    What a child used that has ended stands in its parent's account.
    """
    used = 0.0
    for process in {process for root in roots for process in tree(root)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
