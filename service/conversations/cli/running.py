"""Commands that run everything on one machine, or one worker; and a worker's settings."""

import logging
import os
import sys
from typing import Any

import click

from conversations.cli.options import FOLDER, PORT, check_redis_url, read_settings, web_options
from conversations.cli.program import main
from conversations.errors import ServiceError
from conversations.settings import Settings, display_value, variable
from conversations.signals import run_until_stopped

__all__: list[str] = []


@main.command()
@click.option(
    "--http-port",
    default=8080,
    show_default=True,
    type=PORT,
    help="Port of Envoy: JSON, gRPC and gRPC-Web. 0 picks a free one.",
)
@click.option(
    "--grpc-port", default=50051, show_default=True, type=PORT, help="Port that all workers share. 0 picks a free one."
)
@click.option(
    "--redis-url",
    envvar="CONVERSATIONS_REDIS_URL",
    show_envvar=True,
    callback=check_redis_url,
    help="An existing Redis with the search module; by default one is started. Pass a URL with a password in the "
    "variable: options are visible in the process list.",
)
@click.option(
    "--data-dir",
    default=".data",
    show_default=True,
    type=FOLDER,
    help="Where the started Redis keeps its data, and all processes their logs; private to this user.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="gRPC worker processes.")
@click.option(
    "--partitions",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Partitions of an empty Redis; a Redis with data keeps its number.",
)
@web_options
@click.option(
    "--appendfsync",
    default="everysec",
    show_default=True,
    type=click.Choice(["everysec", "always"]),
    help="When the started Redis flushes its append-only file: once a second, or before each answer.",
)
@click.option(
    "--max-log-bytes",
    default=16 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(4096),
    help="Size above which a log is rotated; one older file of each is kept.",
)
@click.option("--demo", is_flag=True, help="Load a small demo data set into an empty store, and print example calls.")
def up(**options: Any) -> None:
    """Run everything on this machine: Redis with RediSearch, gRPC workers, Envoy.

    Prints `ready http://... grpc://...` once all of them answer. Ctrl-C stops them gracefully, a second Ctrl-C at once.
    """
    # Workers read the same variables: an invalid one is reported here, at once.
    read_settings()
    from conversations.local.up import UpOptions
    from conversations.local.up import up as run

    sys.exit(run(UpOptions(**options)))


@main.command()
def serve() -> None:
    """Run one gRPC server, for production.

    Settings come from CONVERSATIONS_* variables; see `conversations settings`. SIGTERM stops it gracefully: it reports
    NOT_SERVING, waits, and lets running calls finish; a second SIGTERM ends it at once.
    """
    settings = read_settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # gRPC's core logs callers' bytes unescaped, line feeds too.
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
        raise click.ClickException(f"invalid settings: {variable('redis_url')}: {error.message}") from error
    for name, field in Settings.model_fields.items():
        click.echo(f"{variable(name)}={display_value(current, name)}")
        click.echo(click.wrap_text(" ".join((field.description or "").split()), 88, "    ", "    "))
        is_set, default = name in current.model_fields_set, display_value(Settings.model_construct(), name)
        click.echo(f"    From the environment; default: {default or 'none'}" if is_set else "    Default")
