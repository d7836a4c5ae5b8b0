"""Headers by chance, and how HTTP/2 writes them."""

import base64
from collections.abc import Iterable
from functools import cache
from random import Random

from tests.faults.fuzz.texts import odd_text, random_bytes

__all__ = ["Headers", "block", "odd_headers"]

Headers = list[tuple[bytes, bytes]]

_NAMES = (
    b"a+b", b"x!y", b"x'y", b"x*y", b"x~y", b"x|y", b"x_y", b"x.y", b"-", b"_", b"x-recycle-bin", b"-bin", b"a-bin",
    b"grpc-foo", b"grpc-message", b"grpc-status", b"grpc-status-details-bin", b"grpc-previous-rpc-attempts",
    b"grpc-retry-pushback-ms", b"grpc-internal-encoding-request", b"grpc-tags-bin", b"grpc-trace-bin", b"lb-token",
    b"lb-cost-bin", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"content-encoding", b"accept-encoding",
    b"te", b"x-envoy-retry-on", b"x-envoy-max-retries", b"x-envoy-original-path", b"x-envoy-upstream-rq-timeout-ms",
    b"x-envoy-decorator-operation", b"x-envoy-force-trace", b"x-forwarded-for", b"x-forwarded-proto", b"x-request-id",
    b"x-conversations-caller", b"x-http-method-override", b"x-grpc-web", b"x-user-agent", b"user-agent", b"authorization",
    b"cookie", b"origin", b"referer", b"range", b"if-match", b"accept", b"content-type", b"forwarded", b"via",
    b"traceparent", b"baggage", b"host", b"trailer", b"max-forwards", b"access-control-request-method", b"date",
    b"endpoint-load-metrics-bin", b"grpc-server-stats-bin", b"x-amzn-trace-id", b"proxy-authorization",
)  # fmt: skip
_VALUES = (
    b"", b" ", b"\t", b"\x01", b"\x7f", b"\x80\xff", b"\xc3\xa9", "🙂".encode(), b"a,b", b"a, , b", b";", b'"', b"\\",
    b"identity", b"br", b"gzip", b"deflate", b"snappy", b"zstd", b"gzip, gzip", b"trailers", b"gzip;q=2", b"*", b"0",
    b"-1", b"1", b"4294967296", b"18446744073709551616", b"99999999999999999999999999", b"no!", b"AA", b"AA=", b"AA==",
    b"AAA", b"A", b"A===", b"AA,AA", b"AAAA,no!", b"\x00AA", b"null", b"null, null", b"http://evil.example",
    b"http://localhost", b"http://127.0.0.1:1", b"file://", b"GET", b"POST", b"true", b"1.2.3.4", b"::1", b"unix:",
    b"127.0.0.1:1, 2.3.4.5", b"${jndi:x}", b"%0d%0a", b"<x>", b"close", b"100-continue", b"chunked", b"websocket",
)  # fmt: skip
_TIMEOUTS = (
    b"abc", b"", b"1", b"S", b"-1S", b"+1S", b"1.5S", b"1 S", b" 1S", b"1S ", b"1s", b"0S", b"0n", b"1n", b"1u", b"5m",
    b"99999999H", b"999999999H", b"00000001S", b"000000001S", b"1S, 2S", b"1S,1S", b"\xd9\xa1S", b"1SS", b"1H1M",
    b"9" * 400 + b"S", b"5S", b"20S", b"1M", b"0x1S", b"\xff", b"infS",
)  # fmt: skip
_TYPES = (
    b"", b"text/plain", b"application/json", b"application/json; charset=utf-16", b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x", b"application/grpc", b"application/grpc+proto", b"application/grpc+json",
    b"application/grpc+", b"application/grpc;", b"application/grpc; x=1", b"application/grpc+proto;charset=utf-8",
    b"application/grpcx", b"application/grpc-web", b"application/grpc-web+proto", b"application/grpc-web-text",
    b"application/grpc-web-text+proto", b"application/grpc-web+json", b"application/grpc-web-x", b"APPLICATION/GRPC",
    b"Application/Json", b"application/grpc, application/grpc", b"application/json, application/grpc", b"\xff", b"a",
    b"application/connect+proto", b"application/proto", b"*/*", b"application/grpc\xc3\xa9", b"application/grpc+\x7f",
)  # fmt: skip


def odd_headers(rng: Random, most: int = 3) -> Headers:
    """Return some headers; none has to do with where a request ends."""
    chance = rng.random()
    if chance > 0.995:
        return [(b"x-many-%d" % number, b"v") for number in range(rng.choice((80, 99, 101, 150, 300)))]
    if chance > 0.99:
        size = rng.choice((7_500, 8_192, 15_900, 16_384, 17_000, 59_000, 61_500, 70_000))
        return [(rng.choice((b"authorization", b"x-large", b"x-large-bin", b"cookie")), b"a" * size)]
    return [_odd_header(rng) for _ in range(rng.randint(1, most))]


def _odd_header(rng: Random) -> tuple[bytes, bytes]:
    name = rng.choice(_NAMES)
    if rng.random() < 0.15:
        name = rng.choice((b"x-", b"")) + bytes(rng.choice(b"abcxyz-_.!#$%&'*+^`|~0189") for _ in range(4))
    if name == b"grpc-timeout":
        return name, rng.choice(_TIMEOUTS)
    if name == b"content-type":
        return name, rng.choice(_TYPES)
    if name.endswith(b"-bin") and rng.random() < 0.5:
        return name, base64.b64encode(random_bytes(rng, 40))
    if rng.random() < 0.1:
        return name, odd_text(rng)[:400].encode("utf-8", "replace").translate(None, b"\r\n\0")
    return name, rng.choice(_VALUES)


def block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as HTTP/2 has them, each in full, so that nothing of them stays on the connection."""
    return b"".join(map(_literal, headers))


def _literal(header: tuple[bytes, bytes]) -> bytes:
    name, value = header
    return b"\0" + _length(len(name)) + name + _length(len(value)) + value


@cache
def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    data = bytearray([127])
    number -= 127
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)
