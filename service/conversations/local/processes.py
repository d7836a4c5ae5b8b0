"""Child processes of `up`: started with a log each, and never left behind."""

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

# Linux signals a child when its parent is gone, however it went; the child has to ask for it itself.
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
    """Raised when a child ends that nobody stopped; says which, how, and its last words."""

    def __init__(self, child: "Child") -> None:
        end = _how_it_ended(child.process.returncode)
        super().__init__(f"{child.name} (process {child.process.pid}) {end}{_last_words(child.log)}")


@dataclass(frozen=True, slots=True)
class Child:
    """A running program."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def runs(self) -> bool:
        """Whether the program has not ended."""
        return self.process.returncode is None

    async def watch(self) -> None:
        """Wait until the program ends.

        Raises:
            ChildDiedError: It did.
        """
        await self.process.wait()
        raise ChildDiedError(self)

    def last_word(self) -> str:
        """Return the last line of its log, without the time before it; nothing where there is none."""
        lines = _last_lines(self.log, 1)
        return re.sub(r"^[\d-]+ [\d:,]+ [A-Z]+ [\w.]+: ", "", lines[0]) if lines else ""

    def terminate(self) -> None:
        """Ask the program to end, if it still runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End the program, if it still runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Not by the methods of the process: they look first whether it has ended, and then asyncio does not learn how.
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def stop(self, patience_seconds: float) -> None:
        """Ask the program to end, and kill it when it has not done so in time."""
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
        name: What it is called in messages; with hyphens for blanks, the name of its log.
        command: Program, by its whole path, and arguments.
        logs: Folder of the logs. The log of the run before stays beside the new one. The program appends, so that a
            log can be cut while it runs.
        environment: Variables on top of this process' own.
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
            # Ctrl-C in the terminal reaches the supervisor alone, which knows in which order to stop.
            start_new_session=True,
        )
    return Child(name, process, log)


def raise_open_files() -> int:
    """Let this process and its children open as many files as they may, and return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    # macOS says that there is no limit, and has one.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _last_words(log: Path, count: int = 5) -> str:
    lines = _last_lines(log, count)
    return f"; the end of {log}:\n" + "".join(f"    {line}\n" for line in lines) if lines else ""


def _last_lines(log: Path, count: int) -> list[str]:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
