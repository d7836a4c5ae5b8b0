"""Commands as MONITOR shows them become the bytes that were sent; redis-benchmark is read as it prints."""

import pytest
from bench.engine import can_repeat, parse_benchmark, parse_monitor_line
from bench.generators import Load, LoadError


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


_BENCHMARK = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",'
    '"max_latency_ms"\n"FCALL a ""b, c"" ","2000.00","5.477","2.488","5.319","6.167","7.871","11.639"\n'
)


def test_redis_benchmark() -> None:
    assert parse_benchmark(_BENCHMARK, 1000) == Load(1000, 0.5, 5.319, 7.871)
    # Quotes and ends of lines in the command are not escaped.
    header, line = _BENCHMARK.splitlines()
    quoted = f'{header}\n"FCALL_RO f \x1e\n ["values","st","closed"] {line[1:]}\n'
    assert parse_benchmark(quoted, 1000) == Load(1000, 0.5, 5.319, 7.871)


@pytest.mark.parametrize(("command", "can"), [((b"FCALL", b"a", b"\0"), True), ((b"FCALL", b"\0", b"a"), False)])
def test_only_the_last_word_can_hold_any_byte(command: tuple[bytes, ...], can: bool) -> None:
    assert can_repeat(command) == can


@pytest.mark.parametrize("output", ["", _BENCHMARK.splitlines()[0], "ERROR: no connection"])
def test_redis_benchmark_without_figures_is_no_measurement(output: str) -> None:
    with pytest.raises(LoadError):
        parse_benchmark(output, 1000)
