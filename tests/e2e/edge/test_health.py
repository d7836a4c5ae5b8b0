"""`GET /healthz`: what some worker says, while one lives; and what stops and starts beside it."""

import asyncio
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status
from tests.clients import outcome
from tests.e2e.edge.running import Edge, running_edge, wait_until
from tests.rest import Rest

from conversations.edge import Address, EnvoySettings, render
from conversations.local.engines import find_envoy
from conversations.local.envoy_process import drain, envoy_command
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"}


def health(edge: Edge, path: str = "/healthz") -> tuple[int, Any]:
    with Rest(edge.url) as client:
        answer = client.request("GET", path)
    return answer.status, answer.json


@pytest.mark.parametrize("path", ["/healthz", "/healthz?verbose=1", "/healthz?status=DEGRADED"])
def test_healthy_is_200(edge: Edge, path: str) -> None:
    assert health(edge, path) == (200, {"status": "SERVING", "causes": []})


def test_what_does_not_work_is_said_and_is_still_200(edge: Edge) -> None:
    edge.workers[0].report(causes=["Redis is out of memory"])
    try:
        assert health(edge) == (200, {"status": "DEGRADED", "causes": ["Redis is out of memory"]})
    finally:
        edge.workers[0].report()


def test_a_worker_that_cannot_serve_says_why(edge: Edge) -> None:
    edge.workers[0].report(code=14, message="Redis does not answer", reason="STORE_UNAVAILABLE", retry=1)
    try:
        status, error = health(edge)
    finally:
        edge.workers[0].report()
    assert (status, error["code"], error["message"]) == (503, 14, "Redis does not answer")
    assert [error["details"][0]["reason"], *error["details"][1:]] == ["STORE_UNAVAILABLE", RETRY]


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS"])
def test_only_get_is_taken(client: Rest, method: str) -> None:
    answer = client.request(method, "/healthz")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    if method != "HEAD":
        assert outcome(answer) == (405, 12, "UNKNOWN_METHOD")


def test_one_worker_that_serves_is_enough(tmp_path: Path) -> None:
    with running_edge(tmp_path, 3) as edge:
        edge.workers[0].hang()
        edge.workers[1].report(code=14, reason="STORE_UNAVAILABLE")
        try:
            for _ in range(6):
                began = time.monotonic()
                assert health(edge)[0] == 200
                assert time.monotonic() - began < 2.5
        finally:
            edge.workers[0].resume()


def test_without_a_worker_that_lives_it_is_503(tmp_path: Path) -> None:
    with running_edge(tmp_path, 2) as edge:
        for worker in edge.workers:
            worker.kill()
        with Rest(edge.url) as client:
            for answer in (client.request("GET", "/healthz"), client.post("/conversations.list", {})):
                assert outcome(answer) == (503, 14, "NO_SERVER")
                assert (answer.json["details"][1:], answer.headers["retry-after"]) == ([RETRY], "1")


def test_without_a_serving_worker_calls_are_503_with_a_delay(edge: Edge, client: Rest, channel: grpc.Channel) -> None:
    edge.workers[0].tell("health NOT_SERVING")
    try:
        wait_until(lambda: client.post("/conversations.list", {}).status == 503)
        answer = client.post("/conversations.list", {})
        assert (outcome(answer), answer.json["details"][1:]) == ((503, 14, "NO_SERVER"), [RETRY])
        wait_until(lambda: not any(edge.healthy_workers()))
        with pytest.raises(grpc.RpcError) as refused:
            ConversationServiceStub(channel).ListConversations(ListConversationsRequest())
        # The worker itself says what it says.
        assert health(edge)[0] == 200
    finally:
        edge.workers[0].tell("health SERVING")
        wait_until(lambda: edge.healthy_workers() == {1})
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]
    assert status is not None
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (status.code, info.reason, retry.retry_delay.seconds) == (14, "NO_SERVER", 1)


def test_calls_go_on_while_one_of_two_workers_is_gone(tmp_path: Path) -> None:
    with running_edge(tmp_path, 2) as edge, Rest(edge.url) as client:
        edge.workers[0].kill()
        statuses = [client.post("/conversations.list", {}).status for _ in range(100)]
    assert statuses == [200] * 100


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
    logs = tmp_path / "access.log"
    settings = EnvoySettings(edge.port, [Address("127.0.0.1", 1)], access_log=logs)
    (tmp_path / "envoy.yaml").write_text(render(settings))
    command = envoy_command(find_envoy(), tmp_path / "envoy.yaml")
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode != 0
    assert "Address already in use" in second.stderr


def test_drain_lets_the_running_call_finish(tmp_path: Path) -> None:
    with running_edge(tmp_path) as edge, ThreadPoolExecutor(1) as pool, Rest(edge.url) as client:
        running = pool.submit(client.post, "/conversations.list", {"filters": "sleep 0.7"})
        time.sleep(0.2)
        asyncio.run(drain(edge.admin_socket, 5))
        assert running.result().status == 200
