"""PostgreSQL as a peer's database: a throw-away server, the schema, and the corpus in it."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
from bench.corpus import CHANNELS, Row
from bench.peers.documents import channel_json, row_message_json
from bench.processes import stop

from conversations.local.engines import private_directory

__all__ = ["Postgres", "PostgresError", "load", "throwaway_postgres"]

_START_SECONDS = 30.0
_AT_ONCE = 20_000
_HERE = Path(__file__).parent

# fsync and synchronous_commit stay on, as they are by default: a change that was answered is on the disk.
_SETTINGS = {
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "512MB",
    "random_page_cost": "1.1",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # Many short queries at a time: what would speed up a single long one costs them.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}


class PostgresError(Exception):
    """Raised when PostgreSQL is not there or does not start; says what was tried."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL."""

    dsn: str
    pid: int
    """Of the postmaster, the parent of all its processes."""
    version: str


@contextmanager
def throwaway_postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL on a socket of its own, and remove it with its data.

    Raises:
        PostgresError: It is not installed, or does not start.
    """
    programs = _find_programs()
    with private_directory() as directory:
        account = _account(directory)
        data, log = directory / "data", directory / "postgres.log"
        options = "--username postgres --auth trust --encoding UTF8 --no-locale --no-sync".split()
        _run([str(programs / "initdb"), "--pgdata", str(data), *options], directory, account)
        settings = {"listen_addresses": "", "unix_socket_directories": str(directory), **_SETTINGS}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            # A session of its own: Ctrl-C in a terminal is for the one who started it.
            process = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(data), *arguments],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **account,
            )
        try:
            _wait_until_ready(process, data / "postmaster.pid", log)
            version = _run([str(programs / "postgres"), "--version"], directory, account)
            yield Postgres(f"postgresql://postgres@/postgres?host={directory}", process.pid, version.split()[2])
        finally:
            # Ends at once, and its children with it; the data is not needed any more.
            stop(process, signal.SIGQUIT)


def _find_programs() -> Path:
    """Return the folder of initdb and postgres; Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    folders = [Path(found).resolve().parent] if found else []
    for folder in folders + versions[::-1]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresError("PostgreSQL is not installed: there is no initdb on the PATH or in /usr/lib/postgresql")


def _account(directory: Path) -> dict[str, Any]:
    """Return what makes a child run under an account that PostgreSQL accepts, and give the folder to it."""
    if os.getuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = known.get("postgres") or known.get("nobody")
    if account is None:
        raise PostgresError("PostgreSQL does not run as root, and there is no account postgres or nobody")
    os.chown(directory, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _run(command: list[str], directory: Path, account: dict[str, Any]) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, **account
    )
    if done.returncode != 0:
        raise PostgresError(f"{command[0]} ends with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _wait_until_ready(process: "subprocess.Popen[bytes]", status: Path, log: Path) -> None:
    """Wait until the last line of the postmaster's file says that it accepts connections."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PostgresError(f"postgres ends with status {process.returncode}: {log.read_text().strip()}")
        if status.exists() and status.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.02)
    raise PostgresError(f"postgres is not ready within {_START_SECONDS:.0f} seconds")


async def load(dsn: str, rows: Iterable[Row]) -> None:
    """Create tables, copy the corpus into them, create indexes."""
    connection = await asyncpg.connect(dsn, command_timeout=None)
    try:
        await connection.execute((_HERE / "schema.sql").read_text())
        await connection.executemany(
            "INSERT INTO channels VALUES ($1, $2)", [(id_, channel_json(id_, source)) for id_, source in CHANNELS]
        )
        remaining = iter(rows)
        while batch := list(islice(remaining, _AT_ONCE)):
            await _copy(connection, batch)
        await connection.execute((_HERE / "indexes.sql").read_text())
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _copy(connection: Any, rows: list[Row]) -> None:
    messages = [row_message_json(row) for row in rows]
    await connection.copy_records_to_table(
        "messages",
        columns="id conversation_id sent_at_ms document".split(),
        records=[
            (row.message_id, row.id, row.sent_at_ms, message) for row, message in zip(rows, messages, strict=True)
        ],
    )
    await connection.copy_records_to_table(
        "conversations",
        columns="id channel_id source created_at_ms last_message_at_ms".split()
        + "unread_count state name tags last_message".split(),
        records=[
            (
                *(row.id, row.channel_id, row.source, row.sent_at_ms, row.sent_at_ms),
                *(int(row.unread), row.state, row.name, row.tags, message),
            )
            for row, message in zip(rows, messages, strict=True)
        ],
    )
