"""Makes Envoy's configuration: the template, the protos' HTTP bindings, and the table of Envoy's own errors."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from google.api.annotations_pb2 import http as http_option
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

__all__ = ["MAX_REQUEST_BYTES", "EnvoySettings", "RestRoute", "render", "rest_routes"]

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""The largest body of a REST request, in bytes."""

_FOLDER = Path(__file__).resolve().parents[3] / "envoy"

_DESCRIPTORS = _FOLDER / "conversations.binpb"
_PACKAGE = "conversations.v1"
_DOMAIN = "conversations.v1"

# What Envoy itself refuses, by HTTP status: gRPC code, reason, message. It takes the place of nothing that the
# service says; `interceptors` holds the service's own table. None: Envoy's own text, which says what is malformed.
_LOCAL_REPLIES: dict[int, tuple[int, str, str | None]] = {
    400: (3, "MALFORMED_REQUEST", None),
    404: (12, "UNKNOWN_METHOD", "there is no such path or method"),
    405: (12, "UNKNOWN_METHOD", None),
    408: (4, "OUT_OF_TIME", "the request did not arrive in time"),
    413: (8, "REQUEST_TOO_LARGE", "the request is too large"),
    426: (3, "MALFORMED_REQUEST", "HTTP/1.1 or HTTP/2 is needed"),
    431: (8, "REQUEST_TOO_LARGE", "the headers are too large"),
    503: (14, "NO_SERVER", "no server takes calls now; try again"),
    504: (4, "OUT_OF_TIME", "the call ran out of time"),
}
_OTHER_LOCAL_REPLY = (13, "INTERNAL_ERROR", "internal error")
_RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """What differs from one Envoy to the next."""

    port: int
    """Port of REST and gRPC."""
    worker_ports: Sequence[int]
    """Ports of the workers on this machine, one each."""
    admin_socket: Path
    access_log: Path
    cors_origins: Sequence[str] = ()
    """Origins whose pages may call, as `https://inbox.example.org`; `*` is every origin."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    """The largest body of a REST request."""
    call_ms: int = 15_000
    """The longest that a REST call may take. A gRPC client sets its own deadline."""


@dataclass(frozen=True, slots=True)
class RestRoute:
    """One path for POST."""

    path: str
    method: str
    """Full name of the gRPC method."""
    success_status: int
    """204 where the method answers nothing, 201 where it creates, otherwise 200."""


def rest_routes() -> list[RestRoute]:
    """Return a route for each HTTP binding in the protos, aliases too.

    Raises:
        ValueError: A binding is not POST with the whole message as body.
    """
    return [
        RestRoute(path, f"{service}.{method.name}", _success_status(method))
        for service, methods in _services().items()
        for method in methods
        for path in _paths(method)
    ]


def render(settings: EnvoySettings) -> str:
    """Return Envoy's configuration as YAML."""
    values = {
        "admin_socket": str(settings.admin_socket),
        "host": settings.host,
        "port": settings.port,
        "access_log": str(settings.access_log),
        "local_replies": list(_mappers()),
        "other_local_reply": _json_error(*_OTHER_LOCAL_REPLY),
        "cors_origins": [_origin_matcher(origin) for origin in settings.cors_origins],
        "max_request_bytes": settings.max_request_bytes,
        "lua": str(_FOLDER / "rest.lua"),
        "descriptors": str(_DESCRIPTORS),
        "services": list(_services()),
        "workers": [_endpoint(port) for port in settings.worker_ports],
    }
    route = Template((_FOLDER / "route.yaml").read_text())
    routes = "".join(route.substitute(_route_values(rest_route, settings.call_ms)) for rest_route in rest_routes())
    template = _indented((_FOLDER / "envoy.yaml").read_text(), "rest_routes", routes)
    # JSON is YAML, and quotes what YAML would read otherwise.
    return template.substitute({name: json.dumps(value) for name, value in values.items()})


