"""Frames of HTTP/2 by chance: of wrong sizes, on wrong streams, in wrong order, with headers that cannot be."""

import struct
from collections.abc import Callable, Iterator
from random import Random

from hpack import Encoder
from tests.faults.fuzz.cases import Frames
from tests.faults.fuzz.headers import Headers, block, odd_headers
from tests.faults.fuzz.messages import METHODS, wire_request
from tests.faults.fuzz.texts import random_bytes, spoiled

__all__ = ["PREFACE", "SETTINGS", "frame", "raw_http2"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 1, 4, 8, 0x20
_LAST = 1001
_PATHS = tuple(METHODS)
_EMPTY_MESSAGE = bytes(5)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """Return a frame, whose length may be a lie."""
    size = len(payload) if length is None else length
    return struct.pack(">IBI", size << 8 | kind, flags, stream) + payload


def _head(path: bytes = b"/conversations.v1.TagService/ListTags", *more: tuple[bytes, bytes]) -> Headers:
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]


def raw_http2(rng: Random) -> Frames:
    """Return what a connection begins with."""
    # With room for any answer.
    settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**24)) + frame(
        WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)
    )
    preface = PREFACE + settings
    if rng.random() < 0.04:
        bad = (
            b"",
            PREFACE,
            PREFACE[:10],
            PREFACE + PREFACE,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
            frame(PING, 0, 0, bytes(8)),
        )
        preface = rng.choice((*bad, spoiled(rng, preface), PREFACE + frame(HEADERS, 5, 1, block(_head()))))
    parts = [rng.choice(_ATTACKS)(rng, 1 + 2 * number) for number in range(rng.choice((1, 1, 2, 4)))]
    data = b"".join(parts)
    if rng.random() < 0.1:
        data = spoiled(rng, data)
    path = rng.choice((b"/conversations.v1.TagService/ListTags", b"/nowhere", b"/conversations.v1.TagService/Nothing"))
    good = frame(HEADERS, END_HEADERS, _LAST, block(_head(path))) + frame(DATA, END_STREAM, _LAST, _EMPTY_MESSAGE)
    return Frames(preface + data + good, _LAST, certain=all(stream < _LAST for stream in _streams(preface + data)))


def _streams(data: bytes) -> Iterator[int]:
    """Yield the streams that frames open; behind a later one there is no earlier one."""
    at = len(PREFACE) if data.startswith(PREFACE) else 0
    while at + 9 <= len(data):
        if data[at + 3] == HEADERS:
            yield int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
        at += 9 + int.from_bytes(data[at : at + 3], "big")


def _request(rng: Random, stream: int, headers: Headers | None = None, body: bytes | None = None) -> bytes:
    path = rng.choice(_PATHS)
    message = wire_request(rng, METHODS[path])[:8000] if body is None else body
    data = struct.pack(">BI", 0, len(message)) + message
    head = _head(path.encode()) if headers is None else headers
    return frame(HEADERS, END_HEADERS, stream, block(head)) + frame(DATA, END_STREAM, stream, data)


def _wrong_size(rng: Random, stream: int) -> bytes:
    kind = rng.randrange(11)
    payload = rng.choice(
        (b"", bytes(1), bytes(3), bytes(4), bytes(5), bytes(6), bytes(7), bytes(8), bytes(9), bytes(17000))
    )
    return frame(kind, rng.choice((0, 1, 4, 5, 8, 0x20, 0xFF)), rng.choice((0, stream)), payload)


def _length_lies(rng: Random, stream: int) -> bytes:
    kind, payload = rng.randrange(10), random_bytes(rng, 40)
    return frame(
        kind, rng.randrange(256), stream, payload, rng.choice((0, 1, len(payload) + 9, 16384, 16385, 2**24 - 1))
    )


def _unknown_type(rng: Random, stream: int) -> bytes:
    kind = rng.randint(10, 255)
    return frame(kind, rng.randrange(256), rng.choice((0, stream, 2**32 - 1)), random_bytes(rng)) * rng.choice((1, 20))


def _wrong_stream(rng: Random, stream: int) -> bytes:
    other = rng.choice((0, 2, 4, 2**31 - 1, 2**31, 2**32 - 1, stream + 100, max(stream - 2, 1)))
    kind = rng.choice((DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, PRIORITY, GOAWAY))
    payloads = {
        HEADERS: block(_head()),
        RST_STREAM: bytes(4),
        PING: bytes(8),
        WINDOW_UPDATE: b"\0\0\0\1",
        GOAWAY: bytes(8),
    }
    return frame(kind, END_HEADERS if kind in (HEADERS, CONTINUATION) else 0, other, payloads.get(kind, bytes(5)))


