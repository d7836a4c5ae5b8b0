"""Commands as MONITOR shows them become the bytes that were sent."""

import pytest
from bench.engine import parse_monitor_line, resp, varied


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b'+1700000000.1 [0 unix:/tmp/a b] "FCALL" "get" "1" "{0}"\r\n', (b"FCALL", b"get", b"1", b"{0}")),
        (b'+1700000000.1 [0 127.0.0.1:1] "ECHO" "a \\"b\\" \\\\ ] "\r\n', (b"ECHO", b'a "b" \\ ] ')),
        (b'+1700000000.1 [0 127.0.0.1:1] "SET" "" "\\x00\\n\\r\\t\\a\\b\\xff"\r\n', (b"SET", b"", b"\0\n\r\t\a\b\xff")),
        (b'+1700000000.1 [0 127.0.0.1:1] "ECHO" "\\\\x41"\r\n', (b"ECHO", b"\\x41")),
        pytest.param(b'+1700000000.1 [0 lua] "HGET" "a"\r\n', (), id="what a function calls"),
    ],
)
def test_monitor_line(line: bytes, command: tuple[bytes, ...]) -> None:
    assert parse_monitor_line(line) == command


def test_resp_has_the_lengths_in_bytes() -> None:
    assert resp([(b"ECHO", "ä".encode()), (b"PING",)]) == b"*2\r\n$4\r\nECHO\r\n$2\r\n\xc3\xa4\r\n*1\r\n$4\r\nPING\r\n"


def test_values_are_replaced_at_once_and_inside_of_words() -> None:
    commands = [(b"FCALL", b"id-1", b"\x12\x04id-1 id-2"), (b"FCALL", b"id-2")]
    replacements = {b"id-1": b"id-2", b"id-2": b"id-3"}
    assert varied(commands, replacements) == [(b"FCALL", b"id-2", b"\x12\x04id-2 id-3"), (b"FCALL", b"id-3")]


def test_a_replacement_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        varied([(b"FCALL", b"id-1")], {b"id-1": b"id-10"})