def _services() -> dict[str, list[MethodDescriptorProto]]:
    """Return the methods of each service, by its full name, as in the file that Envoy reads them from."""
    files = FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes()).file
    return {
        f"{_PACKAGE}.{service.name}": list(service.method)
        for file in files
        if file.package == _PACKAGE
        for service in file.service
    }


def _paths(method: MethodDescriptorProto) -> Iterator[str]:
    if not method.options.HasExtension(http_option):
        return
    rule = method.options.Extensions[http_option]
    for binding in (rule, *rule.additional_bindings):
        if binding.WhichOneof("pattern") != "post" or binding.body != "*" or "{" in binding.post:
            raise ValueError(f"{method.name}: only POST with body '*' and a fixed path has a route")
        yield binding.post


def _success_status(method: MethodDescriptorProto) -> int:
    if method.output_type == ".google.protobuf.Empty":
        return 204
    return 201 if method.name.startswith("Create") else 200


def _route_values(route: RestRoute, call_ms: int) -> dict[str, str]:
    return {
        "name": json.dumps(route.path.removeprefix("/")),
        "path": json.dumps(route.path),
        "success_status": str(route.success_status),
        "timeout": f"{call_ms / 1000}s",
        # The server gives up just before Envoy does, and can say so.
        "deadline": f"{call_ms - min(500, call_ms // 10)}m",
    }


def _indented(template: str, placeholder: str, block: str) -> Template:
    """Put a block of YAML into a template, as deep as its placeholder stands."""
    line = next(line for line in template.splitlines() if line.strip() == f"${placeholder}")
    indent = line[: -len(placeholder) - 1]
    lines = (indent + part for part in block.splitlines() if not part.startswith("#"))
    return Template(template.replace(line, "\n".join(lines)))


def _origin_matcher(origin: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin}


def _endpoint(port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}


def _mappers() -> Iterator[dict[str, Any]]:
    """Yield the mappers of Envoy's local replies, by status; the first that matches counts."""
    # A gRPC client gets the message alone, and the details where gRPC has them.
    for status, (code, reason, message) in _LOCAL_REPLIES.items():
        if message is not None:
            yield {
                "filter": {"and_filter": {"filters": [*_GRPC_CALL, _has_status(status)]}},
                "body_format_override": _text(message),
                "headers_to_add": [_header("grpc-status-details-bin", _packed_status(code, reason, message))],
            }
    yield {"filter": {"and_filter": {"filters": _GRPC_CALL}}, "body_format_override": _text("%LOCAL_REPLY_BODY%")}
    yield {"filter": _has_status(200), "body_format_override": {"json_format": {"status": "SERVING"}}}
    for status, (code, reason, message) in _LOCAL_REPLIES.items():
        yield {"filter": _has_status(status), "body_format_override": _json_error(code, reason, message)}


# A transcoded call looks like gRPC too, but keeps the path that was asked for in a header.
_GRPC_CALL: list[dict[str, Any]] = [
    {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}},
    {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True, "invert_match": True}}},
]


def _has_status(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"unused.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _text(message: str) -> dict[str, Any]:
    return {"text_format_source": {"inline_string": message}}


def _json_error(code: int, reason: str, message: str | None) -> dict[str, Any]:
    error: dict[str, Any] = MessageToDict(
        _status(code, reason, message or "%LOCAL_REPLY_BODY%"),
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
    )
    return {"json_format": error}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _packed_status(code: int, reason: str, message: str) -> str:
    """Return a status as gRPC's header has it: base64 without padding."""
    return base64.b64encode(_status(code, reason, message).SerializeToString()).decode().rstrip("=")


def _status(code: int, reason: str, message: str) -> Status:
    details: list[Message] = [ErrorInfo(reason=reason, domain=_DOMAIN)]
    if reason == "NO_SERVER":
        details.append(RetryInfo(retry_delay=Duration(seconds=_RETRY_SECONDS)))
    status = Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status
