"""What Envoy adds to the service, in front of a server that does as it is told by the request."""

import asyncio
import json
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from tests.conftest import free_port
from tests.rest import Answer, Rest

from conversations.local.engines import find_envoy, private_directory
from conversations.local.envoy import EnvoySettings, render, rest_routes
from conversations.local.envoy_process import drain, envoy_command
from conversations.v1.conversation_service_pb2 import (
    GetConversationRequest,
    ListConversationsRequest,
    ListConversationsResponse,
)
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.tag_pb2 import Tag
from conversations.v1.tag_service_pb2 import CreateTagRequest

ORIGIN = "https://inbox.example.org"
MAX_REQUEST_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 128 * 1024
CALL_MS = 1000
SERVICE = "conversations.v1.ConversationService"


def list_conversations(request: ListConversationsRequest, context: grpc.ServicerContext) -> ListConversationsResponse:
    """Do what `filters` says; answer the page size and the whole seconds until the deadline, at most 1000."""
    if request.filters.startswith("sleep "):
        time.sleep(float(request.filters.removeprefix("sleep ")))
    answer = ListConversationsResponse()
    if request.filters.startswith("answer "):
        answer.pagination_data.next_cursor = "x" * int(request.filters.removeprefix("answer "))
    answer.pagination_data.total = request.page_size
    answer.pagination_data.filtered_total = min(int(context.time_remaining()), 1000)
    return answer


def fail(request: GetConversationRequest, context: grpc.ServicerContext) -> NoReturn:
    """Fail with the code that stands in `conversation_id`."""
    status = Status(code=int(request.conversation_id), message="as you wish")
    status.details.add().Pack(ErrorInfo(reason="WISH", domain="test"))
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError


def add_services(server: grpc.Server) -> None:
    conversations: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "ListConversations": grpc.unary_unary_rpc_method_handler(
            list_conversations, ListConversationsRequest.FromString, ListConversationsResponse.SerializeToString
        ),
        "GetConversation": grpc.unary_unary_rpc_method_handler(fail, GetConversationRequest.FromString),
        "MarkConversationRead": grpc.unary_unary_rpc_method_handler(lambda request, context: b""),
    }
    tags: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "CreateTag": grpc.unary_unary_rpc_method_handler(
            lambda tag, context: Tag(id="1", name=tag.name), CreateTagRequest.FromString, Tag.SerializeToString
        )
    }
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, conversations),
            grpc.method_handlers_generic_handler("conversations.v1.TagService", tags),
        )
    )


class Worker:
    """A gRPC server whose health can be set."""

    def __init__(self) -> None:
        self.port = free_port()
        self.server = grpc.server(
            ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
        )
        add_services(self.server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], self.server)
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def say(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        self._health.set("", status)


@dataclass(frozen=True, slots=True)
class Edge:
    """A running Envoy."""

    port: int
    workers: list[Worker]
    settings: EnvoySettings
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health_status(self) -> int:
        with Rest(self.url) as client:
            return client.request("GET", "/healthz").status


@contextmanager
def running_edge(folder: Path, worker_count: int) -> Iterator[Edge]:
    with ExitStack() as cleanup:
        sockets = cleanup.enter_context(private_directory())
        workers = [Worker() for _ in range(worker_count)]
        for worker in workers:
            cleanup.callback(lambda server: server.stop(None).wait(), worker.server)
        settings = EnvoySettings(
            port=free_port(),
            worker_ports=[worker.port for worker in workers],
            admin_socket=sockets / "admin.sock",
            access_log=folder / "access.log",
            cors_origins=[ORIGIN],
            max_request_bytes=MAX_REQUEST_BYTES,
            call_ms=CALL_MS,
        )
        configuration = folder / "envoy.yaml"
        configuration.write_text(render(settings))
        process = subprocess.Popen(envoy_command(find_envoy(), configuration), start_new_session=True)
        cleanup.callback(process.wait)
        cleanup.callback(process.terminate)
        edge = Edge(settings.port, workers, settings, process)
        wait_until(lambda: answers(edge.url))
        yield edge


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        with Rest(url) as client:
            return client.request("GET", "/healthz").status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(tmp_path_factory.mktemp("edge"), 1) as running:
        yield running


@pytest.fixture
def client(edge: Edge) -> Iterator[Rest]:
    with Rest(edge.url) as open_client:
        yield open_client


@pytest.fixture
def channel(edge: Edge) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{edge.port}") as open_channel:
        yield open_channel


def error_of(answer: Answer) -> tuple[int, int, str]:
    """Return HTTP status, gRPC code and reason of an error in the service's shape."""
    error = answer.json
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    info = error["details"][0]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": info["reason"],
        "domain": "conversations.v1",
        "metadata": {},
    }
    return answer.status, error["code"], info["reason"]


