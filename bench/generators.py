"""What makes load, each as a function: so many connections, one call at a time on each, from one thread.

h2load repeats one call; libcurl sends calls that differ. Both speak gRPC and JSON.
"""

import json
import math
import re
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pycurl
from bench.calls import Call

__all__ = ["CONNECTIONS", "Load", "LoadError", "meanwhile", "output_of", "parse_h2load", "repeat", "send_each"]

CONNECTIONS = 16
_PATIENCE_SECONDS = 120.0
_GRPC = ["content-type: application/grpc", "te: trailers"]
_JSON = ["content-type: application/json"]


class LoadError(Exception):
    """Raised when there is no measurement: an error among the answers, or of the program that makes the load."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was sent and answered."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def calls_per_second(self) -> float:
        """Return the throughput."""
        return self.calls / self.seconds


def _load(latencies_us: Sequence[float], seconds: float) -> Load:
    ordered = sorted(latencies_us) or [math.nan]
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] / 1000 for share in (0.5, 0.99))
    return Load(len(latencies_us), seconds, p50, p99)


def _body(call: Call, grpc: bool) -> tuple[str, bytes]:
    """Return path and body of a request."""
    if grpc:
        return call.method, struct.pack(">BI", 0, len(call.message)) + call.message
    return call.path, json.dumps(call.body).encode()


def repeat(
    address: str, call: Call, seconds: float, *, grpc: bool, answer_bytes: int | None = None, tolerance: float = 0.0
) -> Load:
    """Repeat one call by h2load.

    Args:
        address: `HOST:PORT`.
        call: What is asked.
        seconds: How long.
        grpc: Whether by gRPC; otherwise in JSON by HTTP/1.1.
        answer_bytes: Size of the right answer. Errors of gRPC come with status 200 of HTTP, and without an answer.
        tolerance: By which share the answers may be of another size.
    """
    with TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        path, data = _body(call, grpc)
        body.write_bytes(data)
        options = ["-c", str(CONNECTIONS), "-m", "1", "-t", "1", "-D", f"{round(seconds * 1000)}ms"]
        protocol = [part for header in (_GRPC if grpc else _JSON) for part in ("-H", header)] + ["--h1"] * (not grpc)
        command = ["h2load", *options, *protocol, "-d", str(body), f"--log-file={log}", f"http://{address}{path}"]
        return parse_h2load(
            output_of(command), log.read_text(), None if answer_bytes is None else answer_bytes + 5, tolerance
        )


def parse_h2load(output: str, log: str, answer_bytes: int | None = None, tolerance: float = 0.0) -> Load:
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
    if answer_bytes and not -slack <= int(data[1]) / answer_bytes - done <= CONNECTIONS + slack:
        raise LoadError(f"{done} answers of {answer_bytes} bytes are not {data[1]} bytes: some calls failed")
    seconds = float(finished[1]) * {"us": 1e-6, "ms": 1e-3, "m": 60.0}.get(finished[2], 1.0)
    return _load([int(line.split("\t")[2]) for line in log.splitlines()], seconds)


def send_each(
    address: str, calls: Sequence[Call], seconds: float, *, grpc: bool, answer_bytes: int | None = None
) -> Load:
    """Send calls once each by libcurl, until they or the time are over; the arguments are those of `repeat`."""
    remaining = iter([_body(call, grpc) for call in calls])
    transfers = pycurl.CurlMulti()
    transfers.setopt(pycurl.M_PIPELINING, pycurl.PIPE_NOTHING)  # a connection for each
    headers: dict[pycurl.Curl, list[bytes]] = {}
    latencies_us: list[float] = []
    start = time.perf_counter()

    def start_next(curl: pycurl.Curl) -> bool:
        request = next(remaining, None) if time.perf_counter() < start + seconds else None
        if request is None:
            return False
        path, body = request
        headers[curl].clear()
        curl.setopt(pycurl.URL, f"http://{address}{path}")
        curl.setopt(pycurl.POSTFIELDS, body)
        transfers.add_handle(curl)
        return True

    for _ in range(CONNECTIONS):
        curl = pycurl.Curl()
        headers[curl] = []
        curl.setopt(pycurl.HTTPHEADER, _GRPC if grpc else _JSON)
        curl.setopt(pycurl.WRITEFUNCTION, lambda _: None)
        curl.setopt(pycurl.HEADERFUNCTION, headers[curl].append)
        if grpc:
            curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
    under_way = sum([start_next(curl) for curl in headers])
    while under_way:
        transfers.perform()
        _, done, failed = transfers.info_read()
        if failed:
            raise LoadError(f"a call failed: {failed[0][2]}")
        for curl in done:
            transfers.remove_handle(curl)
            status, size = curl.getinfo(pycurl.RESPONSE_CODE), curl.getinfo(pycurl.SIZE_DOWNLOAD_T)
            if status not in (200, 204) or (grpc and b"grpc-status: 0\r\n" not in headers[curl]):
                raise LoadError(f"a call failed with {status}: {headers[curl]}")
            if answer_bytes is not None and size != answer_bytes + 5:
                raise LoadError(f"an answer has {size - 5} bytes, not {answer_bytes}")
            latencies_us.append(curl.getinfo(pycurl.TOTAL_TIME) * 1e6)
            under_way += start_next(curl) - 1
        if not done:
            transfers.select(1.0)
    return _load(latencies_us, time.perf_counter() - start)


@contextmanager
def meanwhile(write: Callable[[], object], per_second: float) -> Iterator[None]:
    """Write at a steady rate, as long as the block; raises what one of the writes raised."""
    stopped = Event()

    def keep_writing() -> None:
        next_at = time.monotonic()
        while not stopped.wait(max(0.0, next_at - time.monotonic())):
            next_at += 1 / per_second
            write()

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(keep_writing)
        try:
            yield
        finally:
            stopped.set()
        written.result()


def output_of(command: Sequence[str | bytes], given: bytes = b"") -> str:
    """Return what a program prints.

    Raises:
        LoadError: It failed, or did not end.
    """
    try:
        ended = subprocess.run(command, capture_output=True, input=given, timeout=_PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]!r} does not end") from error
    if ended.returncode:
        raise LoadError(f"{command[0]!r} ends with {ended.returncode}: {(ended.stderr or ended.stdout).decode()}")
    return ended.stdout.decode(errors="replace")
