"""Commands that run something: everything on one machine, or one worker; and what a worker is told."""

import logging
import os
import sys
from typing import Any

import click

from conversations.cli.options import FOLDER, PORT, read_settings, readable_url, web_options
from conversations.cli.program import main
from conversations.errors import ServiceError
from conversations.settings import Settings, shown, variable
from conversations.signals import run_until_stopped

__all__: list[str] = []


@main.command()
@click.option(
    "--http-port",
    default=8080,
    show_default=True,
    type=PORT,
    help="Port of Envoy: JSON, gRPC and gRPC-Web. 0: any free.",
)
@click.option(
    "--grpc-port", default=50051, show_default=True, type=PORT, help="Port that all workers share. 0: any free."
)
@click.option(
    "--redis-url",
    envvar="CONVERSATIONS_REDIS_URL",
    show_envvar=True,
    callback=readable_url,
    help="An existing Redis with the search module; without it one is started. Give a URL with a password in the "
    "variable: options stand in the list of processes.",
)
@click.option(
    "--data-dir",
    default=".data",
    show_default=True,
    type=FOLDER,
    help="Where the started Redis keeps its data, and all their logs; for this user alone.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="gRPC worker processes.")
@click.option(
    "--partitions",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Partitions of an empty Redis; one with data keeps its own.",
)
@web_options
@click.option(
    "--appendfsync",
    default="everysec",
    show_default=True,
    type=click.Choice(["everysec", "always"]),
    help="When the started Redis flushes its log to the disk: once a second, or before each answer.",
)
@click.option(
    "--max-log-bytes",
    default=16 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(4096),
    help="Size above which a log is rotated; one older file of each is kept.",
)
@click.option("--demo", is_flag=True, help="Load a small demo data set into an empty store, and print how to ask it.")
def up(**options: Any) -> None:
    """Run everything on this machine: Redis with RediSearch, gRPC workers, Envoy.

    Prints `ready http://... grpc://...` once all of them answer. Ctrl-C stops what was started, a second one at once.
    """
    # Workers read the same variables: what is wrong with one is said here, and at once.
    read_settings()
    from conversations.local.up import UpOptions
    from conversations.local.up import up as run

    sys.exit(run(UpOptions(**options)))


@main.command()
def serve() -> None:
    """Run one gRPC server, for production.

    Settings come from CONVERSATIONS_* variables; see `conversations settings`. SIGTERM stops it gracefully: it says
    NOT_SERVING, waits, and lets running calls finish; a second one ends it at once.
    """
    settings = read_settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # gRPC's core logs bytes of callers as they came, line feeds too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from conversations.server import serve as run

    try:
        run_until_stopped(run(settings))
    except ServiceError as error:
        raise click.ClickException(error.message) from error


@main.command()
def settings() -> None:
    """Print the settings of `serve`: variable, value, meaning, and where the value comes from.

    What `serve` would refuse is refused here too; exit code 1. Passwords are shown as `***`.
    """
    from conversations.store.redis_url import open_redis

    current = read_settings()
    try:
        open_redis(current.redis_url.get_secret_value(), 1, 1)
    except ServiceError as error:
        raise click.ClickException(f"settings are wrong: {variable('redis_url')}: {error.message}") from error
    for name, field in Settings.model_fields.items():
        click.echo(f"{variable(name)}={shown(current, name)}")
        click.echo(click.wrap_text(" ".join((field.description or "").split()), 88, "    ", "    "))
        is_set, default = name in current.model_fields_set, shown(Settings.model_construct(), name)
        click.echo(f"    From the environment; default: {default or 'none'}" if is_set else "    Default")