@pytest.mark.parametrize("origins", [[], ["*"], [ORIGIN, "http://localhost:3000"]])
def test_configuration_is_valid(tmp_path: Path, origins: list[str]) -> None:
    settings = EnvoySettings(8080, [1, 2, 3], tmp_path / "admin.sock", tmp_path / "access.log", origins)
    (tmp_path / "envoy.yaml").write_text(render(settings))
    command = [*envoy_command(find_envoy(), tmp_path / "envoy.yaml"), "--mode", "validate"]
    validated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (validated.returncode, "OK" in validated.stdout) == (0, True), validated.stderr


class TestSuccess:
    def test_answer_is_the_documented_json(self, client: Rest) -> None:
        answer = client.post("/conversations.list", {"page_size": 7, "filters": None})
        assert (answer.status, answer.json["data"], answer.json["pagination_data"]["total"]) == (200, [], 7)

    @pytest.mark.parametrize("body", [None, b"", {}])
    def test_body_may_be_absent(self, client: Rest, body: Any) -> None:
        assert client.post("/conversations.list", body).status == 200

    @pytest.mark.parametrize("path", ["/conversations.read", "/conversations.markRead", "/conversations.mark-read"])
    def test_nothing_is_204_and_the_connection_stays_usable(self, client: Rest, path: str) -> None:
        for _ in range(3):
            answer = client.post(path, {"conversation_id": "1"})
            assert (answer.status, answer.body) == (204, b"")
            assert not {"content-type", "content-length", "grpc-status"} & set(answer.headers)
            assert client.post("/conversations.list", {"page_size": 3}).json["pagination_data"]["total"] == 3

    def test_creation_is_201(self, client: Rest) -> None:
        answer = client.post("/tags.create", {"name": "Urgent"})
        assert (answer.status, answer.json) == (201, {"id": "1", "name": "Urgent", "color": ""})

    def test_no_grpc_header_is_left(self, client: Rest) -> None:
        for path, body in (("/conversations.list", {}), ("/conversations.info", {"conversation_id": "5"})):
            assert not [name for name in client.post(path, body).headers if name.startswith(("grpc-", "x-envoy-"))]

    def test_query_is_not_bound_to_fields(self, client: Rest) -> None:
        answer = client.post("/conversations.list?page_size=7&nonsense=1")
        assert (answer.status, answer.json["pagination_data"]["total"]) == (200, 0)

    def test_server_learns_the_deadline(self, edge: Edge, client: Rest) -> None:
        sent = {"grpc-timeout": "1000S"}
        assert client.post("/conversations.list", {}, **sent).json["pagination_data"]["filtered_total"] == 0

    def test_answer_of_several_megabytes_passes(self, client: Rest) -> None:
        answer = client.post("/conversations.list", {"filters": f"answer {5_000_000}"})
        assert (answer.status, len(answer.json["pagination_data"]["next_cursor"])) == (200, 5_000_000)


