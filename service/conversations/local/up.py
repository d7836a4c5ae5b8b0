"""`up`: Redis, workers and Envoy on one machine, started in order, watched, and stopped together.

    redis    embedded, unless a URL is given
    workers  processes of `serve`: a port for all of them, and a port for each
    envoy    in front of the workers' own ports

Each is a child of this process. When one ends unexpectedly, the others are stopped.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc.aio
from pydantic import SecretStr

from conversations.edge import Address, EnvoySettings, render
from conversations.errors import ServiceError
from conversations.local import demo
from conversations.local.announcements import example_commands, print_ready, report, waiting_for
from conversations.local.append_only import AppendOnlyFile
from conversations.local.checkup import count_data, examine_data, repair_setup
from conversations.local.data_directory import DataDirectory, DirectoryInUseError, open_data_directory
from conversations.local.engines import EngineError, find_envoy, find_redis, private_directory
from conversations.local.envoy_process import drain, envoy_command, wait_until_healthy
from conversations.local.logs import keep_small
from conversations.local.ports import HOST, Ports, StartError, find_ports, wait_until_serving
from conversations.local.processes import Child, ChildDiedError, raise_open_files, start_child
from conversations.local.redis import keep_flushed, redis_command, start_redis
from conversations.local.upgrade import upgrade_store
from conversations.settings import Settings
from conversations.signals import exit_code

__all__ = ["UpOptions", "up"]

_READ_SECONDS = 1.0

# Together less than the 10 seconds that a stop may take.
_ENVOY_DRAIN_SECONDS = 2.0
_ENVOY_STOP_SECONDS = 1.0
_WORKER_GRACE_SECONDS = 2.0
_WORKER_STOP_SECONDS = 3.0
_REDIS_STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of `up`."""

    data_dir: Path
    """Folder of data and logs; created if missing."""
    http_port: int = 8080
    """Port of Envoy; 0 picks a free one."""
    grpc_port: int = 50051
    """Port that all workers share; 0 picks a free one."""
    redis_url: str | None = None
    """A running Redis; None starts an embedded one."""
    workers: int = 1
    demo: bool = False
    """Load the demo data if there are no conversations, and print example calls."""
    cors_origins: Sequence[str] = ()
    """Origins whose pages may call; `*` is every origin, without credentials."""
    cors_headers: Sequence[str] = ()
    """Request headers that these pages may send besides the usual ones."""
    allowed_hosts: Sequence[str] = ()
    """Host names of the service besides those of this machine."""
    partitions: int = 1
    """Partitions of an empty Redis."""
    appendfsync: str = "everysec"
    """When changes in the embedded Redis are flushed to the disk: `everysec`, or `always` before they are acknowledged.
    Both survive the end of any process; `everysec` may lose the last second if the machine fails."""
    max_log_bytes: int = 16 * 1024 * 1024
    """Size above which a log is rotated; one older file of each is kept."""


