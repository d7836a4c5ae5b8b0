"""The embedded Redis: its arguments, the wait until it has loaded its data, and the flush of its file."""

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
    """Return the command of a Redis that keeps its data in a folder and listens on a socket alone.

    Args:
        engine: What to run.
        directory: Where the append-only file lies.
        socket: Where clients find it.
        appendfsync: `always` forces each change to the disk before it is acknowledged. `everysec` hands it to the
            operating system before, and `keep_flushed` has to force it to the disk.
    """
    # With its own `everysec`, Redis acknowledges changes before it writes them, as long as the last flush still runs:
    # killed under load, it lost 13,347 of 42,300 acknowledged writes in one of ten tries. With `no` it writes first.
    policy = "no" if appendfsync == "everysec" else appendfsync
    return [
        str(engine.server),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        # The order of ids is that of their bytes, in Lua too.
        *("--locale-collate", "C"),
        *("--dir", str(directory), "--appendonly", "yes", "--appendfsync", policy),
        # See append_only.py.
        *("--aof-load-truncated", "no"),
        # RediSearch refuses the append-only file without it.
        *("--aof-use-rdb-preamble", "yes"),
        # Conversations and messages in their compact form, which is for values up to 64 bytes otherwise: takes a third
        # less memory.
        *("--hash-max-listpack-value", "4096", "--hash-max-listpack-entries", "64"),
        # The append-only file is the data; snapshots beside it would only cost.
        *("--save", ""),
        *engine.search_arguments,
    ]


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the embedded Redis that runs on a data directory; None if none does."""
    with contextlib.suppress(FileNotFoundError):
        return (data_dir / "redis.url").read_text().strip()
    return None


async def start_redis(
    launch: Callable[[], Awaitable[Child]], file: AppendOnlyFile, url: str, tell: Callable[[str], None]
) -> Child:
    """Return a running Redis whose data and index are complete.

    Args:
        launch: Starts it.
        file: Its append-only file, prepared. A torn end is cut off, and Redis is launched again.
        url: Where it will be.
        tell: Called with the progress, with what was cut off, or how its file is not as Redis left it.

    Raises:
        ChildDiedError: It ended.
        DamagedFileError: It cannot start on its file.
    """
    told = ""
    while True:
        child = await launch()
        loaded = asyncio.ensure_future(wait_until_loaded(url, tell))
        ended = asyncio.ensure_future(child.process.wait())
        try:
            await asyncio.wait((loaded, ended), return_when=asyncio.FIRST_COMPLETED)
            if loaded.done():
                loaded.result()
                # What was cut off has been told.
                for sentence in file.differences if not told else ():
                    tell(sentence)
                return child
        except BaseException:
            await child.stop(_STOP_SECONDS)
            raise
        finally:
            loaded.cancel()
            ended.cancel()
        mended = await asyncio.to_thread(file.mend, child.log)
        if not mended or mended == told:
            raise ChildDiedError(child)
        tell(told := mended)


async def wait_until_loaded(url: str, tell: Callable[[str], None]) -> None:
    """Wait until Redis answers and its data and index are complete.

    Args:
        url: Where it is.
        tell: Called with each whole percent of the data that is loaded.
    """
    told = ""
    async with redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True) as client:
        while True:
            try:
                await client.ping()
                return
            except BusyLoadingError:
                share = (await client.info("persistence")).get("loading_loaded_perc", 0)
                progress = f"redis loads its data: {float(share):.0f} %"
                if progress != told:
                    tell(told := progress)
            except ConnectionError:
                pass
            await asyncio.sleep(_POLL_SECONDS)


async def keep_flushed(directory: Path, tell: Callable[[str], None]) -> None:
    """Force Redis' append-only file to the disk every second, until cancelled.

    Args:
        directory: Where the file lies.
        tell: Called with what keeps the file from the disk, once as long as it does.
    """
    told = ""
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        try:
            await asyncio.to_thread(_flush, directory)
            told = ""
        except OSError as error:
            if str(error) != told:
                tell(f"redis' data cannot be flushed to the disk: {error}")
            told = str(error)


def _flush(directory: Path) -> None:
    for file in directory.glob("appendonlydir/*.aof"):
        # A rewrite removes the file it replaces.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
