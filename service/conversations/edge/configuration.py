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

# Headers that pages may always send: those of JSON and gRPC-Web clients.
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
# A stream is silent while there is nothing to send.
_STREAM_TARGET = {"cluster": "workers-streams", "timeout": "0s", "idle_timeout": "0s"}
_INGEST = "conversations.v1.IngestService.IngestJson"
_HEALTH = "conversations.v1.HealthService.GetHealth"


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """Settings of one Envoy."""

    port: int
    """Port of REST and gRPC."""
    workers: Sequence[Address]
    """The workers, each by its own port."""
    worker_count: int | None = None
    """How many workers there are, if names stand for several; None if each address is one."""
    admin: Address | None = None
    """Address of Envoy's admin interface; None for none."""
    access_log: Path = Path("/dev/stdout")
    cors_origins: Sequence[str] = ()
    """Origins whose pages may call, such as `https://inbox.example.org`; `*` is every origin, without credentials."""
    cors_headers: Sequence[str] = ()
    """Request headers that these pages may send besides the usual ones, such as `x-tenant`."""
    allowed_hosts: Sequence[str] = ()
    """Host names of this service besides those of this machine, without a port, such as `inbox.example.org`."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    max_request_bytes: int = 256 * 1024
    """Maximum body of a request, JSON or gRPC, except requests with events, which are streamed to a worker."""
    call_ms: int = 15_000
    """Timeout of a REST call, once its request has arrived. A gRPC client sets its own deadline."""
    health_ms: int = 2_500
    """Timeout of `/healthz`, including all workers that are tried."""
    request_ms: int = 30_000
    """Timeout for a request to arrive."""
    stream_idle_ms: int = 60_000
    """Timeout of a call on which neither side sends anything."""
    connection_idle_ms: int = 75_000
    """Timeout of a connection without calls."""
    max_connections: int = 10_000
    """Maximum client connections; each takes a file descriptor."""
    max_heap_bytes: int = 512 * _MIB
    """Approximate maximum memory of Envoy; close to it, Envoy resets the calls that hold most."""
    calls_per_worker: int = 1_200
    """Maximum concurrent REST calls per worker, and as many gRPC calls. A worker refuses earlier, and fairly."""
    streams_per_worker: int = 1_000
    """Maximum concurrent streams per worker."""
    health_calls: int = 200
    """Maximum concurrent health checks."""


def render(settings: EnvoySettings) -> str:
    """Return Envoy's configuration as YAML.

    Raises:
        ValueError: An origin, a header name or a host name is invalid.
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
        # Embedded, so that Envoy needs this one file only.
        **{f"{name}_lua": (FOLDER / f"{name}.lua").read_text() for name in ("pages", "requests", "rest", "grpc")},
        "descriptors": base64.b64encode(descriptor_set()).decode(),
        "services": service_names(),
    }
    blocks = {
        "rest_routes": _render_rows("route.yaml", (_rest_values(route, settings) for route in routes)),
        "health_routes": _render_rows(
            "route.yaml", (_rest_values(route, settings) for route in routes if route.method == _HEALTH)
        ),
        "streams": _render_rows("stream.yaml", _streams()),
        "clusters": _render_rows("cluster.yaml", _clusters(settings)),
    }
    text = (FOLDER / "envoy.yaml").read_text()
    for name, block in blocks.items():
        text = _insert_block(text, name, block)
    return _substitute(text, values)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000}s"


def _render_rows(template: str, rows: Iterator[dict[str, Any]]) -> str:
    """Return a template filled in for each row of values, without its comments."""
    text = re.sub(r"(?m)^ *#.*\n", "", (FOLDER / template).read_text())
    return "".join(_substitute(text, row) for row in rows)


def _substitute(text: str, values: dict[str, Any]) -> str:
    # JSON is valid YAML, and quotes what YAML would misread.
    return Template(text).substitute({name: json.dumps(value) for name, value in values.items()})


def _insert_block(text: str, placeholder: str, block: str) -> str:
    """Replace a placeholder line by a block of YAML, with the same indentation."""
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
    # A worker's clock for a streamed request starts at the first byte. It gives up just before Envoy does, so that it
    # can say why.
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
        # A load balancer may use any host name.
        "host_rewrite_literal": "localhost",
        "timeout": _seconds(settings.health_ms),
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset,unavailable",
            # If one worker hangs, there is time for two others.
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
        ("health-watch", GrpcStream("/grpc.health.v1.Health/Watch", is_bidirectional=False)),
        *(("grpc-stream", stream) for stream in grpc_streams()),
    ):
        # The requests of a bidirectional stream cannot be buffered until their end.
        filters = grpc | ({_BUFFER: _UNBUFFERED} if stream.is_bidirectional else {})
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
            # Health is asked of any live worker: one that cannot serve says why.
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
    # The default is a minute for a cluster without calls so far.
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
        # The default of 3 concurrent retries loses calls when one of several workers restarts.
        "max_retries": 200,
    }


_ATTRIBUTES = {
    "name": "attributes",
    "typed_config": {"@type": "type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput"},
}


def _greater_than(operand: dict[str, Any], limit: int) -> dict[str, Any]:
    return {"call_expr": {"function": "_>_", "args": [operand, {"const_expr": {"int64_value": limit}}]}}


def _request_attribute(field: str) -> dict[str, Any]:
    return {"select_expr": {"operand": {"ident_expr": {"name": "request"}}, "field": field}}


_EXPRESSION = {
    "call_expr": {
        "function": "_||_",
        "args": [
            _greater_than(_request_attribute("total_size"), 60 * 1024),
            _greater_than({"call_expr": {"function": "size", "args": [_request_attribute("headers")]}}, 100),
        ],
    }
}
_LARGE_HEADERS = {
    "name": "large headers",
    "typed_config": {
        "@type": "type.googleapis.com/xds.type.matcher.v3.CelMatcher",
        # request.total_size > 61440 || size(request.headers) > 100. Envoy does not accept it as text.
        "expr_match": {"cel_expr_parsed": {"expr": _EXPRESSION}},
    },
}
