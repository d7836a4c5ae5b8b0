"""Commands about Envoy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from conversations.cli.options import PORT, Command, checked, web_options
from conversations.cli.program import main

__all__: list[str] = []


def _seconds(name: str, field: str, default: float, help: str) -> Callable[[Command], Command]:
    return click.option(
        name,
        field,
        default=default,
        show_default=True,
        type=click.FloatRange(0.1),
        callback=lambda _context, _option, seconds: int(1000 * seconds),
        metavar="SECONDS",
        help=help,
    )


@main.command()
@click.option(
    "--worker",
    "workers",
    multiple=True,
    required=True,
    callback=checked("edge.names", "address"),
    metavar="HOST:PORT",
    help="A worker's own port, as 10.0.0.1:50061 or worker-1.internal:50061; names are resolved all the time, and may "
    "stand for several workers. May be repeated.",
)
@click.option(
    "--worker-count",
    type=click.IntRange(1),
    help="How many workers there are, where names stand for several: for so many is the bound of calls at a time.",
)
@click.option(
    "--host",
    default="0.0.0.0",  # noqa: S104 - it is what others are to reach
    show_default=True,
    callback=checked("edge.names", "ip"),
    help="IP address to listen on.",
)
@click.option("--port", default=8080, show_default=True, type=PORT, help="Port of JSON, gRPC and gRPC-Web.")
@web_options
@click.option(
    "--access-log",
    default="/dev/stdout",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of one JSON object a line for each call.",
)
@click.option(
    "--admin",
    callback=checked("edge.names", "admin"),
    metavar="PATH|HOST:PORT",
    help="Where Envoy's administration listens: statistics, draining before a stop. Whoever reaches it can stop Envoy. "
    "Without it there is none.",
)
@_seconds("--call-timeout", "call_ms", 15.0, "The longest that a JSON call may take, once its request is here.")
@_seconds("--health-timeout", "health_ms", 2.5, "The longest that /healthz may take.")
@_seconds("--request-timeout", "request_ms", 30.0, "The longest that a request may take to arrive.")
@_seconds("--stream-idle-timeout", "stream_idle_ms", 60.0, "The longest that neither side of a call may send anything.")
@_seconds("--connection-idle-timeout", "connection_idle_ms", 75.0, "The longest that a connection may have no call.")
@click.option(
    "--max-connections",
    default=10_000,
    show_default=True,
    type=click.IntRange(1),
    help="The most connections of clients; each takes a file descriptor.",
)
def envoy_config(**options: Any) -> None:
    """Print Envoy's configuration for production.

    It is that of `up`, as one file of YAML with scripts and protos in it: Envoy 1.40 needs nothing else.

    \b
      conversations envoy-config --worker 10.0.0.1:50061 --allow-host inbox.example.org > envoy.yaml
      envoy --config-path envoy.yaml

    Requests by a host name that is not named are refused, /healthz excepted. So that workers know the callers apart,
    Envoy's address has to be in their CONVERSATIONS_TRUSTED_PROXIES. TLS is for whatever stands in front.
    """
    from conversations.edge import EnvoySettings, render

    click.echo(render(EnvoySettings(**options)), nl=False)
