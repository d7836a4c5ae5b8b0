"""The programs that make load, each as a function: so many connections, one call at a time on each.

All use one thread, so that on a machine with two cores the server has the other one.
"""

import json
import math
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.pump import write_requests

__all__ = [
    "CONNECTIONS",
    "Load",
    "LoadError",
    "engine_rate",
    "h2load",
    "missing_programs",
    "percentile",
    "prepared",
    "pump",
    "redis_benchmark",
    "wrk",
]

CONNECTIONS = 16

_PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk", "redis-benchmark": "redis-tools"}
_PATIENCE_SECONDS = 60.0
_TRIAL_SECONDS = 0.05


class LoadError(Exception):
    """Raised when a program did not measure what it should: an error among the answers, or one of its own."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a program saw."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def calls_per_second(self) -> float:
        """Return the throughput."""
        return self.calls / self.seconds


def missing_programs() -> dict[str, str]:
    """Return the programs that are not there, each with the Debian package that has it."""
    missing = {program: package for program, package in _PACKAGES.items() if shutil.which(program) is None}
    # Debian keeps it off the PATH.
    if shutil.which("initdb") is None and not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        missing["PostgreSQL"] = "postgresql"
    return missing


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so many of the values, from 0.0 to 1.0, do not exceed; of none, not a number."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def h2load(
    target: str,
    path: str,
    message: bytes,
    seconds: float,
    *,
    answer_bytes: int | None = None,
    tolerance: float = 0.0,
    connections: int = CONNECTIONS,
    calls_per_second: int | None = None,
) -> Load:
    """Repeat one gRPC call.

    Args:
        target: `HOST:PORT`.
        path: Of the method, as `/package.Service/Method`.
        message: The request, serialised.
        seconds: How long.
        answer_bytes: Size of the right answer. Errors of gRPC come with status 200 of HTTP, and without an answer.
        tolerance: By which share the answers may be of another size.
        connections: How many.
        calls_per_second: The most on each connection; None is as many as come.
    """
    with TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        command = ["h2load", "-c", str(connections), "-m", "1", "-t", "1", "-D", f"{round(seconds * 1000)}ms"]
        if calls_per_second:
            command += ["--rps", str(calls_per_second)]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        output = _run([*command, "-d", str(body), *headers, f"--log-file={log}", f"http://{target}{path}"], seconds)
        return parse_h2load(output, log.read_text(), answer_bytes, tolerance)


def parse_h2load(output: str, log: str, answer_bytes: int | None, tolerance: float = 0.0) -> Load:
    """Return what h2load printed, with the times in its log: start in microseconds, status, duration."""
    finished = re.search(r"finished in ([\d.]+)(us|ms|s|m)?, ", output)
    requests = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    data = re.search(r"\((\d+)\) data", output)
    if not (finished and requests and data):
        raise LoadError(f"h2load says nothing of use: {output}")
    done, succeeded, failed, errored = map(int, requests.groups())
    if failed or errored or done != succeeded:
        raise LoadError(f"h2load saw errors: {requests[0]}")
    # Calls that are cut off at the end may leave parts of their answers.
    slack = tolerance * done
    if answer_bytes is not None and not -slack <= int(data[1]) / (answer_bytes + 5) - done <= CONNECTIONS + slack:
        raise LoadError(f"{done} answers of {answer_bytes} bytes are not {data[1]} bytes: some calls failed")
    durations = [int(line.split("\t")[2]) for line in log.splitlines()]
    seconds = float(finished[1]) * {"us": 1e-6, "ms": 1e-3, "m": 60.0}.get(finished[2], 1.0)
    return Load(done, seconds, percentile(durations, 0.5) / 1e3, percentile(durations, 0.99) / 1e3)


def wrk(url: str, requests: Sequence[tuple[str, object]], seconds: float) -> Load:
    """POST JSON bodies, one after the other and from the start again: path and body of each."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "requests"
        file.write_text("".join(f"{path}\t{json.dumps(body)}\n" for path, body in requests))
        command = ["wrk", "-c", str(CONNECTIONS), "-t", "1", "-d", f"{math.ceil(seconds)}s", "--timeout", "20s"]
        script = Path(__file__).with_name("wrk.lua")
        return parse_wrk(_run([*command, "-s", str(script), url, "--", str(file)], seconds))


def parse_wrk(output: str) -> Load:
    """Return what wrk.lua printed."""
    found = re.search(r"^result (.*)$", output, re.M)
    if found is None:
        raise LoadError(f"wrk says nothing of use: {output}")
    result = json.loads(found[1])
    if result["errors"]:
        raise LoadError(f"wrk saw errors: {output}")
    return Load(result["calls"], result["seconds"], result["p50_ms"], result["p99_ms"])


def redis_benchmark(url: str, command: Sequence[str], calls: int) -> Load:
    """Repeat one Redis command. Whether its reply is no error has to be known before."""
    options = ["-s", url.removeprefix("unix://"), "-c", str(CONNECTIONS), "-P", "1", "--csv", "-n", str(calls)]
    return parse_redis_benchmark(_run(["redis-benchmark", *options, *command], _PATIENCE_SECONDS), calls)


def engine_rate(url: str, command: Sequence[str]) -> float:
    """Return about how many calls per second there are: redis-benchmark wants to know how many, not how long."""
    calls = CONNECTIONS
    while (load := redis_benchmark(url, command, calls)).seconds < _TRIAL_SECONDS:
        calls *= 8
    return load.calls_per_second


def parse_redis_benchmark(output: str, calls: int) -> Load:
    """Return what redis-benchmark printed as CSV."""
    try:
        header, line = output.strip().splitlines()
        names = header.split(",")[1:]
        # The first field is the command; quotes and commas in it are not escaped.
        figures = line.split(",")[-len(names) :]
        row = {name.strip('"'): float(figure.strip('"')) for name, figure in zip(names, figures, strict=True)}
        return Load(calls, calls / row["rps"], row["p50_latency_ms"], row["p99_latency_ms"])
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise LoadError(f"redis-benchmark says nothing of use: {output}") from error


@contextmanager
def prepared(requests: Sequence[tuple[str, bytes]]) -> Iterator[Path]:
    """Give a file of requests for `pump`."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "requests"
        write_requests(file, requests)
        yield file


def pump(address: str, requests: Path, seconds: float, *, answer_bytes: int | None = None) -> Load:
    """Send prepared requests until the time or the requests are over; see `bench.pump`."""
    command = [sys.executable, "-m", "bench.pump", "--address", address, "--requests", str(requests)]
    output = _run([*command, "--seconds", str(seconds), "--connections", str(CONNECTIONS)], seconds)
    result = json.loads(output)
    times = result["latencies_us"]
    if answer_bytes is not None and result["answer_bytes"] != result["calls"] * (answer_bytes + 5):
        raise LoadError(f"{result['calls']} answers of {answer_bytes} bytes are not {result['answer_bytes']} bytes")
    return Load(result["calls"], result["seconds"], percentile(times, 0.5) / 1e3, percentile(times, 0.99) / 1e3)


def _run(command: Sequence[str], seconds: float) -> str:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + _PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} does not end") from error
    if ended.returncode:
        raise LoadError(f"{command[0]} ends with {ended.returncode}: {(ended.stderr or ended.stdout).strip()}")
    return ended.stdout