def up(options: UpOptions) -> int:
    """Run everything until a signal, or until a child ends.

    Prints one line on stdout, `ready http://... grpc://...`, once all answer; everything else goes to stderr.

    Returns:
        Exit code: 0 after SIGINT or SIGTERM, 128 plus the signal's number after a second one, 1 if it could not start
        or a child ended unexpectedly.
    """
    # Before anything is created; children inherit it.
    os.umask(0o077)
    try:
        with _interruptible(), open_data_directory(options.data_dir) as directory, private_directory() as sockets:
            return asyncio.run(_run(options, directory, sockets))
    except (StartError, ChildDiedError, DirectoryInUseError, EngineError, ServiceError) as error:
        report(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return exit_code(signal.SIGINT)
    except OSError as error:
        report(f"error: {error.filename or options.data_dir}: {error.strerror or error}")
        return 1


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt outside the event loop, so that no folder is left behind."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _run(options: UpOptions, directory: DataDirectory, sockets: Path) -> int:
    stopped = asyncio.Event()
    code = 0
    with ExitStack() as announcements:
        stack = _Stack(options, directory, sockets, announcements)

        def stop(number: int) -> None:
            nonlocal code
            if stopped.is_set():
                code = exit_code(number)
                stack.stop_now()
            stopped.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        try:
            await _first_of(stopped.wait(), stack.child_death(), stack.serve())
        finally:
            # Further signals speed up the stop, whatever its reason.
            stopped.set()
            await stack.stop()
    return code


async def _first_of(*parts: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of the parts ends, then cancel the others; an earlier part's error takes precedence."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()


class _Stack:
    """The children. They stop in the reverse order of their start."""

    def __init__(self, options: UpOptions, directory: DataDirectory, sockets: Path, announcements: ExitStack) -> None:
        self._options = options
        self._directory = directory
        self._sockets = sockets
        self._announcements = announcements
        self._redis: list[Child] = []
        self._file: AppendOnlyFile | None = None
        self._workers: list[Child] = []
        self._envoy: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._deaths: asyncio.Queue[ChildDiedError] = asyncio.Queue()

    async def serve(self) -> None:
        """Start everything, print the ready line, and run until cancelled."""
        max_open_files = raise_open_files()
        ports = find_ports(self._options.http_port, self._options.grpc_port, self._options.workers)
        self._tasks.append(asyncio.create_task(keep_small(self._directory.logs, self._options.max_log_bytes, report)))
        redis_url = self._options.redis_url or await self._start_redis()
        await self._start_workers(redis_url, ports)
        await self._start_envoy(ports, max_open_files)
        loaded = await self._load_demo(ports) if self._options.demo else 0
        print_ready(f"ready http://{HOST}:{ports.http} grpc://{HOST}:{ports.grpc}")
        if self._options.demo:
            report(example_commands(ports, loaded))
        await asyncio.Event().wait()

    async def child_death(self) -> None:
        """Wait until a child ends unexpectedly.

        Raises:
            ChildDiedError: One has ended.
        """
        raise await self._deaths.get()

    async def stop(self) -> None:
        """Stop all children, within 10 seconds."""
        for task in self._tasks:
            task.cancel()
        if self._envoy and self._envoy[0].runs:
            await drain(self._admin_socket, _ENVOY_DRAIN_SECONDS)
        await _stop(self._envoy, _ENVOY_STOP_SECONDS)
        await _stop(self._workers, _WORKER_STOP_SECONDS)
        await _stop(self._redis, _REDIS_STOP_SECONDS)
        if self._file is not None and self._redis and self._redis[0].process.returncode == 0:
            self._file.record_shutdown()

    def stop_now(self) -> None:
        """End all children at once. Redis still closes its file, which is fast."""
        for child in (*self._envoy, *self._workers):
            child.kill()
        for child in self._redis:
            child.terminate()

    @property
    def _admin_socket(self) -> Path:
        return self._sockets / "envoy.sock"

    async def _start_redis(self) -> str:
        engine, socket_path = await asyncio.to_thread(find_redis), self._sockets / "redis.sock"
        command = redis_command(engine, self._directory.redis, socket_path, self._options.appendfsync)
        url = f"unix://{socket_path}"
        self._file = AppendOnlyFile(self._directory.redis, engine)
        # Reading large files takes seconds, during which a signal may come.
        may_differ = await asyncio.to_thread(self._file.prepare, report)

        async def launch() -> Child:
            child = await start_child("redis", command, self._directory.logs, keep_open=[self._directory.lock])
            self._directory.add_holder(child.process.pid)
            return child

        child = await waiting_for("redis to answer", start_redis(launch, self._file, url, report))
        self._redis.append(self._watched(child))
        self._tasks.append(asyncio.create_task(_keep_checksums(self._file)))
        if self._options.appendfsync == "everysec":
            self._tasks.append(asyncio.create_task(keep_flushed(self._directory.redis, report)))
        self._announcements.enter_context(self._directory.announced_redis(url))
        settings = Settings(redis_url=SecretStr(url), partitions=self._options.partitions)
        await repair_setup(settings, report)
        await upgrade_store(settings, report)
        await count_data(settings, report)
        if may_differ:
            self._tasks.append(asyncio.create_task(examine_data(settings, report)))
        return url

    async def _start_workers(self, redis_url: str, ports: Ports) -> None:
        for number, own_port in enumerate(ports.workers, 1):
            environment = {
                "CONVERSATIONS_REDIS_URL": redis_url,
                "CONVERSATIONS_HOST": HOST,
                "CONVERSATIONS_PORT": str(ports.grpc),
                "CONVERSATIONS_OWN_PORT": str(own_port),
                "CONVERSATIONS_PARTITIONS": str(self._options.partitions),
                # No load balancer has to notice: Envoy stops first.
                "CONVERSATIONS_DRAIN_SECONDS": "0",
                "CONVERSATIONS_GRACE_SECONDS": str(_WORKER_GRACE_SECONDS),
            }
            command = [sys.executable, "-m", "conversations", "serve"]
            child = await start_child(f"worker {number}", command, self._directory.logs, environment=environment)
            self._workers.append(self._watched(child))
        for number, own_port in enumerate(ports.workers, 1):
            worker = self._workers[number - 1]
            await waiting_for(f"{worker.name} to serve", wait_until_serving(own_port), worker)
        await waiting_for("the workers' shared port to answer", wait_until_serving(ports.grpc))

    async def _start_envoy(self, ports: Ports, max_open_files: int) -> None:
        settings = EnvoySettings(
            host=HOST,
            port=ports.http,
            workers=[Address(HOST, port) for port in ports.workers],
            admin=Address(str(self._admin_socket)),
            access_log=self._directory.logs / "access.log",
            cors_origins=self._options.cors_origins,
            cors_headers=self._options.cors_headers,
            allowed_hosts=self._options.allowed_hosts,
        )
        # The other half is for connections to workers and for files.
        settings = replace(settings, max_connections=min(settings.max_connections, max_open_files // 2))
        configuration = self._directory.write("envoy.yaml", render(settings))
        child = await start_child("envoy", envoy_command(find_envoy(), configuration), self._directory.logs)
        self._envoy.append(self._watched(child))
        await waiting_for("envoy to answer", wait_until_healthy(HOST, ports.http))

    async def _load_demo(self, ports: Ports) -> int:
        try:
            return await demo.load(f"{HOST}:{ports.grpc}")
        except grpc.aio.AioRpcError as error:
            raise StartError(f"the demo data could not be loaded: {error.details()}") from error

    def _watched(self, child: Child) -> Child:
        self._tasks.append(asyncio.create_task(self._watch(child)))
        return child

    async def _watch(self, child: Child) -> None:
        try:
            await child.watch()
        except ChildDiedError as error:
            self._deaths.put_nowait(error)


async def _keep_checksums(file: AppendOnlyFile) -> None:
    while True:
        await asyncio.sleep(_READ_SECONDS)
        # If it cannot be read, flushing reports it, and so does the end.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(file.update_checksums)


async def _stop(children: Sequence[Child], patience_seconds: float) -> None:
    await asyncio.gather(*(child.stop(patience_seconds) for child in children))
