"""Bytes of HTTP/1 by chance: request lines, headers, where a body ends, and what comes behind it."""

from random import Random

from tests.faults.fuzz.cases import Bytes
from tests.faults.fuzz.headers import odd_headers
from tests.faults.fuzz.messages import ROUTES, json_request
from tests.faults.fuzz.texts import digits, random_bytes, spoiled

__all__ = ["raw_http1"]

_END = b"GET /end HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
_METHODS = (
    b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"M-SEARCH", b"PRI",
    b"post", b"P\xffST", b"", b"POST\t", b" POST", b"P(ST", b"A" * 5000, b"PO\0ST", b"POST POST", b"\x16\x03\x01", b"*",
)  # fmt: skip
_TARGETS = (
    b"/", b"*", b"", b"//", b"/..", b"/../..", b"/%00", b"/%zz", b"/%", b"/\xff", b"/\0", b"/ /", b"/?", b"/#x", b"\\",
    b"http://localhost/tags.list", b"http://evil.example/tags.list", b"https://localhost/tags.list", b"http://", b"/\t",
    b"http:///tags.list", b"http://localhost:0/tags.list", b"http://localhost:99999/", b"http://a@localhost/tags.list",
    b"ftp://localhost/", b"file:///x", b"javascript:x", b"localhost:80", b"evil.example:443", b"http://[::1]/tags.list",
    b"/" + b"a" * 8_000, b"/" + b"a" * 70_000, b"/" + b"%41" * 3000, b"/tags.list?" + b"a=b&" * 3000, b"/tags.list;x",
    b"/./tags.list", b"/x/../tags.list", b"//tags.list", b"/TAGS.LIST", b"/tags%2elist", b"/tags.list/", b"tags.list",
    b"http://[/", b"http://localhost:x/", b"/\xe2\x80\xa8", b"/tags.list HTTP/1.1\rx", b"?", b"/healthz", b"/healthz?x",
)  # fmt: skip
_VERSIONS = (
    b"HTTP/1.0", b"HTTP/1.1", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2", b"HTTP/2.0", b"HTTP/3", b"HTTP/11", b"http/1.1", b"",
    b"HTTP/1.1.1", b"HTTP/1,1", b"HTTP / 1.1", b"HTTP/1.", b"HTTP/.1", b"HTTP/-1.1", b"HTTPS/1.1", b"ICY", b"HTTP/1.1 ",
    b"HTTP/999999999999.1", b"\xff", b"HTTP/1.1 HTTP/1.1",
)  # fmt: skip
_HOSTS = (
    b"localhost", b"127.0.0.1", b"[::1]", b"LOCALHOST", b"localhost.", b"localhost:1", b"localhost:", b"localhost:x",
    b"evil.example", b"a@localhost", b"localhost@evil.example", b"", b" ", b"localhost, localhost", b"[::1", b"::1",
    b"localhost/x", b"localhost?x", b"localhost\x01", b"\xff", b"a" * 5000, b"localhost:80:80", b"xn--a", b"*", b"0",
)  # fmt: skip
_LENGTHS = (
    b"0", b"1", b"00002", b"+2", b"-1", b"-0", b"0x2", b"2 ", b" 2", b"2,2", b"2, 2", b"2, 3", b"", b"a", b"1e1", b"2.0",
    b"9999999999", b"18446744073709551615", b"18446744073709551616", b"9" * 300, b"\xb2", b"2;", b"\t2", b"1_0", b"999999",
)  # fmt: skip
_ENCODINGS = (
    b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"\tchunked", b"chunked\x0b", b"x chunked", b"xchunked",
    b"chunked, identity", b"identity, chunked", b"identity", b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked,",
    b",chunked", b"chunked;q=1", b'"chunked"', b"", b"\0chunked", b"chun\xffked", b"deflate", b"trailers",
)  # fmt: skip
_SIZES = (
    b"0", b"00", b"-1", b"+1", b"0x1", b"g", b"", b" 1", b"1 ", b"1;a", b"1;a=b", b"1;a=\"b", b"1;" + b"x" * 5000, b"\t1",
    b"ffffffff", b"ffffffffffffffff", b"10000000000000000", b"f" * 40, b"1\n", b"1\r", b"\xb9", b"1_0", b"0" * 3000 + b"1",
)  # fmt: skip
_LINES = (
    b"folded: a\r\n b", b"folded: a\r\n\tb", b" leading: a", b"\tleading: a", b"no-colon", b": no-name", b"space : a",
    b"tab\t: a", b"nul: a\0b", b"cr: a\rb", b"lf: a\nb", b"name\0: a", b"na me: a", b"n\xffme: a", b"empty:", b":",
    b"Upgrade: websocket\r\nConnection: upgrade", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings", b"::a",
    b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Upgrade: TLS/1.0\r\nConnection: upgrade", b"Expect: 100-continue",
    b"Expect: 200-ok", b"Expect: 100-continue, x", b"Connection: close", b"Connection: keep-alive", b"Connection: te",
    b"Connection: content-length", b"Connection: transfer-encoding", b"Connection: host", b"Connection: x, y, , close",
    b"Connection: grpc-timeout\r\ngrpc-timeout: abc", b"Keep-Alive: timeout=x", b"Proxy-Connection: keep-alive",
    b"Trailer: content-length", b"TE: trailers, chunked", b"Via: 1.1 x\r\n" * 30 + b"x: y", b"[x]: y", b"(x): y",
    b"content-length", b"Content_Length: 5", b"Transfer_Encoding: chunked", b"x: " + b"a" * 8_000, b"x: " + b"a" * 70_000,
    b"x: y\r\n" * 150 + b"x: y", b"\r", b"x: \x80\x81", b"x: \x7f", b"Host: evil.example", b"Host: localhost",
)  # fmt: skip
_ODD_STARTS = (
    b"\r\n", b"\n", b"\r\n" * 100, b"\0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 60, b"\xef\xbb\xbf",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"\r\n\r\n\x00\r\nQUIT\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.0\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n",
    b"GET / HTTP/1.1\n\n", b"*1\r\n$4\r\nPING\r\n", b"HELO x\r\n", b"\x05\x01\x00", b"SSH-2.0-x\r\n", b"{}\n", b" ",
)  # fmt: skip


