"""What the programs that make load print is read as it is, and an error among the answers is never a measurement."""

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import grpc
import pytest
from bench.calls import Call
from bench.generators import LoadError, meanwhile, parse_h2load, send_each

_H2LOAD = """
finished in {time}, 2144.00 req/s, 20.96MB/s
requests: 4 total, 5 started, 4 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 41.93MB (43964699) total, 13.73KB (14064) headers (space savings 95.95%), 41.68MB ({data}) data
"""
_LOG = "1795392767069879\t200\t4000\n" * 3 + "1795392767069915\t200\t8000\n"


def _h2load(*, time: str = "2.00s", succeeded: int = 4, failed: int = 0, data: int = 4 * 105) -> str:
    return _H2LOAD.format(time=time, succeeded=succeeded, failed=failed, data=data)


@pytest.mark.parametrize(("time", "seconds"), [("2.00s", 2.0), ("500.00ms", 0.5), ("900us", 0.0009)])
def test_h2load(time: str, seconds: float) -> None:
    load = parse_h2load(_h2load(time=time), _LOG, 105)
    assert (load.calls, load.p50_ms, load.p99_ms) == (4, 4.0, 8.0)
    assert load.seconds == pytest.approx(seconds)


def test_h2load_leaves_answers_that_were_cut_off_aside() -> None:
    assert parse_h2load(_h2load(data=5 * 105), _LOG, 105).calls == 4


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
        parse_h2load(output, _LOG, 105)


def test_h2load_takes_answers_of_another_size_within_the_tolerance() -> None:
    assert parse_h2load(_h2load(data=4 * 100), _LOG, 105, tolerance=0.1).calls == 4
    with pytest.raises(LoadError):
        parse_h2load(_h2load(data=4 * 50), _LOG, 105, tolerance=0.1)


def test_writes_go_on_as_long_as_the_block() -> None:
    written: list[float] = []
    with meanwhile(lambda: written.append(time.monotonic()), per_second=200):
        time.sleep(0.2)
    ended = time.monotonic()
    assert 10 <= len(written) <= 42
    assert written[-1] <= ended


def test_a_write_that_fails_is_no_measurement() -> None:
    def write() -> None:
        raise LoadError("no more")

    with pytest.raises(LoadError, match="no more"), meanwhile(write, per_second=1000):
        time.sleep(0.05)


def test_percentiles_are_the_smallest_values_that_cover_their_shares() -> None:
    log = "".join(f"0\t200\t{1000 * n}\n" for n in range(100, 0, -1))
    output = _h2load().replace("4 done, 4", "100 done, 100")
    load = parse_h2load(output, log)
    assert (load.p50_ms, load.p99_ms) == (50.0, 99.0)


class _Server(grpc.GenericRpcHandler):
    """`/a/echo` answers a message's bytes, `/a/fail` an error, and `received` holds all messages."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return grpc.unary_unary_rpc_method_handler(self._echo if call.method == "/a/echo" else self._fail)

    def _echo(self, message: bytes, _: "grpc.ServicerContext") -> bytes:
        self.received.append(message)
        return message

    def _fail(self, _: bytes, context: "grpc.ServicerContext") -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "it is not there")
        raise AssertionError


@pytest.fixture
def server() -> Iterator[tuple[_Server, str]]:
    handler = _Server()
    running = grpc.server(ThreadPoolExecutor(4))
    running.add_generic_rpc_handlers((handler,))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield handler, f"127.0.0.1:{port}"
    running.stop(0).wait()


def _calls(messages: Iterable[bytes], method: str = "/a/echo") -> list[Call]:
    return [Call(method, message, "", {}) for message in messages]


@pytest.mark.parametrize("size", [3, 300_000], ids=["small", "larger than frames and windows"])
def test_every_call_arrives_once_and_whole(server: tuple[_Server, str], size: int) -> None:
    handler, address = server
    messages = [bytes([number]) * size for number in range(50)]
    load = send_each(address, _calls(messages), 20, grpc=True, answer_bytes=size)
    assert sorted(handler.received) == messages
    assert load.calls == len(messages)
    assert 0 < load.p50_ms <= load.p99_ms < load.seconds * 1000


def test_it_ends_in_time(server: tuple[_Server, str]) -> None:
    load = send_each(server[1], _calls([b""] * 100_000), 0.1, grpc=True)
    assert 0 < load.calls < 100_000


@pytest.mark.parametrize(
    ("method", "answer_bytes", "message"),
    [("/a/fail", None, "it is not there"), ("/a/echo", 2, "3 bytes, not 2")],
    ids=["an error", "an answer of another size"],
)
def test_a_call_that_fails_is_no_measurement(
    server: tuple[_Server, str], method: str, answer_bytes: int | None, message: str
) -> None:
    with pytest.raises(LoadError, match=message):
        send_each(server[1], _calls([b"abc"], method), 20, grpc=True, answer_bytes=answer_bytes)


def test_a_server_that_is_not_there_is_no_measurement() -> None:
    with pytest.raises(LoadError):
        send_each("127.0.0.1:1", _calls([b""]), 20, grpc=True)


@pytest.fixture
def json_server() -> Iterator[tuple[list[tuple[str, bytes]], str]]:
    received: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204 if self.path == "/ok" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield received, f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_json_calls_arrive(json_server: tuple[list[tuple[str, bytes]], str]) -> None:
    received, address = json_server
    calls = [Call("", b"", "/ok", {"n": n}) for n in range(50)]
    assert send_each(address, calls, 20, grpc=False).calls == 50
    assert sorted(json.loads(body)["n"] for _, body in received) == list(range(50))


def test_a_json_call_that_fails_is_no_measurement(json_server: tuple[list[tuple[str, bytes]], str]) -> None:
    with pytest.raises(LoadError, match="404"):
        send_each(json_server[1], [Call("", b"", "/not", {})], 20, grpc=False)
