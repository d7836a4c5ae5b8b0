"""The running Envoy: its command, its health, and a stop without losing calls."""

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable
from pathlib import Path

__all__ = ["drain", "envoy_command", "wait_until_healthy"]

_POLL_SECONDS = 0.05

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def envoy_command(envoy: Path, configuration: Path) -> list[str]:
    """Return the command of an Envoy with a configuration file."""
    return [
        str(envoy),
        *("--config-path", str(configuration), "--log-level", "warning"),
        # Hot restart uses shared memory, through which one user's Envoy would keep out another's.
        "--disable-hot-restart",
        # The workers need the other half of the cores.
        *("--concurrency", str(max(1, (os.cpu_count() or 2) // 2))),
        *("--file-flush-interval-msec", "1000"),
    ]


async def wait_until_healthy(host: str, port: int) -> None:
    """Wait until `/healthz` answers 200."""
    while True:
        with contextlib.suppress(OSError, ValueError):
            status, _ = await _request(asyncio.open_connection(host, port), "GET", "/healthz")
            if status == 200:
                return
        await asyncio.sleep(_POLL_SECONDS)


async def drain(admin_socket: Path, patience_seconds: float) -> None:
    """Accept no new connections, and wait until running calls are answered, or until a timeout."""
    with contextlib.suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(patience_seconds):
            await _request(asyncio.open_unix_connection(str(admin_socket)), "POST", "/drain_listeners")
            while await _running_calls(admin_socket):  # noqa: ASYNC110 - Envoy tells only who asks
                await asyncio.sleep(_POLL_SECONDS)


async def _running_calls(admin_socket: Path) -> int:
    path = r"/stats?filter=^http\.front\.downstream_rq_active$"
    _, body = await _request(asyncio.open_unix_connection(str(admin_socket)), "GET", path)
    found = re.search(r"downstream_rq_active: (\d+)", body)
    return int(found[1]) if found else 0


async def _request(connecting: Awaitable[_Connection], method: str, path: str) -> tuple[int, str]:
    """Return status and raw body: chunked encoding is not decoded.

    Raises:
        OSError: There is no connection.
        ValueError: The answer is not HTTP.
    """
    reader, writer = await connecting
    try:
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        answer = (await reader.read()).decode("utf-8", "replace")
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    found = re.match(r"HTTP/1\.1 (\d+)", head)
    if found is None:
        raise ValueError("not an HTTP response")
    return int(found[1]), body
