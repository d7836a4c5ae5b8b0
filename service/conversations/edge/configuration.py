"""Fills in the templates of Envoy's configuration."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from conversations.edge import local_replies
from conversations.edge.names import Address, canonical_origin, header_name, host_names
from conversations.edge.routes import (
    FOLDER,
    GrpcStream,
    RestRoute,
    descriptor_set,
    grpc_streams,
    rest_routes,
    service_names,
)

__all__ = ["EnvoySettings", "render"]

_MIB = 1024 * 1024
_BUFFER = "envoy.filters.http.buffer"

# What a page may send without being asked for a name in the settings: those that clients of JSON and gRPC-Web send.
_CORS_HEADERS = (
    *("authorization", "content-type", "grpc-timeout", "x-grpc-web"),
    *("x-request-id", "x-requested-with", "x-user-agent"),
)
_UNBUFFERED = {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
    "disabled": True,
}
_ON = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
_OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
_OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
# Silent as long as there is nothing to say.
_STREAM_TARGET = {"cluster": "workers-streams", "timeout": "0s", "idle_timeout": "0s"}
_INGEST = "conversations.v1.IngestService.IngestJson"
_HEALTH = "conversations.v1.HealthService.GetHealth"


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """What differs from one Envoy to the next."""

    port: int
    """Port of REST and gRPC."""
    workers: Sequence[Address]
    """The workers: of each a port that no other shares."""
    worker_count: int | None = None
    """How many workers there are, where a name stands for several; None where each address is one."""
    admin: Address | None = None
    """Where Envoy's administration listens; None for nowhere."""
    access_log: Path = Path("/dev/stdout")
    cors_origins: Sequence[str] = ()
    """Origins whose pages may call, as `https://inbox.example.org`; `*` is every origin, without credentials."""
    cors_headers: Sequence[str] = ()
    """Names of request headers that these pages may send beside the usual ones, as `x-tenant`."""
    allowed_hosts: Sequence[str] = ()
    """Names of this service beside those of this machine, without a port, as `inbox.example.org`."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    max_request_bytes: int = 256 * 1024
    """The largest body of a request, JSON or gRPC, save one of events: that goes to a worker as it comes."""
    call_ms: int = 15_000
    """The longest that a REST call may take, once its request is here. A gRPC client sets its own deadline."""
    health_ms: int = 2_500
    """The longest that `/healthz` may take, all workers that are tried included."""
    request_ms: int = 30_000
    """The longest that a request may take to arrive."""
    stream_idle_ms: int = 60_000
    """The longest that a call may stand still, neither side sending anything."""
    connection_idle_ms: int = 75_000
    """The longest that a connection may have no call."""
    max_connections: int = 10_000
    """The most connections of clients; each takes a file descriptor."""
    max_heap_bytes: int = 512 * _MIB
    """About the most memory of Envoy; near to it, it resets the calls that hold most of it."""
    calls_per_worker: int = 1_200
    """The most calls at a time for each worker, of REST, and as many of gRPC. A worker refuses before, and fairly."""
    streams_per_worker: int = 1_000
    """The most streams at a time for each worker."""
    health_calls: int = 200
    """The most health checks at a time."""


def render(settings: EnvoySettings) -> str:
    """Return Envoy's configuration as YAML.

    Raises:
        ValueError: An origin, the name of a header or of a host is none.
    """
    routes = rest_routes()
    values = {
        "admin": {} if settings.admin is None else {"address": _envoy_address(settings.admin)},
        "host": settings.host,
        "port": settings.port,
        "access_log": str(settings.access_log),
        "local_replies": local_replies.mappers(),
        "other_local_reply": local_replies.other_body(),
        "hosts": host_names(settings.allowed_hosts),
        "cors_origins": [canonical_origin(origin) for origin in settings.cors_origins],
        "cors_headers": ", ".join(dict.fromkeys([*_CORS_HEADERS, *map(header_name, settings.cors_headers)])),
        "max_request_bytes": settings.max_request_bytes,
        "max_heap_bytes": settings.max_heap_bytes,
        "max_connections": settings.max_connections,
        "request_timeout": _seconds(settings.request_ms),
        "stream_idle": _seconds(settings.stream_idle_ms),
        "connection_idle": _seconds(settings.connection_idle_ms),
        **{
            name.replace("-", "_").strip(":"): _header_input(name)
            for name in (":method", ":path", "content-type", "origin", "x-request-id")
        },
        "attributes": _ATTRIBUTES,
        "large_headers": _LARGE_HEADERS,
        # In whole, so that nothing but the one file has to be where Envoy runs.
        **{f"{name}_lua": (FOLDER / f"{name}.lua").read_text() for name in ("pages", "requests", "rest", "grpc")},
        "descriptors": base64.b64encode(descriptor_set()).decode(),
        "services": service_names(),
    }
    blocks = {
        "rest_routes": _filled("route.yaml", (_rest_values(route, settings) for route in routes)),
        "health_routes": _filled(
            "route.yaml", (_rest_values(route, settings) for route in routes if route.method == _HEALTH)
        ),
        "streams": _filled("stream.yaml", _streams()),
        "clusters": _filled("cluster.yaml", _clusters(settings)),
    }
    text = (FOLDER / "envoy.yaml").read_text()
    for name, block in blocks.items():
        text = _with_block(text, name, block)
    return _substituted(text, values)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000}s"


def _filled(template: str, rows: Iterator[dict[str, Any]]) -> str:
    """Return the entries that a template makes of rows of values, without its comments."""
    text = re.sub(r"(?m)^ *#.*\n", "", (FOLDER / template).read_text())
    return "".join(_substituted(text, row) for row in rows)


def _substituted(text: str, values: dict[str, Any]) -> str:
    # JSON is YAML, and quotes what YAML would read otherwise.
    return Template(text).substitute({name: json.dumps(value) for name, value in values.items()})


def _with_block(text: str, placeholder: str, block: str) -> str:
    """Put a block of YAML in the place of a line, as deep as it stands."""
    line = next(line for line in text.splitlines() if line.strip() == f"${placeholder}")
    indent = line[: -len(placeholder) - 1]
    lines = "\n".join(indent + part for part in block.replace("$", "$$").splitlines())
    return text.replace(line, lines)


def _header_input(name: str) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return {"name": name, "typed_config": {"@type": kind, "header_name": name}}


def _rest_values(route: RestRoute, settings: EnvoySettings) -> dict[str, Any]:
    health, ingest = route.method == _HEALTH, route.method == _INGEST
    wait_ms = settings.health_ms if health else settings.call_ms
    filters = {_BUFFER: _UNBUFFERED} if ingest else {}
    # For a worker time begins with the first byte of a request that it gets as it comes. It gives up just before Envoy
    # does, and can say so.
    deadline_ms = wait_ms - min(500, wait_ms // 10) + (settings.request_ms if ingest else 0)
    timeout = {"header": {"key": "grpc-timeout", "value": f"{deadline_ms}m"}, "append_action": _OVERWRITE}
    if route.streams:
        target = _STREAM_TARGET
    else:
        target = _health_target(settings) if health else {"cluster": "workers", "timeout": _seconds(wait_ms)}
    return {
        "name": route.path.removeprefix("/"),
        "path": route.path,
        "method": route.verb,
        "other_method": f"this path takes {route.verb} only",
        "rest": {"success_status": str(route.success_status)}
        | ({} if route.fields is None else {"fields": route.fields}),
        "headers": [] if route.streams else [timeout],
        "filters": filters,
        "compressing_filters": {**filters, "brotli": _ON, "gzip": _ON},
        "retry_bytes": settings.max_request_bytes,
        "route": target,
    }


def _health_target(settings: EnvoySettings) -> dict[str, Any]:
    return {
        "cluster": "workers-health",
        # The name that a load balancer asks by can be anything.
        "host_rewrite_literal": "localhost",
        "timeout": _seconds(settings.health_ms),
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset,unavailable",
            # One worker that hangs leaves time for two others.
            "per_try_timeout": _seconds(settings.health_ms // 3),
            "num_retries": 4,
            "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.05s"},
            "host_selection_retry_max_attempts": 16,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": "type.googleapis.com/"
                        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
        },
    }


def _streams() -> Iterator[dict[str, Any]]:
    grpc = {"json-headers": _OFF, "rest": _OFF, "grpc": _ON}
    for name, stream in (
        ("health-watch", GrpcStream("/grpc.health.v1.Health/Watch", is_dialogue=False)),
        *(("grpc-stream", stream) for stream in grpc_streams()),
    ):
        # The requests of a dialogue cannot be held back until their end.
        filters = grpc | ({_BUFFER: _UNBUFFERED} if stream.is_dialogue else {})
        yield {"name": name, "path": stream.path, "filters": filters, "route": _STREAM_TARGET}


def _clusters(settings: EnvoySettings) -> Iterator[dict[str, Any]]:
    workers = [{"endpoint": {"address": _envoy_address(worker)}} for worker in settings.workers]
    count = settings.worker_count or len(workers)
    calls, streams = settings.calls_per_worker * count, settings.streams_per_worker * count
    health = settings.health_calls
    for name, thresholds in (
        ("workers", [_threshold(calls)]),
        ("workers-grpc", [_threshold(calls), _threshold(health, "HIGH")]),
        ("workers-streams", [_threshold(streams)]),
        ("workers-health", [_threshold(health)]),
    ):
        yield {
            "name": name,
            "discovery": "STRICT_DNS" if any(worker.is_name for worker in settings.workers) else "STATIC",
            "workers": workers,
            # Health is asked of whatever worker lives: one that cannot serve says why.
            "health_checks": [] if name == "workers-health" else [_HEALTH_CHECK],
            "thresholds": thresholds,
        }


def _envoy_address(address: Address) -> dict[str, Any]:
    if address.port == 0:
        return {"pipe": {"path": address.host, "mode": 0o600}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


_HEALTH_CHECK = {
    "timeout": "2s",
    "interval": "1s",
    # The default is a minute for a cluster that had no call yet.
    "no_traffic_interval": "1s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
    "grpc_health_check": {"service_name": ""},
}


def _threshold(calls: int, priority: str = "DEFAULT") -> dict[str, Any]:
    return {
        "priority": priority,
        "max_connections": calls,
        "max_pending_requests": calls,
        "max_requests": calls,
        # The default of 3 retries at a time loses calls when one worker of several restarts.
        "max_retries": 200,
    }


_ATTRIBUTES = {
    "name": "attributes",
    "typed_config": {"@type": "type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput"},
}


def _more_than(operand: dict[str, Any], limit: int) -> dict[str, Any]:
    return {"call_expr": {"function": "_>_", "args": [operand, {"const_expr": {"int64_value": limit}}]}}


def _of_request(field: str) -> dict[str, Any]:
    return {"select_expr": {"operand": {"ident_expr": {"name": "request"}}, "field": field}}


_EXPRESSION = {
    "call_expr": {
        "function": "_||_",
        "args": [
            _more_than(_of_request("total_size"), 60 * 1024),
            _more_than({"call_expr": {"function": "size", "args": [_of_request("headers")]}}, 100),
        ],
    }
}
_LARGE_HEADERS = {
    "name": "large headers",
    "typed_config": {
        "@type": "type.googleapis.com/xds.type.matcher.v3.CelMatcher",
        # request.total_size > 61440 || size(request.headers) > 100. Envoy takes no text here.
        "expr_match": {"cel_expr_parsed": {"expr": _EXPRESSION}},
    },
}