def raw_http1(rng: Random) -> Bytes:
    """Return what a connection begins with."""
    data = b"".join(_request(rng) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    if rng.random() < 0.08:
        data = rng.choice(_ODD_STARTS) + data
    if rng.random() < 0.15:
        data = spoiled(rng, data)
    if rng.random() < 0.01:
        data = random_bytes(rng, 500)
    return Bytes(data + _END)


def _request(rng: Random) -> bytes:
    route = rng.choice(ROUTES)
    method = rng.choice(_METHODS) if rng.random() < 0.12 else route.verb.encode()
    target = rng.choice(_TARGETS) if rng.random() < 0.2 else route.path.encode()
    version = rng.choice(_VERSIONS) if rng.random() < 0.1 else b"HTTP/1.1"
    lines = [method + b" " + target + (b" " + version if version else b"")]
    hosts = rng.choice((0, 2)) if rng.random() < 0.05 else 1
    lines += [b"host: " + (rng.choice(_HOSTS) if rng.random() < 0.12 else b"localhost") for _ in range(hosts)]
    body = json_request(rng, route.request) if rng.random() < 0.6 else b"{}"
    framing, body = _framed(rng, body)
    lines += framing
    if rng.random() < 0.3:
        lines += [rng.choice(_LINES) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.1:
        lines += [name + b": " + value for name, value in odd_headers(rng, 2)]
    if rng.random() < 0.1:
        rng.shuffle(lines)
    end = rng.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\n")) if rng.random() < 0.05 else b"\r\n"
    return end.join(lines) + end + end + body


def _framed(rng: Random, body: bytes) -> tuple[list[bytes], bytes]:
    """Return headers that say where a body ends, or do not, and the body."""
    right = b"content-length: %d" % len(body)
    match rng.randrange(12):
        case 0 | 1 | 2:
            return [right], body
        case 3:
            return [b"content-length: " + rng.choice((*_LENGTHS, digits(rng).encode()))], body
        case 4:
            return [right, b"content-length: " + rng.choice(_LENGTHS)], body
        case 5:
            return [right, b"transfer-encoding: " + rng.choice(_ENCODINGS)], _chunked(rng, body)
        case 6:
            return [b"transfer-encoding: " + rng.choice(_ENCODINGS)], _chunked(rng, body)
        case 7:
            return [b"transfer-encoding: chunked", b"transfer-encoding: " + rng.choice(_ENCODINGS)], _chunked(rng, body)
        case 8:
            return [], rng.choice((b"", body))
        case 9:
            return [b"content-length: %d" % (len(body) + rng.choice((-1, 1, 5)))], body
    return [b"transfer-encoding: chunked"], _chunked(rng, body)


def _chunked(rng: Random, body: bytes) -> bytes:
    at = rng.randint(0, len(body))
    parts = []
    for piece in (body[:at], body[at:]):
        if piece:
            size = rng.choice(_SIZES) if rng.random() < 0.15 else b"%x" % len(piece)
            parts.append(
                size + b"\r\n" + piece + (rng.choice((b"", b"\n", b"x\r\n")) if rng.random() < 0.1 else b"\r\n")
            )
    trailers = b""
    if rng.random() < 0.2:
        trailers = rng.choice((b"x: y", b"content-length: 5", b"host: evil", b"grpc-timeout: abc", *_LINES)) + b"\r\n"
    last = rng.choice((b"", b"0", b"0\r\n", b"00\r\n\r\n", b"-0\r\n\r\n")) if rng.random() < 0.1 else b"0\r\n"
    return b"".join(parts) + last + (trailers + b"\r\n" if last == b"0\r\n" else b"")
