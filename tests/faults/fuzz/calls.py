"""Calls in JSON, gRPC and gRPC-Web: each is one request with one answer."""

import base64
import gzip
import struct
import zlib
from random import Random

from tests.faults.fuzz.cases import Call
from tests.faults.fuzz.headers import Headers, odd_headers
from tests.faults.fuzz.messages import METHODS, ROUTES, json_request, wire_request
from tests.faults.fuzz.texts import odd_text, random_bytes, spoiled

__all__ = ["grpc_call", "json_call", "web_call"]

_JSON_TYPES = (b"application/json", b"application/json", b"text/plain", b"application/json; charset=utf-8", b"")
_PATHS = tuple(METHODS)
_ODD_PATHS = (
    b"/", b"//", b"/.", b"/..", b"/%2e%2e/", b"/a", b"*", b"/conversations.v1", b"/conversations.v1.", b"/healthz/",
    b"/conversations.v1.TagService", b"/conversations.v1.TagService/", b"/conversations.v1.TagService/Nothing",
    b"/conversations.v1.TagService/listTags", b"/conversations.v1.TagService/ListTags/", b"/grpc.health.v1.Health/List",
    b"/conversations.v1.TagService/ListTags?x=1", b"/conversations.v1.TagService//ListTags",
    b"//conversations.v1.TagService/ListTags", b"/conversations.v1.Nothing/ListTags", b"/grpc.health.v1.Health/Check",
    b"/grpc.health.v1.Health/Nothing", b"/grpc.reflection.v1.ServerReflection/Nothing", b"/grpc.channelz.v1.Channelz/X",
    b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"/conversations.v1.%54agService/ListTags",
    b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"/conversations.v1.TagService/ListTags#x",
    b"/conversations.v1.IngestService/IngestJson", b"/\xff\xfe", "/étage".encode(), b"/" + b"a" * 9000, b"/a\\b", b"/;",
    b"/conversations.v1.TagService/%00", b"/conversations.v1.TagService/List\x7fTags", b"", b"no-slash", b"?", b"/?",
)  # fmt: skip
_ODD_METHODS = (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"FOO", b"post", b"PO ST", b"")


def json_call(rng: Random) -> Call:
    """Return a call in JSON."""
    route = rng.choice(ROUTES)
    method, path = route.verb.encode(), route.path.encode()
    headers: Headers = [(b"content-type", rng.choice(_JSON_TYPES))]
    if rng.random() < 0.15:
        headers += odd_headers(rng)
    if rng.random() < 0.08:
        path = _odd_path(rng, path)
    if rng.random() < 0.02:
        method = rng.choice((b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"FOO"))
    if rng.random() < 0.001:
        # More than any call may have, save one with events.
        return Call(method, path, headers, b'{"a":"' + b"a" * rng.choice((263_000, 300_000)) + b'"}')
    return Call(method, path, headers, json_request(rng, route.request))


def _odd_path(rng: Random, path: bytes) -> bytes:
    at = rng.randint(0, len(path))
    queries = (b"x=1", b"filters=" + b"%28" * 50, b"page_size=NaN", b"conversation_id=%ff", b"&&==", b"%", b"a=" * 3000)
    return rng.choice(
        (
            path + b"?" + rng.choice(queries),
            path + b"/",
            b"/" + path,
            path.upper(),
            path[:at] + b"%%%02x" % rng.randrange(256) + path[at:],
            path[:at] + rng.choice((b"%2f..%2f", b"/../", b"/./", b"//", b";", b"%zz", b"\\")) + path[at:],
            path[:at],
            path.replace(b".", b"%2E"),
            b"/v1" + path,
        )
    )


def grpc_call(rng: Random) -> Call:
    """Return a call in gRPC."""
    path = rng.choice(_PATHS)
    content_type = rng.choice((b"application/grpc", b"application/grpc", b"application/grpc+proto"))
    headers: Headers = [(b"te", b"trailers"), (b"content-type", content_type)]
    encoding = b""
    if rng.random() < 0.1:
        encoding = rng.choice((b"identity", b"gzip", b"deflate", b"gzip", b"br", b"snappy", b"", b"GZIP"))
        headers.append((b"grpc-encoding", encoding))
    body = _message_frames(rng, wire_request(rng, METHODS[path]), encoding)
    call = Call(b"POST", path.encode(), headers, body)
    _spoil(rng, call)
    return call


