"""Processes that are measured: started and stopped with a block, CPU time and memory of a whole tree.

Source:
    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["command_line", "cpu_seconds", "descendants", "free_port", "resident_bytes", "running", "stop"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 30.0


@contextmanager
def running(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program as long as the block: its standard output is a pipe, its errors go to `log`."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
            # Ctrl-C is for the benchmark, which then stops its programs one after the other.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process, signal.SIGTERM)
        if process.stdout is not None:
            process.stdout.close()


def stop(process: "subprocess.Popen[Any]", number: signal.Signals) -> None:
    """Send a signal that ends a process, and wait until it has ended; one that does not is killed."""
    process.send_signal(number)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the CPU time, user and system, that processes and all below them have used.

    What a child used that has ended stands in its parent's account.
    """
    fields = _stat_of_all()
    return sum(sum(fields[pid][1]) for pid in _tree(roots, fields)) / _TICKS_PER_SECOND


def descendants(root: int) -> list[int]:
    """Return a process and all below it."""
    return _tree([root], _stat_of_all())


def resident_bytes(pid: int) -> int:
    """Return how much of a process is in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def command_line(pid: int) -> list[str]:
    """Return the words of a process' command; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_Stat = tuple[int, list[int]]
"""Parent, then ticks: user, system, and both of the children that have ended."""


def _stat_of_all() -> dict[int, _Stat]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(folder.name)] = parse_stat(text)
    return found


def parse_stat(text: str) -> _Stat:
    """Return parent and ticks of a line of /proc/PID/stat."""
    # The program's name, in brackets, may hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def _tree(roots: Sequence[int], stats: Mapping[int, _Stat]) -> list[int]:
    found = [pid for pid in roots if pid in stats]
    for pid in found:  # grows while it is walked
        found += [child for child, (parent, _) in stats.items() if parent == pid and child not in found]
    return found
