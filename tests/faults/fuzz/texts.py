"""Odd texts, numbers and bytes, and what spoils bytes that were right."""

from collections.abc import Callable
from random import Random

__all__ = ["ODD_TEXTS", "digits", "odd_number", "odd_text", "random_bytes", "spoiled", "words"]

WORDS = (
    "ada lovelace grace hopper turing kettle chain berlin order late refund open closed viber sms 0 1 42 -7 "
    "2024-06-01 x Ünïcödé straße 東京 عمر 🙂 é a-b a_b a.b NULL true"
).split()

ODD_TEXTS = (
    "",
    " ",
    "\t\r\n",
    "\0",
    "a\0b",
    "\x7f",
    "\x1b[31m",
    "\u0085\u2028\u2029",
    "\ufeff",
    "\ufffe\uffff",
    "\ud800",
    "\udc00\ud800",
    "a\udfffz",
    "\u202egnp.exe",
    "e" + "\u0301" * 50,
    "👩‍👩‍👧‍👦" * 20,
    "\U0010ffff",
    "İıſKß",
    "%00",
    "%n%s%d",
    "../../etc",
    "';--",
    '"',
    "\\",
    "\\u0000",
    "{}",
    "[]",
    "<b>&amp;",
    "${x}",
    "{{x}}",
    "*",
    "?",
    "@x:{y}",
    "-0",
    "nan",
    "1e999",
    "9" * 40,
    "00000000-0000-0000-0000-000000000000",
    "A688D36C-A85E-44AF-BC02-4248C2C97622",
    "{a688d36c-a85e-44af-bc02-4248c2c97622}",
    "a688d36ca85e44afbc024248c2c97622",
    "a688d36c-a85e-44af-bc02-4248c2c9762g",
    "a688d36c-a85e-44af-bc02-4248c2c97622\n",
    "a688d36c-a85e-44af-bc02-4248c2c97622 ",
    "а688d36c-a85e-44af-bc02-4248c2c97622",
    "2019-02-30T00:00:00Z",
    "2019-01-07T25:61:61Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2019-01-07T09:01:44.0000000000001Z",
    "2019-01-07T09:01:44+99:99",
    "2019-01-07",
    "tag-RED",
    "open",
    "STATE_UNSPECIFIED",
)

_NUMBERS: tuple[float, ...] = (
    0, -0.0, 1, -1, 0.5, 1e-320, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"),
    2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), 2**63 - 1, 2**63,
    -(2**63) - 1, 2**64, 10**18, 10**30, 10**308, 10**400,
)  # fmt: skip


def words(rng: Random, most: int = 3) -> str:
    """Return some words."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def odd_text(rng: Random) -> str:
    """Return a text that may be too long, hold what no text should, or be nothing."""
    chance = rng.random()
    if chance < 0.7:
        return rng.choice(ODD_TEXTS)
    if chance < 0.8:
        return "".join(chr(rng.choice((rng.randrange(0x20), rng.randrange(0x3000), 0x1F600))) for _ in range(8))
    if chance < 0.97:
        return rng.choice(("a", "é", "🙂", "\\", "(", " ", "\0")) * rng.choice((50, 256, 257, 1000, 4096, 4097))
    return rng.choice(("a", "ab ", "\u2028")) * rng.choice((10_000, 30_000))


def odd_number(rng: Random) -> float:
    """Return a number at or beyond a bound, of any kind."""
    return rng.choice(_NUMBERS)


def digits(rng: Random) -> str:
    """Return what may be read as a whole number."""
    choices = ("0", "00", "-1", "+1", "1.0", "1e3", "0x10", "٣", "", " 1", "1 ", "9" * 5, "9" * 19, "9" * 400, "1_0")
    return rng.choice(choices) if rng.random() < 0.5 else str(rng.randrange(200_000))


def random_bytes(rng: Random, most: int = 64) -> bytes:
    """Return anything."""
    return rng.randbytes(rng.randint(0, most))


def spoiled(rng: Random, data: bytes) -> bytes:
    """Return bytes that were cut, added to, or changed in one way."""
    return rng.choice(_SPOILS)(rng, data)


def _place(rng: Random, data: bytes) -> int:
    return rng.randint(0, len(data))


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def _without(rng: Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at + rng.randint(1, 4) :]


def _with(piece: bytes) -> Callable[[Random, bytes], bytes]:
    def insert(rng: Random, data: bytes) -> bytes:
        at = rng.choice((0, len(data), _place(rng, data)))
        return data[:at] + piece + data[at:]

    return insert


def _flipped(rng: Random, data: bytes) -> bytes:
    if not data:
        return b"\1"
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _noise(rng: Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + random_bytes(rng, 16) + data[at:]


def _repeated(rng: Random, data: bytes) -> bytes:
    start, end = sorted((_place(rng, data), _place(rng, data)))
    return data[:end] + data[start:end] * rng.choice((1, 2, 20)) + data[end:]


_SPOILS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _cut,
    _cut,
    _without,
    _flipped,
    _flipped,
    _noise,
    _repeated,
    *map(
        _with,
        (
            b"\0",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf5\x80\x80\x80",
            b"\x80",
            b" " * 1000,
            b"[" * 200,
            b"{}",
            b'"',
            b",",
            b"]",
            b"}",
            b"//x\n",
            b"\n\n",
        ),
    ),
    lambda _rng, data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda rng, _data: random_bytes(rng, 200),
    lambda _rng, _data: b"",
)
