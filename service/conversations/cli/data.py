"""Commands for the data in Redis: import, export, index, repair."""

import logging
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from conversations.cli.options import checked, data_dir, redis_settings, redis_url
from conversations.cli.program import main
from conversations.errors import ServiceError, StoreUnavailableError
from conversations.output import discard_output
from conversations.settings import Settings
from conversations.signals import run_until_stopped

__all__: list[str] = []


@main.command("import")
@click.argument("file", metavar="FILE")
@click.option(
    "--target",
    default="127.0.0.1:50051",
    show_default=True,
    callback=checked("importer", "read_target"),
    help="gRPC address of a running server, as in its ready line.",
)
def import_(file: str, target: str) -> None:
    """Send the event log FILE to a running server; `-` is standard input.

    An event log is JSON lines. Bad lines are reported by number and the rest is imported; the exit code is then 1. It
    is safe to import a log again.
    """
    from conversations.importer import run_import

    sys.exit(run_import(file, target))


@main.command()
@redis_url
@data_dir
@click.option(
    "--output",
    "-o",
    type=click.File("w", "utf-8", lazy=True),
    default="-",
    show_default="standard output",
    help="File to write.",
)
def export(redis_url: str | None, data_dir: Path, output: Any) -> None:
    """Write everything as an event log that `import` restores.

    Damaged records are reported and the rest is exported; the exit code is then 1.
    """
    _run(_export(redis_settings(redis_url, data_dir), output))


async def _export(settings: Settings, output: Any) -> None:
    from conversations.store import open_store

    left_out = 0

    def leave_out(kind: str, id: str) -> None:
        nonlocal left_out
        left_out += 1
        click.echo(f"left out because it is damaged: {kind} {ascii(id)[1:-1]}", err=True)

    store = await open_store(settings)
    try:
        count = await store.export.count()
        # The file is created even if there is no data; but only after Redis has answered, as it may be an older export.
        _write(output, [])
        with _progress(count, "exporting") as bar:
            async for conversations, lines in store.export.batches(leave_out):
                _write(output, lines)
                bar.update(conversations)
    finally:
        await store.close()
    if left_out:
        click.echo(f"records left out: {left_out}; see `conversations doctor`", err=True)
        sys.exit(1)


def _write(output: Any, lines: Sequence[str]) -> None:
    try:
        output.writelines(f"{line}\n" for line in lines)
        # Write errors are reported here, and not when the program exits.
        output.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        name = output.name
        if name in ("-", "<stdout>"):
            name = "standard output"
        else:
            # Otherwise click tries again to write the rest, and fails with another message.
            with suppress(OSError):
                output.close()
        raise click.ClickException(f"cannot write {name}: {error.strerror}; the export is incomplete") from error


@main.command()
@redis_url
@data_dir
def reindex(redis_url: str | None, data_dir: Path) -> None:
    """Build a fresh index beside the live one and swap it in, while the service runs."""
    _run(_reindex(redis_settings(redis_url, data_dir)))
    click.echo("the new index is live")


async def _reindex(settings: Settings) -> None:
    from conversations.store import open_store

    store = await open_store(settings, any_schema=True)
    try:
        with _progress(1000, "indexing") as bar:
            async for part in store.rebuild_index():
                bar.update(int(1000 * part) - bar.pos)
    finally:
        await store.close()


@main.command()
@redis_url
@data_dir
@click.option("--repair", is_flag=True, help="Repair what is wrong; set aside and name what cannot be repaired.")
@click.option("--verbose", is_flag=True, help="List everything that is wrong, not only a few of each kind.")
def doctor(redis_url: str | None, data_dir: Path, repair: bool, verbose: bool) -> None:
    """Compare everything in Redis with what it is derived from, and report what is wrong.

    It works while the service runs. The exit code is 0 if all is well, or is after --repair, and 1 otherwise. What is
    set aside stays in Redis, under keys that begin with `damaged:`.
    """
    _run(_doctor(redis_settings(redis_url, data_dir), repair=repair, verbose=verbose))


async def _doctor(settings: Settings, *, repair: bool, verbose: bool) -> None:
    from conversations.store.doctor import Doctor, Findings

    doctor = await Doctor.open(settings)
    repaired, left = Findings(), Findings()
    try:
        with _progress(await doctor.key_count(), "examining") as bar:
            if repair:
                repaired, left = await doctor.repair(bar.update)
            else:
                left = await doctor.examine(advance=bar.update)
    finally:
        await doctor.close()
    for sentence in repaired.sentences(repaired=True, verbose=verbose):
        click.echo(f"repaired: {sentence}")
    for sentence in left.sentences(verbose=verbose):
        click.echo(sentence)
    if left:
        if not repair:
            click.echo("`conversations doctor --repair` repairs what can be repaired")
        sys.exit(1)
    click.echo("everything is as it should be now" if repaired else "everything is as it should be")


def _progress(length: int, label: str) -> Any:
    """Return a progress bar, which is shown on a terminal only."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def _run(task: Coroutine[Any, Any, None]) -> None:
    """Run a task; a ServiceError ends the command with one sentence."""
    # If the store is unavailable, the command itself says so.
    logging.getLogger("conversations.store.redis_errors").setLevel(logging.ERROR)
    try:
        run_until_stopped(task)
    except StoreUnavailableError as error:
        from conversations.store.outages import explain_outage

        raise click.ClickException(explain_outage(error)) from error
    except ServiceError as error:
        raise click.ClickException(error.message) from error
