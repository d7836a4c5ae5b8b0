"""Injects faults into its own services, and prints a table of how other callers fared.

.venv/bin/python -m tests.faults               all of it, some minutes
.venv/bin/python -m tests.faults idle_streams  one fault
"""

import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from tests.faults import damage, endless, headers, malformed, overload, pages, storage
from tests.faults.report import Row, line, summary
from tests.faults.running import Fault, running


def _on_a_service(fault: Fault) -> Callable[[Path, int], Iterator[Row]]:
    def run(folder: Path, workers: int) -> Iterator[Row]:
        with running(folder / "data", "--workers", str(workers)) as service:
            yield from fault(service)

    return run


def _on_its_own(fault: Callable[[Path], Iterator[Row]]) -> Callable[[Path, int], Iterator[Row]]:
    return lambda folder, _: fault(folder)


ROOMS = (
    headers,
    pages,
    endless,
    overload,
    storage,
    damage,
    malformed,
)
# A fault takes a running service; those that start their own take a folder.
FAULTS = {
    **{fault.__name__: _on_a_service(fault) for room in ROOMS for fault in room.FAULTS},
    **{fault.__name__: _on_its_own(fault) for room in (storage, damage) for fault in room.STARTS},
}


def _rows(name: str, folder: Path, workers: int) -> Iterator[Row]:
    try:
        yield from FAULTS[name](folder, workers)
    except Exception as error:
        # The others are measured all the same.
        traceback.print_exc()
        yield Row(name, f"ended by {error!r}"[:200], "an end of its own", False)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(FAULTS)))
@click.option("--workers", default=1, show_default=True, help="gRPC worker processes.")
def main(names: tuple[str, ...], workers: int) -> None:
    """Run faults, each on its own service."""
    rows: list[Row] = []
    started = time.monotonic()
    click.echo("| what | measured | asked | |\n| --- | --- | --- | --- |")
    for name in names or FAULTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for row in _rows(name, Path(folder), workers):
                rows.append(row)
                click.echo(line(row))
        click.echo(f"{name}: {time.monotonic() - began:.0f} s", err=True)
    click.echo(f"\nall of it: {time.monotonic() - started:.0f} s")
    for text in summary(rows):
        click.echo(text)
    sys.exit(not all(row.met for row in rows))


if __name__ == "__main__":
    main()
