"""PostgreSQL as the peer's database: a throw-away server, the tables, the corpus in them, and how fast it answers."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
from bench.answers import PostgresAnswer
from bench.calls import PAGE_SIZE
from bench.corpus import CHANNELS, Row
from bench.peers.inbox import channel_json, message_json
from bench.peers.statements import ListRequest, list_statement
from bench.servers import Server
from bench.shapes import Shape

from conversations.local.engines import private_directory

__all__ = ["ask", "find_programs", "load", "throwaway_postgres"]

_AT_ONCE = 20_000
_WARM_UPS, _ROUNDS = 2, 9
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


def find_programs() -> Path | None:
    """Return the folder of initdb and pg_ctl; Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    return Path(found).resolve().parent if found else next(iter(folders[::-1]), None)


@contextmanager
def throwaway_postgres() -> Iterator[Server]:
    """Run a PostgreSQL on a socket of its own, whose address is a DSN, and remove it with its data.

    Raises:
        subprocess.CalledProcessError: It does not start.
    """
    programs = find_programs()
    assert programs is not None
    with private_directory() as directory:
        data = directory / "data"
        # It does not run as root.
        account = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if account:
            shutil.chown(directory, "postgres")

        def run(program: str, *options: str) -> None:
            command = [*account, str(programs / program), "-D", str(data), *options]
            subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL, check=True)

        # Text is compared by code points, and lower case is that of each letter by itself, in all scripts.
        creation = "--username postgres --auth trust --encoding UTF8 --locale C --lc-ctype C.UTF-8 --no-sync".split()
        run("initdb", *creation)
        settings = {"listen_addresses": "", "unix_socket_directories": str(directory), **_SETTINGS}
        (data / "postgresql.auto.conf").write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        run("pg_ctl", "start", "--wait", "-l", str(directory / "postgres.log"))
        try:
            # The postmaster, the parent of all its processes.
            pid = int((data / "postmaster.pid").read_text().split()[0])
            yield Server(f"postgresql://postgres@/postgres?host={directory}", [pid])
        finally:
            # Ends at once; the data is not needed any more.
            run("pg_ctl", "stop", "--mode", "immediate")


async def load(dsn: str, rows: Iterable[Row], *, for_filters: bool = False) -> None:
    """Create tables, copy the corpus into them, create indexes: those for broad filters make writes slower."""
    connection = await asyncpg.connect(dsn, command_timeout=None)
    try:
        await connection.execute((_HERE / "tables.sql").read_text())
        channels = [(id_, channel_json(id_, source)) for id_, source in CHANNELS]
        await connection.executemany("INSERT INTO channels VALUES ($1, $2)", channels)
        remaining = iter(rows)
        while batch := list(islice(remaining, _AT_ONCE)):
            await _copy(connection, batch)
        for indexes in ("indexes.sql", "indexes_filters.sql")[: 1 + for_filters]:
            await connection.execute((_HERE / indexes).read_text())
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _copy(connection: Any, rows: list[Row]) -> None:
    messages, conversations = [], []
    for row in rows:
        sender = {"id": "sender", "name": row.name}
        message = message_json(row.message_id, row.sent_at_ms, row.from_contact, row.source, row.text, sender)
        times = row.sent_at_ms, row.sent_at_ms
        messages.append((row.message_id, row.id, row.sent_at_ms, message))
        conversations.append(
            (
                *(row.id, row.channel_id, *times, int(row.unread), row.state, row.source, row.name, row.tags, message),
                json.dumps(row.user_data, ensure_ascii=False) if row.user_data else None,
            )
        )
    names = "id channel_id created_at_ms last_message_at_ms unread_count state source name tags last_message".split()
    names.append("user_data")
    await connection.copy_records_to_table("messages", records=messages)
    await connection.copy_records_to_table("conversations", columns=names, records=conversations)


async def ask(dsn: str, shape: Shape) -> PostgresAnswer:
    """Return what a loaded database answers to a list, warm: statement, plan and data are in memory."""
    request = ListRequest.model_validate({"page_size": PAGE_SIZE, **shape.clauses})
    statement, values = list_statement(request)
    # As in the peer's pool for statements whose plans depend on their values.
    connection = await asyncpg.connect(dsn, server_settings={"plan_cache_mode": "force_custom_plan"})
    try:
        seconds, records = [], []
        for _ in range(_WARM_UPS + _ROUNDS):
            start = time.perf_counter()
            records = await connection.fetch(statement, *values)
            seconds.append(time.perf_counter() - start)
    finally:
        await connection.close()
    ids = [str(record["id"]) for record in records if record["id"] is not None]
    return PostgresAnswer(median(seconds[_WARM_UPS:]), records[0]["filtered_total"], ids[:PAGE_SIZE])