def _continuations(rng: Random, stream: int) -> bytes:
    head = block(_head())
    at = rng.randint(0, len(head))
    count = rng.choice((0, 1, 2, 20, 200))
    piece = rng.choice((b"", b"", block([(b"x", b"a" * 100)])))
    data = frame(HEADERS, END_STREAM if rng.random() < 0.5 else 0, stream, head[:at])
    data += frame(CONTINUATION, 0, stream, head[at:]) + frame(CONTINUATION, 0, stream, piece) * count
    if rng.random() < 0.3:
        data += rng.choice((frame(PING, 0, 0, bytes(8)), frame(DATA, 1, stream), frame(CONTINUATION, 4, stream + 2)))
    return data + (frame(CONTINUATION, END_HEADERS, stream) if rng.random() < 0.8 else b"")


def _pseudo_headers(rng: Random, stream: int) -> bytes:
    headers = _head()
    match rng.randrange(9):
        case 0:
            del headers[rng.randrange(4)]
        case 1:
            headers.insert(rng.randrange(4), rng.choice(headers[:4]))
        case 2:
            rng.shuffle(headers)
        case 3:
            headers.insert(
                4, rng.choice(((b":status", b"200"), (b":protocol", b"websocket"), (b":x", b"y"), (b":", b"")))
            )
        case 4:
            at = rng.randrange(4)
            values = (
                b"",
                b" ",
                b"\0",
                b"\xff",
                b"a b",
                b"*",
                b"/\r\n",
                b"CONNECT",
                b"https",
                b"evil.example",
                b"a" * 9000,
            )
            headers[at] = headers[at][0], rng.choice(values)
        case 5:
            headers.append(rng.choice(headers[:4]))
        case 6:
            headers[0] = b":method", b"CONNECT"
        case 7:
            del headers[:4]
        case 8:
            headers = []
    return _request(rng, stream, headers, b"")


def _forbidden_headers(rng: Random, stream: int) -> bytes:
    more = rng.choice(
        (
            (b"connection", b"close"), (b"Upper", b"x"), (b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"),
            (b"keep-alive", b"x"), (b"te", b"gzip"), (b"", b"x"), (b"na me", b"x"), (b"n\0me", b"x"), (b"x", b"a\nb"),
            (b"x", b"a\0b"), (b"x", b" padded "), (b"content-length", b"3"), (b"content-length", b"-1"), (b"n:me", b"x"),
            (b"content-length", b"x"), (b"host", b"evil.example"), (b"x", b"\xff"), (b"\xff", b"x"), (b"expect", b"100-continue"),
            (b"proxy-connection", b"x"), (b"cookie", b""), (b"trailer", b"x"), (b"x", b"a" * 20_000), (b"x\r\n", b"y"),
        )
    )  # fmt: skip
    return _request(rng, stream, _head(_PATHS[0].encode(), more), b"")


def _odd_headers(rng: Random, stream: int) -> bytes:
    return _request(rng, stream, _head(rng.choice(_PATHS).encode(), *odd_headers(rng)), b"")


def _data_first(rng: Random, stream: int) -> bytes:
    return frame(DATA, rng.choice((0, 1)), stream, random_bytes(rng)) + _request(rng, stream)


def _after_the_end(rng: Random, stream: int) -> bytes:
    more = (
        frame(DATA, 0, stream, b"abc"),
        frame(HEADERS, 5, stream, block(_head())),
        frame(HEADERS, 4, stream, block([(b"x", b"y")])),
        frame(RST_STREAM, 0, stream, bytes(4)) * rng.choice((1, 30)),
        frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\1"),
        frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"),
        frame(CONTINUATION, 4, stream, b""),
    )
    return _request(rng, stream) + rng.choice(more)


def _trailers(rng: Random, stream: int) -> bytes:
    more = rng.choice(
        ([(b":path", b"/")], [(b"x", b"y")], [], odd_headers(rng), [(b"grpc-status", b"0")], [(b"te", b"x")])
    )
    data = frame(HEADERS, END_HEADERS, stream, block(_head())) + frame(DATA, 0, stream, _EMPTY_MESSAGE)
    data += frame(HEADERS, rng.choice((END_HEADERS, END_HEADERS | END_STREAM, END_STREAM)), stream, block(more))
    return data + (frame(DATA, END_STREAM, stream) if rng.random() < 0.3 else b"")


def _resets(rng: Random, stream: int) -> bytes:
    reset = frame(RST_STREAM, 0, stream, struct.pack(">I", rng.choice((0, 1, 8, 13, 14, 2**32 - 1))))
    return rng.choice(
        (reset, frame(HEADERS, END_HEADERS, stream, block(_head())) + reset, _request(rng, stream) + reset)
    )


def _windows(rng: Random, stream: int) -> bytes:
    target = rng.choice((0, stream, stream + 50))
    step = struct.pack(">I", rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)))
    open_first = frame(HEADERS, END_HEADERS, stream, block(_head())) if rng.random() < 0.7 else b""
    return open_first + frame(WINDOW_UPDATE, rng.choice((0, 0xFF)), target, step) * rng.choice((1, 2, 10))


