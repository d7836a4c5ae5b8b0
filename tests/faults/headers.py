"""Headers that nobody should send, malformed health and reflection messages, tunnels: others never notice."""

import time
from collections import Counter
from collections.abc import Iterator

from tests.clients import (
    EMPTY_FRAME,
    WEBSOCKET,
    Headers,
    Http2,
    Reply,
    connect,
    exchange,
    frame,
    grpc_headers,
    json_headers,
    outcome,
    request_bytes,
)
from tests.faults.report import Row, others
from tests.faults.running import Running

__all__ = ["FAULTS"]

_OK = (200, 0, "")
_MALFORMED = (200, 3, "MALFORMED_REQUEST")
_LIST_TAGS = "/conversations.v1.TagService/ListTags"
_WEB = "application/grpc-web"
_WATCH_SECONDS = 3.0
_GOOD_HEADERS = (("grpc-timeout", "10S"), ("grpc-encoding", "gzip"), ("x-recycle-bin", "AAAA"))


def poisoned_headers(service: Running) -> Iterator[Row]:
    """One call with a header that the gRPC library chokes on, then the calls of others for some seconds."""
    for what, path, sent, wanted in (
        ("gRPC-Web with grpc-timeout: abc", _LIST_TAGS, {"content-type": _WEB, "grpc-timeout": "abc"}, _MALFORMED),
        ("gRPC-Web with x-recycle-bin: no!", _LIST_TAGS, {"content-type": _WEB, "x-recycle-bin": "no!"}, _MALFORMED),
        ("JSON with grpc-encoding: br", "/tags.list", {"grpc-encoding": "br"}, _OK),
        ("JSON with x-recycle-bin: no!", "/tags.list", {"x-recycle-bin": "no!"}, _OK),
        ("JSON with a+b and x!y", "/tags.list", {"a+b": "1", "x!y": "1"}, _OK),
    ):
        body = EMPTY_FRAME if path == _LIST_TAGS else b"{}"
        like: Counter[str] = Counter()
        with service.bystander.watching() as effects, Http2(service.http_port) as client:
            found = outcome(exchange(service.http_port, request_bytes(path, body, **sent)))
            until = time.monotonic() + _WATCH_SECONDS
            while time.monotonic() < until:
                # Of somebody else, with headers of the same names that are as they should be.
                answers = {outcome(client.call(headers, data)) for headers, data in _good_calls(service.http_port)}
                like["fine" if answers == {_OK} else str(answers)] += 1
                time.sleep(0.05)
        yield Row(f"{what}: its sender", str(found), str(wanted), found == wanted)
        yield Row(f"{what}: others' headers like it", str(dict(like)), "all fine", set(like) == {"fine"})
        yield others(what, effects[0])


def _good_calls(port: int) -> list[tuple[Headers, bytes]]:
    return [
        (grpc_headers(port, _LIST_TAGS, *_GOOD_HEADERS), EMPTY_FRAME),
        (json_headers(port, "/tags.list", *_GOOD_HEADERS), b"{}"),
    ]


def large_headers(service: Running) -> Iterator[Row]:
    """The same call with an authorization of a given size, again and again: always the same answer."""
    with service.bystander.watching() as effects:
        for size in (7_500, 15_000, 40_000, 70_000):
            header = ("authorization", "Bearer ".ljust(size, "x"))
            fits = size <= 60 * 1024
            found = {
                "JSON": _json_forty_times(service.http_port, header),
                "gRPC": _grpc_forty_times(service.http_port, header),
                "gRPC to a worker": _grpc_forty_times(service.grpc_port, header),
            }
            wanted = {
                what: {_OK if fits else (431 if what == "JSON" else 200, 8, "REQUEST_TOO_LARGE"): 40} for what in found
            }
            measured = "; ".join(f"{what} {dict(answers)}" for what, answers in found.items())
            asked = f"always {200 if fits else 431}, or in gRPC {0 if fits else 8}"
            yield Row(f"authorization of {size:,} bytes, 40 times", measured, asked, found == wanted)
    yield others("large headers", effects[0])


def _json_forty_times(port: int, header: tuple[str, str]) -> Counter[tuple[int, int, str]]:
    call = request_bytes("/tags.list", b"{}", **dict([header]))
    return Counter(outcome(exchange(port, call)) for _ in range(40))


def _grpc_forty_times(port: int, header: tuple[str, str]) -> Counter[tuple[int, int, str]]:
    with Http2(port) as client:
        return Counter(outcome(client.call(grpc_headers(port, _LIST_TAGS, header), EMPTY_FRAME)) for _ in range(40))


def health_and_reflection(service: Running) -> Iterator[Row]:
    """`Health/List`, and invalid health and reflection messages."""
    reflection = "ServerReflection/ServerReflectionInfo"
    calls = [("List", "/grpc.health.v1.Health/List", b"")]
    for path in (
        *(f"/grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch")),
        f"/grpc.reflection.v1alpha.{reflection}",
    ):
        calls.append((f"malformed {path.rpartition('/')[2]}", path, b"\x0a\xff"))
    with service.bystander.watching() as effects:
        for name, port in (("Envoy", service.http_port), ("a worker", service.grpc_port)):
            found = {}
            for what, path, message in calls:
                with Http2(port) as client:
                    found[what] = outcome(client.call(grpc_headers(port, path), frame(message)))
            measured = "; ".join(f"{what} {code} {reason}" for what, (_, code, reason) in found.items())
            met = all(answer == (_OK if what == "List" else _MALFORMED) for what, answer in found.items())
            yield Row(f"health and reflection of {name}", measured, "List 0, the others 3 MALFORMED_REQUEST", met)
    yield _no_tracebacks("health and reflection", service)
    yield others("health and reflection", effects[0])


def tunnels(service: Running) -> Iterator[Row]:
    """Requests for a WebSocket and for an HTTP/2 tunnel."""
    wanted = (501, 12, "UNSUPPORTED_PROTOCOL")
    port = service.http_port
    with service.bystander.watching() as effects:
        replies: dict[str, Reply] = {}
        for path in ("/", "/tags.list"):
            replies[f"WebSocket at {path}"] = exchange(port, request_bytes(path, b"", "GET", **WEBSOCKET))
        replies["CONNECT in HTTP/2"] = connect(port)
        replies["CONNECT in HTTP/1"] = exchange(port, b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", timeout=5)
    for what, reply in replies.items():
        found = outcome(reply)
        yield Row(what, str(found), str(wanted), found == wanted)
    yield _no_tracebacks("tunnels", service)
    yield others("tunnels", effects[0])


def _no_tracebacks(what: str, service: Running) -> Row:
    logs = [log for log in (service.stack.data_dir / "logs").glob("*.log") if log.name != "access.log"]
    bad = [
        f"{log.name}: {line}"
        for log in logs
        for line in log.read_text().splitlines()
        if "Traceback" in line or "script log" in line or "[critical]" in line
    ]
    return Row(f"{what}: errors in logs", "; ".join(bad)[:200] or "none", "none", not bad)


FAULTS = (poisoned_headers, large_headers, health_and_reflection, tunnels)
