"""What the programs that make load print is read as it is, and an error among the answers is never a measurement."""

import pytest
from bench.loads import Load, LoadError, parse_h2load, parse_redis_benchmark, parse_wrk, percentile

_H2LOAD = """
finished in {time}, 2144.00 req/s, 20.96MB/s
requests: 4 total, 5 started, 4 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 41.93MB (43964699) total, 13.73KB (14064) headers (space savings 95.95%), 41.68MB ({data}) data
"""
_LOG = "1795392767069879\t200\t4000\n" * 3 + "1795392767069915\t200\t8000\n"


def _h2load(*, time: str = "2.00s", succeeded: int = 4, failed: int = 0, data: int = 4 * 105) -> str:
    return _H2LOAD.format(time=time, succeeded=succeeded, failed=failed, data=data)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0], 0.5, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 0.99, 4.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([1.0, 2.0], 0.0, 1.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_percentile_is_the_smallest_value_that_covers_the_share(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(("time", "seconds"), [("2.00s", 2.0), ("500.00ms", 0.5), ("900us", 0.0009)])
def test_h2load(time: str, seconds: float) -> None:
    load = parse_h2load(_h2load(time=time), _LOG, 100)
    assert (load.calls, load.p50_ms, load.p99_ms) == (4, 4.0, 8.0)
    assert load.seconds == pytest.approx(seconds)


def test_h2load_leaves_answers_that_were_cut_off_aside() -> None:
    assert parse_h2load(_h2load(data=5 * 105), _LOG, 100).calls == 4


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(_h2load(succeeded=3, failed=1), id="an HTTP error"),
        pytest.param(_h2load(data=3 * 105), id="a gRPC error, which has no answer"),
        pytest.param(_h2load(data=40 * 105), id="other answers"),
        pytest.param("h2load: option requires an argument", id="nonsense"),
    ],
)
def test_h2load_with_errors_is_no_measurement(output: str) -> None:
    with pytest.raises(LoadError):
        parse_h2load(output, _LOG, 100)


def test_h2load_takes_answers_of_another_size_within_the_tolerance() -> None:
    assert parse_h2load(_h2load(data=4 * 100), _LOG, 100, tolerance=0.1).calls == 4
    with pytest.raises(LoadError):
        parse_h2load(_h2load(data=4 * 50), _LOG, 100, tolerance=0.1)


_WRK = """Running 1s test @ http://127.0.0.1:1
  1500 requests in 1.00s, 9.1MB read

result {"calls": 1500, "seconds": 1.001331, "p50_ms": 10.256, "p99_ms": 22.124, "errors": %d, "bytes": 1}
"""


def test_wrk() -> None:
    assert parse_wrk(_WRK % 0) == Load(1500, 1.001331, 10.256, 22.124)


@pytest.mark.parametrize("output", [_WRK % 1, "unable to connect"])
def test_wrk_with_errors_is_no_measurement(output: str) -> None:
    with pytest.raises(LoadError):
        parse_wrk(output)


_REDIS_BENCHMARK = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",'
    '"max_latency_ms"\n"FT.SEARCH a ""b, c"" ","2000.00","5.477","2.488","5.319","6.167","7.871","11.639"\n'
)


def test_redis_benchmark() -> None:
    assert parse_redis_benchmark(_REDIS_BENCHMARK, 1000) == Load(1000, 0.5, 5.319, 7.871)
    # Quotes in the command are not escaped.
    header, line = _REDIS_BENCHMARK.splitlines()
    quoted = f'{header}\n"FCALL_RO f ["values","st","closed"] {line[1:]}\n'
    assert parse_redis_benchmark(quoted, 1000) == Load(1000, 0.5, 5.319, 7.871)


@pytest.mark.parametrize("output", ["", _REDIS_BENCHMARK.splitlines()[0], "ERROR: no connection"])
def test_redis_benchmark_without_figures_is_no_measurement(output: str) -> None:
    with pytest.raises(LoadError):
        parse_redis_benchmark(output, 1000)