def _settings(rng: Random, _stream: int) -> bytes:
    values = (0, 1, 2, 100, 16383, 16384, 65535, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
    # A window of nothing would leave the good request without its answer: the next one opens it again.
    pairs = [
        (rng.choice((1, 2, 3, 4, 5, 6, 8, 9, 0, 0xFE03, 0xFFFF)), rng.choice(values))
        for _ in range(rng.choice((1, 2, 50)))
    ]
    pairs.append((4, 2**24))
    payload = b"".join(struct.pack(">HI", *pair) for pair in pairs)
    flags = rng.choice((0, 0, 0, 1, 0xFF))
    data = frame(SETTINGS, flags, rng.choice((0, 0, 0, 1)), payload + (b"\0" if rng.random() < 0.1 else b""))
    return data + frame(SETTINGS, 1, 0) * rng.choice((0, 0, 5)) + frame(SETTINGS, 0, 0) * rng.choice((0, 0, 30))


def _priorities(rng: Random, stream: int) -> bytes:
    def priority(on: int, of: int) -> bytes:
        return frame(PRIORITY, 0, of, struct.pack(">IB", on | rng.choice((0, 2**31)), rng.randrange(256)))

    return rng.choice(
        (
            priority(stream, stream),
            priority(stream, stream + 2) + priority(stream + 2, stream),
            b"".join(priority(number, number + 2) for number in range(1, 201, 2)) + priority(201, 1),
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, stream, struct.pack(">IB", stream, 0) + block(_head())),
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, stream, b"\0\0"),
        )
    )


def _pushes(rng: Random, stream: int) -> bytes:
    promised = struct.pack(">I", rng.choice((0, 2, stream, 2**31)))
    return frame(PUSH_PROMISE, rng.choice((0, 4, 12)), rng.choice((0, stream)), promised + block(_head()))


def _padding(rng: Random, stream: int) -> bytes:
    pad = bytes([rng.choice((0, 1, 5, 100, 255))])
    head = block(_head())
    return rng.choice(
        (
            frame(HEADERS, END_HEADERS | PADDED, stream, pad + head),
            frame(HEADERS, END_HEADERS | PADDED, stream, pad),
            frame(HEADERS, END_HEADERS | PADDED, stream, b""),
            frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM | PADDED, stream, pad + _EMPTY_MESSAGE),
            frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, PADDED, stream, pad + bytes(pad[0])) * 50,
            frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, PADDED, stream, b""),
        )
    )


def _hpack(rng: Random, stream: int) -> bytes:
    head = block(_head())
    garbage = rng.choice(
        (
            random_bytes(rng, 60),
            b"\x80" + head,  # index 0
            b"\xff" * 20,  # an index that never ends
            b"\xbf\x01" + head,  # an index that is not in the table
            b"\x3f\xe1\xff\x03" + head,  # a larger table than was allowed
            b"\x20" + head,  # no table
            head + b"\x20",  # a change of the table behind a header
            b"\x20" * 50 + head,
            head + b"\0\x7f\xff\xff\xff\xff\xff\xff\x0f",  # a length beyond all bounds
            head + b"\0\x01x\x85",  # a value that is cut
            head + b"\0\x81\xff\x01y",  # Huffman's code with a wrong end
            head + b"\0\x84\xff\xff\xff\xff\x01y",  # its end-of-string
            head + b"\x40\x01x\x03abc" + b"\xbe" * 200,  # a header that stays in the table, and is used again
            head + b"\x40\x0cgrpc-timeout\x03abc" + b"\xbe",
            head + b"\x40\x05x-bin\x03no!" + b"\xbe",
            Encoder().encode([*_head(), (b"x", b"y" * 3000)]),
            spoiled(rng, Encoder().encode(_head())),
            spoiled(rng, head),
        )
    )
    return frame(HEADERS, END_HEADERS | rng.choice((0, END_STREAM)), stream, garbage)


def _pings(rng: Random, _stream: int) -> bytes:
    return frame(PING, rng.choice((0, 0, 1, 0xFF)), rng.choice((0, 0, 3)), bytes(8)) * rng.choice((1, 5, 100))


def _goaway(rng: Random, stream: int) -> bytes:
    payload = struct.pack(">II", rng.choice((0, stream, 2**31 - 1, 2**32 - 1)), rng.randrange(16)) + random_bytes(rng)
    return frame(GOAWAY, 0, rng.choice((0, 0, 1)), payload)


def _noise(rng: Random, _stream: int) -> bytes:
    return random_bytes(rng, 100)


def _empty_data(rng: Random, stream: int) -> bytes:
    head = frame(HEADERS, END_HEADERS, stream, block(_head()))
    return head + frame(DATA, 0, stream) * rng.choice((1, 10, 300)) + frame(DATA, END_STREAM, stream, _EMPTY_MESSAGE)


_ATTACKS: tuple[Callable[[Random, int], bytes], ...] = (
    _request, _wrong_size, _length_lies, _unknown_type, _wrong_stream, _continuations, _pseudo_headers,
    _forbidden_headers, _odd_headers, _data_first, _after_the_end, _trailers, _resets, _windows, _settings,
    _priorities, _pushes, _padding, _hpack, _pings, _goaway, _noise, _empty_data,
)  # fmt: skip
