"""Child processes of `up`: each has a log, and none outlives `up`."""

import asyncio
import contextlib
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conversations.local.logs import older

__all__ = ["Child", "ChildDiedError", "raise_open_files", "start_child"]

_MAX_OPEN_FILES = 65_536

# Linux signals a child when its parent dies for any reason; the child itself has to ask for it.
_TETHER = """
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
os.execv(command[0], command)
"""


class ChildDiedError(Exception):
    """Raised when a child ends unexpectedly; says which, how, and its last log lines."""

    def __init__(self, child: "Child") -> None:
        end = _how_it_ended(child.process.returncode)
        super().__init__(f"{child.name} (process {child.process.pid}) {end}{_log_tail(child.log)}")


@dataclass(frozen=True, slots=True)
class Child:
    """A running program."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def runs(self) -> bool:
        """Whether the program is running."""
        return self.process.returncode is None

    async def watch(self) -> None:
        """Wait until the program ends.

        Raises:
            ChildDiedError: It has ended.
        """
        await self.process.wait()
        raise ChildDiedError(self)

    def last_log_line(self) -> str:
        """Return the last line of its log, without the prefix; empty if there is none."""
        lines = _last_lines(self.log, 1)
        return re.sub(r"^[\d-]+ [\d:,]+ [A-Z]+ [\w.]+: ", "", lines[0]) if lines else ""

    def terminate(self) -> None:
        """Send SIGTERM to the program, if it still runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the program, if it still runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Not with the process's methods: they poll first whether it has ended, and then asyncio misses its status.
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def stop(self, patience_seconds: float) -> None:
        """Terminate the program, and kill it after a timeout."""
        self.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), patience_seconds)
        except TimeoutError:
            self.kill()
            await self.process.wait()


async def start_child(
    name: str,
    command: Sequence[str],
    logs: Path,
    *,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> Child:
    """Start a program that ends when this process does.

    Args:
        name: Its name in messages; with hyphens for blanks, the name of its log.
        command: Program, as an absolute path, and arguments.
        logs: Folder of the logs. The log of the previous run is kept. The program appends, so that its log can be
            truncated while it runs.
        environment: Variables in addition to this process's own.
        keep_open: File descriptors that the program inherits.
    """
    log = logs / f"{name.replace(' ', '-')}.log"
    with contextlib.suppress(FileNotFoundError):
        log.replace(older(log))
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            _TETHER,
            str(os.getpid()),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            pass_fds=keep_open,
            # Ctrl-C in the terminal reaches only the supervisor, which stops children in order.
            start_new_session=True,
        )
    return Child(name, process, log)


def raise_open_files() -> int:
    """Raise the limit of open files for this process and its children, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    # macOS reports no limit, but has one.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _log_tail(log: Path, count: int = 5) -> str:
    lines = _last_lines(log, count)
    return f"; the end of {log}:\n" + "".join(f"    {line}\n" for line in lines) if lines else ""


def _last_lines(log: Path, count: int) -> list[str]:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
