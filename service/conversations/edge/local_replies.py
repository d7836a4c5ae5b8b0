"""Envoy's own refusals in the shape of the service's errors: for JSON, gRPC and gRPC-Web."""

import base64
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from conversations.edge.routes import GRPC_TYPES

__all__ = ["mappers", "other_body"]

_DOMAIN = "conversations.v1"
_CEL = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_RETRY_SECONDS = 1
# Envoy's own text.
_ENVOY_TEXT = "%LOCAL_REPLY_BODY%"


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int
    reason: str
    message: str
    web_message: str = ""
    """Message over HTTP, if it differs."""
    retry: bool = False
    """Whether the same call may succeed a little later."""

    def status(self, message: str) -> Status:
        details: list[Message] = [ErrorInfo(reason=self.reason, domain=_DOMAIN)]
        if self.retry:
            details.append(RetryInfo(retry_delay=Duration(seconds=_RETRY_SECONDS)))
        status = Status(code=self.code, message=message)
        for detail in details:
            status.details.add().Pack(detail)
        return status


_MALFORMED = _Refusal(
    3,
    "MALFORMED_REQUEST",
    "the call is malformed: its body, grpc-timeout, grpc-encoding, or a header that ends in -bin",
    "the request is malformed: its first line, a header, or where its body ends",
)
_MALFORMED_AS_REPORTED = _Refusal(3, "MALFORMED_REQUEST", _ENVOY_TEXT)
_UNSUPPORTED_PROTOCOL = _Refusal(
    12, "UNSUPPORTED_PROTOCOL", "only HTTP/1.1 and HTTP/2 are supported, without WebSocket, tunnels or other protocols"
)
_OVERLOADED = _Refusal(14, "OVERLOADED", "too busy; try again", retry=True)
# By HTTP status. These are Envoy's own replies only; the worker has its own table.
_REFUSALS = {
    400: _MALFORMED,
    403: _Refusal(7, "ORIGIN_NOT_ALLOWED", "pages of this origin are not allowed"),
    404: _Refusal(12, "UNKNOWN_METHOD", "there is no such path or method"),
    405: _Refusal(12, "UNKNOWN_METHOD", "there is no such path or method", _ENVOY_TEXT),
    408: _Refusal(4, "OUT_OF_TIME", "the request did not arrive in time"),
    413: _Refusal(8, "REQUEST_TOO_LARGE", "the request is too large"),
    415: _Refusal(3, "MALFORMED_REQUEST", "the content type is unknown"),
    421: _Refusal(7, "HOST_NOT_ALLOWED", "the service has no such host name"),
    426: _Refusal(3, "MALFORMED_REQUEST", "HTTP/1.1 or HTTP/2 is required"),
    429: _OVERLOADED,
    431: _Refusal(8, "REQUEST_TOO_LARGE", "the headers are too large"),
    501: _Refusal(3, "MALFORMED_REQUEST", "the transfer encoding is unknown"),
    503: _Refusal(14, "NO_SERVER", "no server can take the call now; try again", retry=True),
    504: _Refusal(4, "OUT_OF_TIME", "the call ran out of time"),
}
# Any other status that blames the client.
_REFUSED = _Refusal(3, "MALFORMED_REQUEST", "the request was refused")
_DEFECT = _Refusal(13, "INTERNAL_ERROR", "internal error")


def mappers() -> list[dict[str, Any]]:
    """Return the mappers of Envoy's local replies; the first match counts."""
    rows = [*_BY_CAUSE, *(([_has_status(status)], status, refusal) for status, refusal in _REFUSALS.items())]
    return [
        _PREFLIGHT,
        # A worker's gRPC library sometimes refuses malformed frames like this too.
        _grpc_mapper([_cause('.contains("{protocol_error}")')], _MALFORMED),
        *(_grpc_mapper(filters, refusal) for filters, _, refusal in rows),
        _grpc_mapper([_status_below(500)], _REFUSED),
        _grpc_mapper([], _DEFECT),
        # This covers the texts of requests.lua for calls that turn out not to be gRPC.
        *(
            _web_mapper([_cause(test), _has_status(400)], 400, _MALFORMED_AS_REPORTED)
            for test in ('.startsWith("grpc_json_transcode")', ' == "lua_response"')
        ),
        *(_web_mapper(*row) for row in rows),
        _web_mapper([_status_below(500)], None, _REFUSED),
    ]


