"""What Redis does by itself: the commands that the worker sends, seen by MONITOR, and plain searches.

Source:
    https://redis.io/docs/latest/commands/monitor/
"""

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

import redis
from bench.scenarios import PAGE_SIZE

__all__ = ["Command", "captured", "parse_monitor_line", "plain_search", "resp", "varied"]

Command = tuple[bytes, ...]

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.S)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_CALLS = (b"FCALL", b"FCALL_RO", b"EVALSHA", b"EVALSHA_RO")


def captured(redis_url: str, call: Callable[[], object]) -> list[Command]:
    """Return the function calls that reach Redis while `call` runs."""
    marker = uuid4().hex.encode()
    with socket.socket(socket.AF_UNIX) as monitor, redis.Redis.from_url(redis_url) as client:
        monitor.connect(redis_url.removeprefix("unix://"))
        lines = monitor.makefile("rb")
        monitor.sendall(b"MONITOR\r\n")
        lines.readline()
        call()
        client.echo(marker)
        seen: list[Command] = []
        for line in lines:
            command = parse_monitor_line(line)
            if command[-1:] == (marker,):
                return seen
            if command and command[0].upper() in _CALLS:
                seen.append(command)
    raise ConnectionError("Redis ended the monitoring")


def parse_monitor_line(line: bytes) -> Command:
    """Return the words of a command that a client sent; none for what a function called."""
    head, _, words = line.partition(b"] ")
    if head.endswith(b" lua"):
        return ()
    return tuple(_ESCAPE.sub(_unescaped, word) for word in _WORD.findall(words))


def _unescaped(match: "re.Match[bytes]") -> bytes:
    code = match[1]
    return bytes.fromhex(code[1:].decode()) if len(code) == 3 else _ESCAPED.get(code, code)


def resp(commands: Sequence[Command]) -> bytes:
    """Return commands as Redis reads them."""
    return b"".join(
        b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
        for command in commands
    )


def varied(commands: Sequence[Command], replacements: Mapping[bytes, bytes]) -> list[Command]:
    """Return commands with ids and times replaced, also inside serialised messages.

    Raises:
        ValueError: A replacement has another length, which would break the messages.
    """
    if any(len(old) != len(new) for old, new in replacements.items()):
        raise ValueError("a replacement has another length")
    pattern = re.compile(b"|".join(re.escape(value) for value in replacements))
    return [tuple(pattern.sub(lambda found: replacements[found[0]], word) for word in command) for command in commands]


def plain_search(query: str) -> list[str]:
    """Return the search that RediSearch's documentation leads to: the newest page, without its contents."""
    page = f"NOCONTENT SORTBY lm DESC LIMIT 0 {PAGE_SIZE} DIALECT 2".split()
    return ["FT.SEARCH", "conversations:{0}", query, *page]