def _spoil(rng: Random, call: Call) -> None:
    if rng.random() < 0.2:
        call.headers += odd_headers(rng)
    if rng.random() < 0.03:
        call.headers = call.headers[1:]
    if rng.random() < 0.03:
        call.path = rng.choice(_ODD_PATHS)
    if rng.random() < 0.01:
        call.method = rng.choice(_ODD_METHODS)
    if rng.random() < 0.02:
        call.authority = rng.choice((b"", b"evil.example", b"localhost:99999", b"a@localhost", b"[::1", b"\xff", b"*"))
    if rng.random() < 0.03:
        call.trailers = odd_headers(rng)


def _message_frames(rng: Random, message: bytes, encoding: bytes) -> bytes:
    """Return a message as gRPC frames it, or nearly so."""
    flag = 0
    if encoding in (b"gzip", b"deflate") and rng.random() < 0.9:
        flag = 1
        message = gzip.compress(message, 1) if encoding == b"gzip" else zlib.compress(message)
        if rng.random() < 0.3:
            message = spoiled(rng, message)
    frame = struct.pack(">BI", flag, len(message)) + message
    if rng.random() < 0.65:
        return frame
    match rng.randrange(9):
        case 0:
            return bytes([rng.choice((1, 2, 3, 0x7F, 0x80, 0x81, 0xFF))]) + frame[1:]
        case 1:
            lie = rng.choice((0, 1, len(message) + 1, max(len(message) - 1, 0), 2**31 - 1, 2**31, 2**32 - 1, 5_000_000))
            return struct.pack(">BI", flag, lie) + message
        case 2:
            return frame + struct.pack(">BI", 0, 0) * rng.choice((1, 2, 100))
        case 3:
            return frame * rng.choice((2, 3))
        case 4:
            return frame[: rng.randint(0, len(frame))]
        case 5:
            return frame + random_bytes(rng, 10)
        case 6:
            return random_bytes(rng, 40)
        case 7:
            bomb = gzip.compress(b"\0" * rng.choice((300_000, 5_000_000)), 9)
            return struct.pack(">BI", 1, len(bomb)) + bomb
    return spoiled(rng, frame)


def web_call(rng: Random) -> Call:
    """Return a call in gRPC-Web, in binary or as text."""
    path = rng.choice(_PATHS)
    text = rng.random() < 0.5
    kind = b"application/grpc-web-text" if text else b"application/grpc-web"
    headers: Headers = [(b"content-type", kind + rng.choice((b"", b"+proto"))), (b"x-grpc-web", b"1")]
    if rng.random() < 0.3:
        headers.append((b"accept", rng.choice((b"application/grpc-web-text", b"application/grpc-web", b"*/*", b"x"))))
    encoding = b""
    if rng.random() < 0.08:
        encoding = rng.choice((b"identity", b"gzip", b"deflate", b"br"))
        headers.append((b"grpc-encoding", encoding))
    body = _message_frames(rng, wire_request(rng, METHODS[path]), encoding)
    if rng.random() < 0.15:
        # Of a request there are no trailers in this protocol.
        trailers = rng.choice(
            (b"grpc-status: 0\r\n", b"x: y\r\n", b"\r\n", b"", odd_text(rng).encode("utf-8", "replace"))
        )
        body += struct.pack(">BI", rng.choice((0x80, 0x81)), len(trailers)) + trailers
    if text:
        body = base64.b64encode(body)
        if rng.random() < 0.3:
            body = spoiled(rng, body)
        elif rng.random() < 0.1:
            body = body.rstrip(b"=") + rng.choice((b"=", b"===", b"A", b"\n", b"-_", b"=AAAA"))
    call = Call(b"POST", path.encode(), headers, body)
    _spoil(rng, call)
    return call
