"""What `up` says: what it waits for, that all is ready, and what to try then."""

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

__all__ = ["print_ready", "tell", "things_to_try", "waiting_for"]

_T = TypeVar("_T")
_QUIET_SECONDS = 3.0
_QUIET_TIMES = 10


async def waiting_for(what: str, awaitable: Awaitable[_T], child: Child | None = None) -> _T:
    """Wait, and say for what when it takes long; and what the child says that it waits for, now and then."""
    telling = asyncio.create_task(_tell_that_it_waits(what, child))
    try:
        return await awaitable
    finally:
        telling.cancel()


async def _tell_that_it_waits(what: str, child: Child | None) -> None:
    told = None
    for count in itertools.count():
        await asyncio.sleep(_QUIET_SECONDS)
        why = child.last_word() if child is not None else ""
        if why != told or count % _QUIET_TIMES == 0:
            tell(f"waiting for {what}: {why}" if why else f"waiting for {what}")
        told = why


def print_ready(line: str) -> None:
    """Write a line to standard output, where somebody may wait for it.

    Raises:
        StartError: It cannot be written.
    """
    try:
        print(line, flush=True)
    except OSError as error:
        discard_output()
        # Nobody wants to hear it, or no longer: that is no reason to stop.
        if error.errno not in (errno.EPIPE, errno.EBADF):
            raise StartError(f"cannot write to standard output: {error.strerror}") from error


def tell(message: str) -> None:
    """Write a message for people."""
    # A full disk or a reader that is gone ends nothing that runs.
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def things_to_try(ports: Ports, loaded: int) -> str:
    """Return commands to paste, for an inbox with so many demo conversations that are new."""
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
    return "\n\n".join([*lines, "Try:", *(f"  {shlex.join(command)}" for command in commands), "Ctrl-C stops all."])
