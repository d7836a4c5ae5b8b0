"""Endless and oversized input: streams without a request, stalled bodies, millions of empty events."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from tests.clients import Http2, frame, grpc_headers
from tests.faults.report import Row, others
from tests.faults.running import Running, peak_mib, resident_mib

__all__ = ["FAULTS"]

_ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
_INGEST = "/conversations.v1.IngestService/IngestEvents"
_LIST_TAGS = "/conversations.v1.TagService/ListTags"
_HALF = frame(b"abc" * 9)[:8]


def idle_streams(service: Running) -> Iterator[Row]:
    """Five connections with a thousand gRPC streams each, headers only."""
    for name, port in _ports(service):
        with ExitStack() as clients, service.bystander.watching() as effects:
            opened = sum(_opened(clients.enter_context(Http2(port)), port, 1000) for _ in range(5))
            time.sleep(5)
        yield others(f"{opened} idle gRPC streams to {name}", effects[0])


def _opened(client: Http2, port: int, most: int) -> int:
    """Open streams as long as the peer accepts them."""
    opened = 0
    while opened < most and client.terminated is None and not client.refuses_streams:
        client.request(grpc_headers(port, _LIST_TAGS), end=False)
        opened += 1
        if opened % 50 == 0:
            client.socket.settimeout(0.01)
            with suppress(TimeoutError):
                client.pump()
    return opened


def cut_messages(service: Running) -> Iterator[Row]:
    """gRPC requests that end before their message does."""
    bodies = {"nothing": b"", "a zero": b"\0", "half a message": _HALF, "half a frame": b"\0\0\0"}
    for name, port in _ports(service):
        statuses = {what: _status_of(port, body) for what, body in bodies.items()}
        met = set(statuses.values()) == {"3"}
        yield Row(f"gRPC requests cut off, to {name}", str(statuses), "3: INVALID_ARGUMENT", met)


def _status_of(port: int, body: bytes) -> str:
    try:
        with Http2(port, timeout=5) as client:
            return str(client.call(grpc_headers(port, _LIST_TAGS), body).grpc_status)
    except TimeoutError:
        return "open for ever"


def slow_bodies(service: Running) -> Iterator[Row]:
    """Bodies that stall, and bodies that arrive at a byte per second."""
    with ThreadPoolExecutor(6) as pool, service.bystander.watching() as effects:
        times = {
            "HTTP/1, stopped": pool.submit(_slow_http1, service.http_port, "/conversations.list", False),
            "HTTP/1, crawling": pool.submit(_slow_http1, service.http_port, "/conversations.list", True),
            "HTTP/1, events, crawling": pool.submit(_slow_http1, service.http_port, "/events.ingest", True),
            "gRPC, stopped": pool.submit(_slow_grpc, service.http_port, _HALF),
            "gRPC, headers only": pool.submit(_slow_grpc, service.http_port, b""),
            "gRPC to a worker, stopped": pool.submit(_slow_grpc, service.grpc_port, _HALF),
        }
        seconds = {name: future.result() for name, future in times.items()}
    for name, taken in seconds.items():
        yield Row(f"slow request, {name}: until it is refused", f"{taken:.1f} s", "31 s at most", taken <= 31)
    yield others("slow requests", effects[0])


def _slow_http1(port: int, path: str, crawls: bool) -> float:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection, suppress(ConnectionError):
        connection.sendall(head.encode())
        while time.monotonic() - began < 60:
            if crawls:
                connection.sendall(b" ")
            with suppress(TimeoutError):
                connection.recv(1000)
                break
    return time.monotonic() - began


def _slow_grpc(port: int, part: bytes) -> float:
    began = time.monotonic()
    with Http2(port, timeout=60) as client, suppress(TimeoutError):
        client.reply(client.request(grpc_headers(port, _LIST_TAGS), part, end=False))
    return time.monotonic() - began


def stalled_bodies(service: Running) -> Iterator[Row]:
    """Forty bodies of almost 8 MiB that stop before their end."""
    [envoy], [worker, *_] = service.pids("envoy"), service.pids("serve")
    before = {pid: resident_mib(pid) for pid in (envoy, worker)}
    size = 8 * 1024 * 1024
    head = f"POST /events.ingest HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n"
    body = b'{"events":[' + b"{}," * ((size - 100_000) // 3)
    with ExitStack() as connections, service.bystander.watching() as effects:
        for _ in range(40):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", service.http_port), 5))
            with suppress(OSError):
                connection.sendall(head.encode() + body)
        time.sleep(1)
        grown = {pid: resident_mib(pid) - was for pid, was in before.items()}
    what = "40 bodies of 8 MB that stall"
    for name, pid, most in (("Envoy", envoy, 100), ("worker", worker, 300)):
        yield Row(f"{what}: {name}", f"+{grown[pid]:.0f} MiB", f"+{most} MiB at most", grown[pid] <= most)
    yield others(what, effects[0])


def large_requests(service: Running) -> Iterator[Row]:
    """Millions of empty events, millions of zeros, as JSON and as gRPC."""
    metadata = f'{{"subject":"conversation","id":"{_ID}"'.encode()
    zeros = b",".join([b"0"] * 3_900_000)
    for what, path, body, asked in (
        ("2.6 million empty events as JSON", "/events.ingest", b'{"events":[' + b"{}," * 2_600_000 + b"{}]}", (400,)),
        (
            "an event with 3.9 million zeros as JSON",
            "/events.ingest",
            b'{"events":[{"metadata":' + metadata + b',"metadata":{"a":[' + zeros + b"]}}}]}",
            (200,),
        ),
        (
            "3.9 million zeros in metadata.upsert as JSON",
            "/metadata.upsert",
            metadata + b',"data":{"a":[' + zeros + b"]}}",
            (413,),
        ),
    ):
        with service.bystander.watching() as effects:
            status, seconds = _post(service.http_port, path, body)
        yield Row(what, f"{status} after {seconds:.1f} s", " or ".join(map(str, asked)), status in asked)
        yield others(what, effects[0])
    with service.bystander.watching() as effects, Http2(service.grpc_port, timeout=30) as client:
        reply = client.call(grpc_headers(service.grpc_port, _INGEST), frame(b"\x0a\x00" * (8 << 20)))
    yield Row("8 million empty events by gRPC", f"status {reply.grpc_status}", "3", reply.grpc_status == 3)
    yield others("8 million empty events by gRPC", effects[0])
    peak = max(map(peak_mib, service.pids("serve")))
    yield Row("a worker's memory after all of these, at its peak", f"{peak:.0f} MiB", "300 MiB at most", peak <= 300)


def _post(port: int, path: str, body: bytes) -> tuple[int, float]:
    """Return status and seconds; 413 if the peer did not read it all."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(head + body)
            status = int(connection.recv(1000).split(b" ")[1])
        except ConnectionError:
            status = 413
    return status, time.monotonic() - began


def _ports(service: Running) -> tuple[tuple[str, int], ...]:
    return ("Envoy", service.http_port), ("a worker", service.grpc_port)


FAULTS = (idle_streams, cut_messages, slow_bodies, stalled_bodies, large_requests)