class TestErrors:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"null",
            b"[]",
            b'"x"',
            b"{}{}",
            b'{"page_size": "many"}',
            b'{"page_size": 1.5}',
            b"\xff\xfe",
            b"[" * 200,
        ],
    )
    def test_malformed_json_is_400(self, client: Rest, body: bytes) -> None:
        assert error_of(client.post("/conversations.list", body)) == (400, 3, "MALFORMED_REQUEST")

    @pytest.mark.parametrize("path", ["/", "/conversations", "/conversations.list/", "/Tags.list", "/a/../x"])
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_unknown_path_is_404(self, client: Rest, method: str, path: str) -> None:
        assert error_of(client.request(method, path)) == (404, 12, "UNKNOWN_METHOD")

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_wrong_method_is_405_on_every_path(self, client: Rest, method: str) -> None:
        for route in rest_routes():
            answer = client.request(method, route.path)
            assert error_of(answer) == (405, 12, "UNKNOWN_METHOD")
            assert answer.headers["allow"] == "POST"

    def test_request_above_the_limit_is_413(self, client: Rest) -> None:
        body = json.dumps({"filters": "x" * MAX_REQUEST_BYTES}).encode()
        assert error_of(client.post("/conversations.list", body)) == (413, 8, "REQUEST_TOO_LARGE")

    def test_message_above_the_servers_limit_is_413(self, client: Rest) -> None:
        body = json.dumps({"filters": "x" * (MAX_MESSAGE_BYTES + 1)}).encode()
        assert error_of(client.post("/conversations.list", body)) == (413, 8, "REQUEST_TOO_LARGE")

    def test_headers_above_the_limit_are_431(self, client: Rest) -> None:
        assert error_of(client.post("/conversations.list", {}, big="x" * 70_000)) == (431, 8, "REQUEST_TOO_LARGE")

    def test_call_past_its_deadline_is_504(self, client: Rest) -> None:
        assert error_of(client.post("/conversations.list", {"filters": "sleep 1.5"})) == (504, 4, "OUT_OF_TIME")

    @pytest.mark.parametrize(
        ("code", "status"),
        [(3, 400), (4, 504), (5, 404), (8, 413), (12, 501), (13, 500), (14, 503)],
    )
    def test_error_of_the_server_keeps_its_details(self, client: Rest, code: int, status: int) -> None:
        answer = client.post("/conversations.info", {"conversation_id": str(code)})
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "WISH",
            "domain": "test",
            "metadata": {},
        }
        assert answer.status == status
        assert answer.json == {"code": code, "message": "as you wish", "details": [info]}

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"NONSENSE\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"POST /tags.list HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400),
            (b"POST /tags.list HTTP/1.0\r\n\r\n", 426),
        ],
    )
    def test_what_is_hardly_http_gets_json_too(self, edge: Edge, raw: bytes, status: int) -> None:
        with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as connection:
            connection.sendall(raw)
            head, _, body = connection.recv(65536).decode().partition("\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert "content-type: application/json" in head
        assert json.loads(body)["details"][0]["reason"] == "MALFORMED_REQUEST"


class TestHealth:
    def test_healthy_is_200(self, client: Rest) -> None:
        for path in ("/healthz", "/healthz?verbose=1"):
            answer = client.request("GET", path)
            assert (answer.status, answer.json) == (200, {"status": "SERVING"})

    def test_only_get_is_taken(self, client: Rest) -> None:
        answer = client.post("/healthz", {})
        assert error_of(answer) == (405, 12, "UNKNOWN_METHOD")
        assert answer.headers["allow"] == "GET"

    def test_without_a_serving_worker_all_is_503_with_a_delay(
        self, edge: Edge, client: Rest, channel: grpc.Channel
    ) -> None:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"}
        edge.workers[0].say(serving=False)
        try:
            wait_until(lambda: edge.health_status() == 503)
            for answer in (client.request("GET", "/healthz"), client.post("/conversations.list", {})):
                assert error_of(answer) == (503, 14, "NO_SERVER")
                assert answer.json["details"][1:] == [retry]
            with pytest.raises(grpc.RpcError) as refused:
                ConversationServiceStub(channel).ListConversations(ListConversationsRequest())
        finally:
            edge.workers[0].say(serving=True)
            wait_until(lambda: edge.health_status() == 200)
        code, details = grpc_error(refused.value)
        assert (code, unpacked(details[0], ErrorInfo()).reason) == (grpc.StatusCode.UNAVAILABLE, "NO_SERVER")
        assert unpacked(details[1], RetryInfo()).retry_delay.seconds == 1

    def test_calls_go_on_while_one_of_two_workers_is_gone(self, tmp_path: Path) -> None:
        with running_edge(tmp_path, 2) as edge, Rest(edge.url) as client:
            edge.workers[0].server.stop(None).wait()
            statuses = [client.post("/conversations.list", {}).status for _ in range(100)]
        assert statuses == [200] * 100


class TestGrpc:
    def test_native_call_keeps_its_own_deadline(self, channel: grpc.Channel) -> None:
        stub = ConversationServiceStub(channel)
        answer = stub.ListConversations(ListConversationsRequest(filters="sleep 1.2", page_size=4), timeout=100)
        assert answer.pagination_data.total == 4
        assert 90 <= answer.pagination_data.filtered_total < 100

    def test_unknown_method_says_so(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as refused:
            untyped(channel).unary_unary("/foo.Bar/Baz")(b"")
        code, details = grpc_error(refused.value)
        assert (code, unpacked(details[0], ErrorInfo()).reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")

    def test_reflection_names_the_services(self, channel: grpc.Channel) -> None:
        assert SERVICE in ProtoReflectionDescriptorDatabase(channel).get_services()

    def test_health_is_served(self, channel: grpc.Channel) -> None:
        answer = untyped(channel).unary_unary("/grpc.health.v1.Health/Check")(b"")
        assert health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING

    def test_grpc_web_is_served(self, client: Rest) -> None:
        message = ListConversationsRequest(page_size=6).SerializeToString()
        frame = struct.pack(">BI", 0, len(message)) + message
        headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
        answer = client.request("POST", f"/{SERVICE}/ListConversations", frame, **headers)
        (length,) = struct.unpack(">xI", answer.body[:5])
        assert ListConversationsResponse.FromString(answer.body[5 : 5 + length]).pagination_data.total == 6
        assert b"grpc-status:0" in answer.body[5 + length :]


class TestCors:
    def test_page_of_an_allowed_origin_may_call(self, client: Rest) -> None:
        ask = {"origin": ORIGIN, "access-control-request-method": "POST"}
        preflight = client.request("OPTIONS", "/conversations.list", None, **ask)
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "content-type" in preflight.headers["access-control-allow-headers"]
        for path, body in (("/conversations.list", {}), ("/conversations.info", {"conversation_id": "5"})):
            assert client.post(path, body, origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN

    @pytest.mark.parametrize("origin", ["https://evil.example.org", f"{ORIGIN}.evil.org", "null"])
    def test_page_of_another_origin_may_not(self, client: Rest, origin: str) -> None:
        ask = {"origin": origin, "access-control-request-method": "POST"}
        for answer in (
            client.request("OPTIONS", "/conversations.list", None, **ask),
            client.post("/conversations.list", {}, origin=origin),
        ):
            assert "access-control-allow-origin" not in answer.headers


def test_access_log_is_json_without_the_query(edge: Edge, client: Rest) -> None:
    answer = client.post("/conversations.read?secret=1", {"conversation_id": "1"})

    def lines() -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in edge.settings.access_log.read_text().splitlines()]
        return [line for line in parsed if line["request_id"] == answer.headers["x-request-id"]]

    wait_until(lambda: bool(lines()))
    [line] = lines()
    wanted = {"method": "POST", "path": "/conversations.read", "route": "conversations.read", "status": 204}
    assert {name: line[name] for name in wanted} == wanted
    assert "secret" not in json.dumps(line)


def test_second_envoy_on_the_port_does_not_start(edge: Edge, tmp_path: Path) -> None:
    settings = EnvoySettings(edge.port, [1], tmp_path / "admin.sock", tmp_path / "access.log")
    (tmp_path / "envoy.yaml").write_text(render(settings))
    command = envoy_command(find_envoy(), tmp_path / "envoy.yaml")
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode != 0
    assert "Address already in use" in second.stderr


def test_drain_lets_the_running_call_finish(tmp_path: Path) -> None:
    with running_edge(tmp_path, 1) as edge, ThreadPoolExecutor(1) as pool, Rest(edge.url) as client:
        running = pool.submit(client.post, "/conversations.list", {"filters": "sleep 0.7"})
        time.sleep(0.2)
        asyncio.run(drain(edge.settings.admin_socket, 5))
        edge.process.terminate()
        assert running.result().status == 200


def test_script_had_no_error(edge: Edge, client: Rest) -> None:
    client.post("/conversations.read", {"conversation_id": "1"})
    client.post("/conversations.info", {"conversation_id": "8"})
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(edge.settings.admin_socket))
        admin.sendall(b"GET /stats?filter=lua HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        stats = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    assert "http.front.lua.errors: 0" in stats


def grpc_error(error: Any) -> tuple[grpc.StatusCode, list[AnyMessage]]:
    """Return code and details of what a call raised."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    return error.code(), list(status.details)


def unpacked(detail: AnyMessage, message: Any) -> Any:
    assert detail.Unpack(message)
    return message


def untyped(channel: grpc.Channel) -> Any:
    """For calls that send and receive bytes."""
    return channel
