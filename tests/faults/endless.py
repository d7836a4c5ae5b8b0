"""What never ends: streams without a request, bodies that stall or crawl, frames that are cut off."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.faults.report import Row
from tests.faults.running import Running, peak_mib, resident_mib
from tests.http2 import Http2, frame

__all__ = ["FAULTS"]

_LIST_TAGS = "/conversations.v1.TagService/ListTags"


def idle_streams(service: Running) -> Iterator[Row]:
    """Five connections with a thousand gRPC streams each, headers only."""
    for name, port in (("Envoy", service.http_port), ("a worker", service.grpc_port)):
        with service.bystander.watching() as effects:
            clients = [Http2(port) for _ in range(5)]
            opened = 0
            for client in clients:
                for _ in range(1000):
                    if client.closed or client.refuses_streams:
                        break
                    client.start_call(_LIST_TAGS)
                    opened += 1
            time.sleep(5)
        for client in clients:
            client.close()
        yield Row(
            f"5 connections with idle gRPC streams to {name} ({opened} got in)",
            str(effects[0]),
            "none, within twice the time",
            effects[0].is_none,
        )


def cut_messages(service: Running) -> Iterator[Row]:
    """gRPC requests that end before their message does."""
    bodies = {"nothing": b"", "a zero": b"\0", "half a message": frame(b"abc", 100), "half a frame": b"\0\0\0"}
    for name, port in (("Envoy", service.http_port), ("a worker", service.grpc_port)):
        statuses = {}
        for body_name, body in bodies.items():
            with Http2(port) as client:
                reply = client.call(_LIST_TAGS, body, seconds=5)
                statuses[body_name] = reply.grpc_status if reply.ended else "open"
        yield Row(
            f"gRPC requests cut off, to {name}", str(statuses), "3, INVALID_ARGUMENT", set(statuses.values()) == {3}
        )


def slow_bodies(service: Running) -> Iterator[Row]:
    """Bodies that stop, and bodies that come a byte a second."""
    head = f"POST /conversations.list HTTP/1.1\r\nhost: 127.0.0.1:{service.http_port}\r\ncontent-length: 1000\r\n\r\n"

    def stopped() -> float:
        with socket.create_connection(("127.0.0.1", service.http_port), timeout=60) as connection:
            connection.sendall(head.encode() + b"{")
            return _until_answered(connection)

    def crawling() -> float:
        with socket.create_connection(("127.0.0.1", service.http_port), timeout=1) as connection:
            connection.sendall(head.encode())
            began = time.monotonic()
            while time.monotonic() - began < 60:
                try:
                    connection.sendall(b" ")
                    if not connection.recv(1000):
                        break
                    return time.monotonic() - began
                except TimeoutError:
                    continue
                except OSError:
                    break
            return time.monotonic() - began

    def stream(port: int, part: bytes) -> float:
        with Http2(port) as client:
            call = client.start_call(_LIST_TAGS)
            client.send(call, part)
            began = time.monotonic()
            client.reply(call, 60)
            return time.monotonic() - began

    with ThreadPoolExecutor(5) as pool, service.bystander.watching() as effects:
        times = {
            "HTTP/1 stopped": pool.submit(stopped),
            "HTTP/1 crawling": pool.submit(crawling),
            "gRPC stopped": pool.submit(stream, service.http_port, frame(b"abc", 1000)),
            "gRPC headers only": pool.submit(stream, service.http_port, b""),
            "gRPC stopped, direct": pool.submit(stream, service.grpc_port, frame(b"abc", 1000)),
        }
        seconds = {name: future.result() for name, future in times.items()}
    for name, taken in seconds.items():
        yield Row(f"slow request, {name}: until refused", f"{taken:.1f} s", "31 s at most", taken <= 31)
    yield Row("slow requests: others", str(effects[0]), "none, within twice the time", effects[0].is_none)


def stalled_bodies(service: Running) -> Iterator[Row]:
    """Forty bodies of almost 8 MiB that stop before their end."""
    [envoy] = service.pids("envoy")
    before = resident_mib(envoy)
    size = 8 * 1024 * 1024 - 1000
    head = f"POST /events.ingest HTTP/1.1\r\nhost: 127.0.0.1:{service.http_port}\r\ncontent-length: {size}\r\n\r\n"
    with service.bystander.watching() as effects:
        connections = []
        for _ in range(40):
            connection = socket.create_connection(("127.0.0.1", service.http_port), timeout=5)
            try:
                connection.sendall(head.encode() + b" " * (size - 100_000))
            except OSError:
                pass
            connections.append(connection)
        time.sleep(1)
        grown = resident_mib(envoy) - before
    for connection in connections:
        connection.close()
    yield Row("40 bodies of 7.9 MB that stall: Envoy", f"+{grown:.0f} MiB", "bounded: +350 MiB at most", grown <= 350)
    yield Row(
        "40 bodies of 7.9 MB that stall: others", str(effects[0]), "none, within twice the time", effects[0].is_none
    )


def large_requests(service: Running) -> Iterator[Row]:
    """Millions of empty events, millions of zeros, as JSON and as gRPC."""
    events = b'{"events":[' + b",".join([b"{}"] * 2_600_000) + b"]}"
    zeros = json.dumps({"subject": "conversation", "id": "a688d36c-a85e-44af-bc02-4248c2c97622"})[:-1].encode()
    zeros += b',"data":{"a":[' + b",".join([b"0"] * 4_000_000 if False else [b"0"] * 400_000) + b"]}}"
    ingest_zeros = b'{"events":[{"metadata":{"subject":"conversation","id":"a688d36c-a85e-44af-bc02-4248c2c97622","metadata":{"user_data":{"a":['
    ingest_zeros += b",".join([b"0"] * 3_900_000) + b"]}}}}]}"
    workers = service.pids("serve")
    for name, path, body in (
        ("2.6 million empty events as JSON", "/events.ingest", events),
        ("an event with 3.9 million zeros as JSON", "/events.ingest", ingest_zeros),
        ("400,000 zeros in metadata.upsert as JSON", "/metadata.upsert", zeros),
    ):
        with service.bystander.watching() as effects:
            status, seconds = _post(service.http_port, path, body)
        yield Row(
            name,
            f"{status} after {seconds:.1f} s; {effects[0]}",
            "400 or 413; none",
            status in (400, 413) and effects[0].is_none,
        )
    with service.bystander.watching() as effects, Http2(service.http_port) as client:
        reply = client.call("/conversations.v1.IngestService/IngestEvents", frame(b"\x0a\x00" * (8 << 20)), seconds=30)
    yield Row(
        "8 million empty events by gRPC, 16 MB",
        f"status {reply.grpc_status}; {effects[0]}",
        "3; none",
        reply.grpc_status == 3 and effects[0].is_none,
    )
    peak = max(map(peak_mib, workers))
    yield Row("a worker's memory after all of these", f"{peak:.0f} MiB at its peak", "400 MiB at most", peak <= 400)


def _until_answered(connection: socket.socket) -> float:
    began = time.monotonic()
    try:
        connection.recv(1000)
    except TimeoutError:
        pass
    return time.monotonic() - began


def _post(port: int, path: str, body: bytes) -> tuple[int, float]:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(head + body)
        except OSError:
            pass
        answer = connection.recv(1000)
    return int(answer.split(b" ")[1]), time.monotonic() - began


FAULTS = (idle_streams, cut_messages, slow_bodies, stalled_bodies, large_requests)
