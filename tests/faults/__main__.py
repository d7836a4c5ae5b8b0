"""Does harm to a service of its own, and prints a table of what that did to others.

.venv/bin/python -m tests.faults               all of it, some minutes
.venv/bin/python -m tests.faults idle_streams  one fault
"""

import sys
import tempfile
import time
from pathlib import Path

import click
from tests.faults import endless, overload
from tests.faults.report import Row, line, summary
from tests.faults.running import running

FAULTS = {fault.__name__: fault for module in (endless, overload) for fault in module.FAULTS}


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(FAULTS)))
@click.option("--workers", default=1, show_default=True, help="gRPC worker processes.")
def main(names: tuple[str, ...], workers: int) -> None:
    """Run faults, each on a service of its own."""
    rows: list[Row] = []
    click.echo("| what | measured | asked | |\n| --- | --- | --- | --- |")
    for name in names or FAULTS:
        began = time.monotonic()
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder) / "data", "--workers", str(workers)) as service,
        ):
            for row in FAULTS[name](service):
                rows.append(row)
                click.echo(line(row))
        click.echo(f"{name}: {time.monotonic() - began:.0f} s", err=True)
    click.echo()
    for text in summary(rows):
        click.echo(text)
    sys.exit(not all(row.met for row in rows))


if __name__ == "__main__":
    main()
