"""Whether an answer is one that the contract has."""

import base64
import gzip
import json
import re
import struct
from dataclasses import dataclass, field
from typing import Any

import brotli
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conversations.v1.error_reason_pb2 import ErrorReason

__all__ = ["Answer", "problem_of"]

_REASONS = frozenset(ErrorReason.keys()[1:])
_DOMAIN = "conversations.v1"
# By code: the statuses of HTTP that it may have. What is not here is nobody's to earn.
_STATUSES = {
    3: (400, 415, 426, 501),
    4: (408, 504),
    5: (404,),
    6: (409,),
    7: (403, 421),
    8: (413, 431),
    12: (404, 405, 501),
}
# Of 500 and above, what the sender earns.
_EARNED = {501: ("UNSUPPORTED_PROTOCOL", "MALFORMED_REQUEST")}
_LIBRARY = re.compile(
    r"Traceback|Exception|Error\b|google\.protobuf|upstream|\blua|grpc\.(?!health|reflection|channelz)|grpc_"
    r"|chttp2|http[12]\.|oghttp|\.py\b|\.cc\b|/usr/|/home/|/tmp/|<class|object at 0x|NoneType"
    r"|redis|FT\.S|DIALECT|absl::|envoy|codec|code_details",
    re.IGNORECASE,
)
# What gRPC's library refuses at a worker's own port, before the service can see it.
_OF_GRPC = re.compile(
    r"Failed parsing HTTP/2 |Compression bit set but no encoding|Decompression failed|Illegal header |Error parsing |Duplicate '"
    r"|Metadata keys |SERVER: Received message larger|SERVER: Decompressed message|Too many pings|Deadline Exceeded$"
)


@dataclass(slots=True)
class Answer:
    """What came back for one request."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """By name in lower case; trailers too."""
    body: bytes = b""
    reset: int | None = None
    """The error code of HTTP/2, where the stream was reset."""


def problem_of(
    answer: Answer, *, has_deadline: bool = False, without_body: bool = False, behind_envoy: bool = True
) -> tuple[str, str]:
    """Return what is wrong with an answer, or an empty text, and its message.

    Args:
        answer: The whole answer.
        has_deadline: Whether the sender set one that can pass.
        without_body: Whether it may be an answer to HEAD.
        behind_envoy: Whether it is Envoy's; the gRPC library of a worker has texts of its own.
    """
    kind = answer.headers.get("content-type", "")
    message = answer.headers.get("grpc-message", "")
    # A deadline that has passed before the call is there included.
    if not behind_envoy and "grpc-status-details-bin" not in answer.headers and _OF_GRPC.match(message):
        return "", message
    if kind.startswith("application/grpc"):
        problem, message = _grpc_problem(answer, kind, has_deadline)
    else:
        problem, message = _http_problem(answer, kind, without_body)
    found = _LIBRARY.search(message)
    if found and not problem:
        problem = f"text of a library: {found[0]!r}"
    return problem, message


def _decoded(answer: Answer) -> bytes:
    body = bytes(answer.body)
    match answer.headers.get("content-encoding"):
        case "br":
            decoded: bytes = brotli.decompress(body)
            return decoded
        case "gzip":
            return gzip.decompress(body)
        case _:
            return body


def _http_problem(answer: Answer, kind: str, without_body: bool) -> tuple[str, str]:
    status = answer.status
    if status in (200, 201, 204) or (without_body and status < 500):
        if answer.body and kind != "application/json":
            return f"{status} with {kind}", ""
        if not answer.body or kind != "application/json":
            return "", ""
        try:
            json.loads(_decoded(answer))
        except (ValueError, OSError, brotli.error):
            return f"{status} with a body that is not JSON", ""
        return "", ""
    if kind != "application/json":
        return f"{status} with content-type {kind!r}", answer.body[:100].decode("latin-1")
    try:
        error = json.loads(answer.body)
        code, message, details = error["code"], error["message"], error["details"]
        infos = [detail for detail in details if detail["@type"].endswith("google.rpc.ErrorInfo")]
        [info] = infos
        reason, domain = info["reason"], info["domain"]
    except (ValueError, KeyError, TypeError):
        return f"{status} with another shape", answer.body[:200].decode("latin-1")
    text = message + json.dumps([detail for detail in details if "reason" not in detail]).replace(
        "type.googleapis.com", ""
    ).replace("google.rpc", "")
    if status >= 500 and reason not in _EARNED.get(status, ()):
        return f"{status} {reason}", text
    return _reason_problem(code, reason, domain) or (
        "" if status in _STATUSES[code] else f"status {status} for code {code}"
    ), text


def _reason_problem(code: int, reason: str, domain: str, has_deadline: bool = False) -> str:
    if reason not in _REASONS or domain != _DOMAIN:
        return f"reason {reason} of {domain}"
    if code not in _STATUSES or reason in ("INTERNAL_ERROR", "OVERLOADED", "NO_SERVER", "STORE_UNAVAILABLE"):
        return f"code {code} {reason}"
    if code == 4 and not has_deadline and reason != "OUT_OF_TIME":
        return f"code {code} {reason}"
    return ""


def _grpc_problem(answer: Answer, kind: str, has_deadline: bool) -> tuple[str, str]:
    if answer.status != 200:
        return f"gRPC with HTTP status {answer.status}", ""
    headers = answer.headers
    if kind.startswith("application/grpc-web") and "grpc-status" not in headers:
        headers = _web_trailers(answer.body, text="text" in kind)
    code = headers.get("grpc-status", "")
    message = headers.get("grpc-message", "")
    if not code.isdigit():
        return f"gRPC without a status ({code!r})", message
    if code == "0":
        return "", ""
    packed = headers.get("grpc-status-details-bin")
    if packed is None:
        return f"gRPC status {code} without details", message
    try:
        # Both sides of gRPC can agree to leave base64 out; then a zero comes first.
        plain = packed[:1] == "\0"
        status = Status.FromString(
            packed[1:].encode("latin-1") if plain else base64.b64decode(packed + "=" * (-len(packed) % 4))
        )
        info = ErrorInfo()
        unpacked = any(detail.Unpack(info) for detail in status.details)
    except (ValueError, DecodeError):
        return f"gRPC status {code} with broken details", message
    if not unpacked or status.code != int(code):
        return f"gRPC status {code} with other details", message
    if status.code == 4 and not has_deadline:
        return "gRPC status 4 without a deadline", message
    return _reason_problem(status.code, info.reason, info.domain, has_deadline), message


def _web_trailers(body: bytes, text: bool) -> dict[str, str]:
    if text:
        # It may be written in pieces with padding each.
        body = b"".join(
            base64.b64decode(piece + b"=" * (-len(piece) % 4)) for piece in re.findall(rb"[A-Za-z0-9+/]+=*", body)
        )
    while len(body) >= 5:
        flag, size = struct.unpack(">BI", body[:5])
        if flag & 0x80:
            lines = body[5 : 5 + size].decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines if line)
            return {name.lower(): value.strip() for name, _, value in pairs}
        body = body[5 + size :]
    return {}


def as_json(value: Any) -> str:
    """Return a value as short text."""
    return json.dumps(value, ensure_ascii=True)[:2000]
