"""The output of `up`: what it waits for, the ready line, and example calls."""

import asyncio
import contextlib
import errno
import itertools
import os
import shlex
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from conversations.local.ports import HOST, Ports, StartError
from conversations.local.processes import Child
from conversations.output import discard_output

__all__ = ["example_commands", "print_ready", "report", "waiting_for"]

_T = TypeVar("_T")
_QUIET_SECONDS = 3.0
_QUIET_TIMES = 10


async def waiting_for(what: str, awaitable: Awaitable[_T], child: Child | None = None) -> _T:
    """Wait, and report what for if it takes long, now and then with the last log line of the child."""
    telling = asyncio.create_task(_report_waiting(what, child))
    try:
        return await awaitable
    finally:
        telling.cancel()


async def _report_waiting(what: str, child: Child | None) -> None:
    reported = None
    for count in itertools.count():
        await asyncio.sleep(_QUIET_SECONDS)
        why = child.last_log_line() if child is not None else ""
        if why != reported or count % _QUIET_TIMES == 0:
            report(f"waiting for {what}: {why}" if why else f"waiting for {what}")
        reported = why


def print_ready(line: str) -> None:
    """Write a line to standard output, where a program may wait for it.

    Raises:
        StartError: It cannot be written.
    """
    try:
        print(line, flush=True)
    except OSError as error:
        discard_output()
        # Nobody reads it, or no longer: that isn't a reason to stop.
        if error.errno not in (errno.EPIPE, errno.EBADF):
            raise StartError(f"cannot write to standard output: {error.strerror}") from error


def report(message: str) -> None:
    """Print a message for people to standard error."""
    # A full disk or a broken pipe must not stop anything.
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def example_commands(ports: Ports, loaded: int) -> str:
    """Return example commands to paste, and how many demo conversations were loaded."""
    programs = Path(os.path.relpath(Path(sys.executable).parent))
    http = f"http://{HOST}:{ports.http}"
    snippet = (
        "import grpc; "
        "from conversations.v1.conversation_service_pb2 import ListConversationsRequest as Request; "
        "from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub as Stub; "
        f'print(Stub(grpc.insecure_channel("{HOST}:{ports.grpc}")).ListConversations(Request(page_size=1)))'
    )
    call = [
        *(str(programs / "buf"), "curl", "--http2-prior-knowledge", "--protocol", "grpc"),
        *("-d", '{"filters": "source:facebook", "page_size": 1}'),
        f"{http}/conversations.v1.ConversationService/ListConversations",
    ]
    commands = [
        ["curl", f"{http}/conversations.list", "-d", '{"filters": "unread_count:[1 TO *]", "page_size": 1}'],
        call,
        [str(programs / "python"), "-c", snippet],
    ]
    lines = [f"loaded {loaded} demo conversations"] if loaded else []
    return "\n\n".join(
        [*lines, "Try:", *(f"  {shlex.join(command)}" for command in commands), "Ctrl-C stops everything."]
    )
