"""Commands for Envoy."""

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
    help="A worker's own port, such as 10.0.0.1:50061 or worker-1.internal:50061; names are resolved continuously, and "
    "may stand for several workers. May be repeated.",
)
@click.option(
    "--worker-count",
    type=click.IntRange(1),
    help="How many workers there are if names stand for several; the bound of concurrent calls depends on it.",
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
    help="Access log: one JSON object per line for each call.",
)
@click.option(
    "--admin",
    callback=checked("edge.names", "admin"),
    metavar="PATH|HOST:PORT",
    help="Address of Envoy's admin interface: statistics, draining before a stop. Whoever reaches it can stop Envoy. "
    "None by default.",
)
@_seconds("--call-timeout", "call_ms", 15.0, "Timeout of a JSON call, once its request has arrived.")
@_seconds("--health-timeout", "health_ms", 2.5, "Timeout of /healthz.")
@_seconds("--request-timeout", "request_ms", 30.0, "Timeout for a request to arrive.")
@_seconds("--stream-idle-timeout", "stream_idle_ms", 60.0, "Timeout of a call on which neither side sends anything.")
@_seconds("--connection-idle-timeout", "connection_idle_ms", 75.0, "Timeout of a connection without calls.")
@click.option(
    "--max-connections",
    default=10_000,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum client connections; each takes a file descriptor.",
)
def envoy_config(**options: Any) -> None:
    """Print Envoy's configuration for production.

    It is that of `up`, as one YAML file that includes scripts and protos: Envoy 1.40 needs nothing else.

    \b
      conversations envoy-config --worker 10.0.0.1:50061 --allow-host inbox.example.org > envoy.yaml
      envoy --config-path envoy.yaml

    Requests for other host names than those allowed are refused, except /healthz. For workers to tell callers apart,
    Envoy's address has to be in their CONVERSATIONS_TRUSTED_PROXIES. TLS is left to what stands in front.
    """
    from conversations.edge import EnvoySettings, render

    click.echo(render(EnvoySettings(**options)), nl=False)
