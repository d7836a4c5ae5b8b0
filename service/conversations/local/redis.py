"""The embedded Redis: its arguments, the wait until it has loaded its data, and the flushing of its file."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ConnectionError
from redis.retry import Retry

from conversations.local.append_only import AppendOnlyFile
from conversations.local.engines import RedisEngine
from conversations.local.processes import Child, ChildDiedError

__all__ = ["keep_flushed", "redis_command", "running_url", "start_redis", "wait_until_loaded"]

_POLL_SECONDS = 0.05
_FLUSH_SECONDS = 1.0
_STOP_SECONDS = 3.0


def redis_command(engine: RedisEngine, directory: Path, socket: Path, appendfsync: str) -> list[str]:
    """Return the command of a Redis that keeps its data in a folder and listens on a socket only.

    Args:
        engine: The Redis to run.
        directory: Folder of the append-only file.
        socket: Path of its socket.
        appendfsync: `always` flushes each change to the disk before it is acknowledged. `everysec` hands it to the
            operating system before, and `keep_flushed` has to flush it to the disk.
    """
    # With its own `everysec`, Redis acknowledges changes before writing them while the last flush is still running: #
    # killed under load, it lost 13,347 of 42,300 acknowledged writes in one of ten tries. With `no` it writes first.
    policy = "no" if appendfsync == "everysec" else appendfsync
    return [
        str(engine.server),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        # Ids are ordered by their bytes, in Lua too.
        *("--locale-collate", "C"),
        *("--dir", str(directory), "--appendonly", "yes", "--appendfsync", policy),
        # See append_only.py.
        *("--aof-load-truncated", "no"),
        # RediSearch refuses the append-only file without it.
        *("--aof-use-rdb-preamble", "yes"),
        # Keeps conversations and messages in the compact encoding, by default only for values up to 64 bytes: saves a
        # third of the memory.
        *("--hash-max-listpack-value", "4096", "--hash-max-listpack-entries", "64"),
        # The append-only file has all data; snapshots would only cost.
        *("--save", ""),
        *engine.search_arguments,
    ]


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the embedded Redis that runs on a data directory; None if none does."""
    with contextlib.suppress(FileNotFoundError):
        return (data_dir / "redis.url").read_text().strip()
    return None


async def start_redis(
    launch: Callable[[], Awaitable[Child]], file: AppendOnlyFile, url: str, report: Callable[[str], None]
) -> Child:
    """Return a running Redis whose data and index are complete.

    Args:
        launch: Starts it.
        file: Its append-only file, prepared. A torn end is cut off, and Redis is launched again.
        url: Its URL.
        report: Called with the progress, with what was cut off, or how its file differs from what Redis left.

    Raises:
        ChildDiedError: It has ended.
        DamagedFileError: It cannot start with its file.
    """
    reported = ""
    while True:
        child = await launch()
        loaded = asyncio.ensure_future(wait_until_loaded(url, report))
        ended = asyncio.ensure_future(child.process.wait())
        try:
            await asyncio.wait((loaded, ended), return_when=asyncio.FIRST_COMPLETED)
            if loaded.done():
                loaded.result()
                # What was cut off has been reported.
                for sentence in file.differences if not reported else ():
                    report(sentence)
                return child
        except BaseException:
            await child.stop(_STOP_SECONDS)
            raise
        finally:
            loaded.cancel()
            ended.cancel()
        repaired = await asyncio.to_thread(file.repair, child.log)
        if not repaired or repaired == reported:
            raise ChildDiedError(child)
        report(reported := repaired)


async def wait_until_loaded(url: str, report: Callable[[str], None]) -> None:
    """Wait until Redis answers and its data and index are complete.

    Args:
        url: Its URL.
        report: Called for each percent of the data that is loaded.
    """
    reported = ""
    async with redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True) as client:
        while True:
            try:
                await client.ping()
                return
            except BusyLoadingError:
                share = (await client.info("persistence")).get("loading_loaded_perc", 0)
                progress = f"redis is loading its data: {float(share):.0f}%"
                if progress != reported:
                    report(reported := progress)
            except ConnectionError:
                pass
            await asyncio.sleep(_POLL_SECONDS)


async def keep_flushed(directory: Path, report: Callable[[str], None]) -> None:
    """Flush Redis' append-only file to the disk every second, until cancelled.

    Args:
        directory: Folder of the file.
        report: Called with why the file cannot be flushed, once while the problem lasts.
    """
    reported = ""
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        try:
            await asyncio.to_thread(_flush, directory)
            reported = ""
        except OSError as error:
            if str(error) != reported:
                report(f"redis' data cannot be flushed to the disk: {error}")
            reported = str(error)


def _flush(directory: Path) -> None:
    for file in directory.glob("appendonlydir/*.aof"):
        # A rewrite removes the file it replaces.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
