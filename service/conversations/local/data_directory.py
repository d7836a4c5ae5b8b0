"""The folder of one `up`: Redis' files, logs, the lock against a second `up`, and the URL for other commands.

All of it is private to this user, whatever the umask.

lock        held by `up` and by the Redis it started, as long as either lives
redis.url   URL of the embedded Redis, while it runs
redis/      its append-only file
logs/       a log for each process, and Envoy's access log
envoy.yaml  Envoy's configuration
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DataDirectory", "DirectoryInUseError", "open_data_directory"]


class DirectoryInUseError(Exception):
    """Raised when another process holds the folder."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A folder that this process has locked."""

    path: Path
    lock: int
    """File descriptor that holds the lock; a child that inherits it holds it too."""

    @property
    def redis(self) -> Path:
        """Folder of Redis' files."""
        return _made(self.path / "redis")

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return _made(self.path / "logs")

    def write(self, name: str, text: str) -> Path:
        """Write a file that only this user can read, and return it."""
        file = self.path / name
        # An existing file would keep its mode.
        file.unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(text)
        return file

    def add_holder(self, pid: int) -> None:
        """Record a process that inherited the lock, to name it in the error of a second `up`."""
        os.write(self.lock, f"{pid}\n".encode())

    @contextmanager
    def announced_redis(self, url: str) -> Iterator[None]:
        """Let other commands find the embedded Redis."""
        file = self.write("redis.url", f"{url}\n")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


@contextmanager
def open_data_directory(path: Path) -> Iterator[DataDirectory]:
    """Create the folder if necessary, and hold its lock.

    Raises:
        DirectoryInUseError: A living process holds the lock.
        OSError: The folder cannot be created or written.
    """
    path = path.absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holders = " and ".join(str(pid) for pid in _living(os.read(lock, 4096))) or "unknown"
            raise DirectoryInUseError(
                f"data directory {path} is in use by process {holders}: stop it, or choose another --data-dir"
            ) from None
        os.ftruncate(lock, 0)
        directory = DataDirectory(path, lock)
        directory.add_holder(os.getpid())
        yield directory
    finally:
        os.close(lock)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    # An existing folder would keep its mode.
    folder.chmod(0o700)
    return folder


def _living(pids: bytes) -> list[int]:
    living = []
    for word in pids.split():
        with contextlib.suppress(ValueError, ProcessLookupError):
            pid = int(word)
            with contextlib.suppress(PermissionError):
                os.kill(pid, 0)
            living.append(pid)
    return living