def other_body() -> dict[str, Any]:
    """Return the body for replies that no mapper matches."""
    return _json_error(_DEFECT)


def _grpc_mapper(filters: list[dict[str, Any]], refusal: _Refusal) -> dict[str, Any]:
    packed = base64.b64encode(refusal.status(refusal.message).SerializeToString()).decode()
    return {
        "filter": {"and_filter": {"filters": [*_GRPC_CALL, *filters]}},
        # A headers-only response, which gRPC and gRPC-Web share. Envoy would derive the code from the HTTP status,
        # mostly UNKNOWN.
        "status_code": 200,
        "body_format_override": {"text_format_source": {"inline_string": ""}, "content_type": "application/grpc"},
        "headers_to_add": [
            _header("grpc-status", str(refusal.code)),
            _header("grpc-message", refusal.message),
            # gRPC's base64 has no padding.
            _header("grpc-status-details-bin", packed.rstrip("=")),
        ],
    }


def _web_mapper(filters: list[dict[str, Any]], status: int | None, refusal: _Refusal) -> dict[str, Any]:
    mapper: dict[str, Any] = {
        "filter": {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0],
        "body_format_override": _json_error(refusal),
    }
    if status is not None:
        mapper["status_code"] = status
    if refusal.retry:
        mapper["headers_to_add"] = [_header("retry-after", str(_RETRY_SECONDS))]
    return mapper


def _json_error(refusal: _Refusal) -> dict[str, Any]:
    error: dict[str, Any] = MessageToDict(
        refusal.status(refusal.web_message or refusal.message),
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
    )
    return {"json_format": error}


def _header_is(name: str, **matcher: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": matcher}}}


def _cause(test: str) -> dict[str, Any]:
    """Return a filter on Envoy's response code details, `why` in the access log."""
    config = {"@type": f"type.googleapis.com/{_CEL}", "expression": f"response.code_details{test}"}
    return {"extension_filter": {"name": "cel", "typed_config": config}}


# A transcoded call looks like gRPC too, but has the original path in a header.
_GRPC_CALL: list[dict[str, Any]] = [
    _header_is("content-type", safe_regex={"regex": GRPC_TYPES}),
    {
        "header_filter": {
            "header": {
                "name": "x-envoy-original-path",
                "string_match": {"prefix": "/"},
                "treat_missing_header_as_empty": True,
                "invert_match": True,
            }
        }
    },
]


def _has_status(status: int) -> dict[str, Any]:
    return _compare_status("EQ", status)


def _status_below(status: int) -> dict[str, Any]:
    return _compare_status("LE", status - 1)


def _compare_status(op: str, status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"unused.{op}.{status}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


# A preflight response, which pages.lua has made completely.
_PREFLIGHT: dict[str, Any] = {
    "filter": _has_status(200),
    "body_format_override": {"text_format_source": {"inline_string": ""}},
}
# By a part of Envoy's name for it.
_MALFORMATIONS = {
    "missing_host": "it has no host",
    "path_normalization": "its path",
    "https_url": "it asks for https://, but there is no TLS",
}
# If the status is ambiguous: filters, HTTP status, refusal.
_BY_CAUSE: list[tuple[list[dict[str, Any]], int, _Refusal]] = [
    ([_header_is(":method", exact="CONNECT")], 501, _UNSUPPORTED_PROTOCOL),
    ([_cause(' == "upgrade_failed"')], 501, _UNSUPPORTED_PROTOCOL),
    ([_cause(' == "overload"')], 503, _OVERLOADED),
    *(
        ([_cause(f".contains({part!r})")], 400, _Refusal(3, "MALFORMED_REQUEST", f"the request is malformed: {words}"))
        for part, words in _MALFORMATIONS.items()
    ),
    # pages.lua refuses origins. The other forbidden case is an https:// target on this port without TLS.
    ([_has_status(403), _cause(' != "lua_response"')], 400, _MALFORMED),
]
