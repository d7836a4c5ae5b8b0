"""What `envoy-config` prints starts an Envoy elsewhere, before a worker that `serve` runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from tests.conftest import free_port
from tests.e2e.edge.running import wait_until
from tests.rest import Rest

from conversations.local.engines import find_envoy
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

ROOT = Path(__file__).parents[2]


@contextmanager
def process(command: list[str], folder: Path, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a program, with its output in files of a folder."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        running = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, env={**os.environ, **environment})
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Iterator[int]:
    """The port of a worker."""
    (tmp_path / "worker").mkdir()
    port, environment = free_port(), {"CONVERSATIONS_REDIS_URL": redis_url}
    command = [sys.executable, "-m", "conversations", "serve"]
    with process(command, tmp_path / "worker", CONVERSATIONS_PORT=str(port), **environment):
        yield port


def configuration(*options: str) -> str:
    """Return what the command prints."""
    command = [sys.executable, "-m", "conversations", "envoy-config", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def health(port: int) -> int:
    """Return the status of `/healthz`; 0 where nothing answers."""
    try:
        with Rest(f"http://127.0.0.1:{port}") as client:
            # As a load balancer asks, by whatever name.
            return client.request("GET", "/healthz", host="10.9.8.7").status
    except OSError:
        return 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_real_envoy_starts_with_it_elsewhere(worker: int, host: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    port, admin = free_port(), free_port()
    text = configuration(
        *("--worker", f"{host}:{worker}", "--worker-count", "3", "--host", "127.0.0.1", "--port", str(port)),
        *("--allow-host", "inbox.example.org", "--cors-origin", "https://inbox.example.org"),
        *("--admin", f"127.0.0.1:{admin}", "--call-timeout", "10", "--max-connections", "100"),
    )
    # Nothing of this checkout is needed there.
    assert str(ROOT) not in text
    (elsewhere / "envoy.yaml").write_text(text)
    command = [str(find_envoy()), "--config-path", "envoy.yaml", "--disable-hot-restart", "--log-level", "warning"]
    with process(command, elsewhere), ExitStack() as cleanup:
        wait_until(lambda: health(port) == 200)
        client = cleanup.enter_context(Rest(f"http://127.0.0.1:{port}"))
        # The workers that calls go to are known to be healthy a little later.
        wait_until(lambda: client.post("/tags.list", {}).status == 200)
        answer = client.post("/conversations.list", {}, host="inbox.example.org", origin="https://inbox.example.org")
        assert (answer.status, answer.json["data"]) == (200, [])
        assert answer.headers["access-control-allow-origin"] == "https://inbox.example.org"
        assert client.post("/conversations.list", {}, host="evil.example.org").status == 421
        unknown = client.post("/conversations.list", {"filtres": ""})
        assert (unknown.status, unknown.json["message"]) == (400, "filtres: is unknown; did you mean filters?")
        channel = cleanup.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        page = ConversationServiceStub(channel).ListConversations(ListConversationsRequest(), timeout=10)
        assert page.pagination_data.total == 0
        health_stub: Any = HealthStub(channel)
        assert next(iter(health_stub.Watch(HealthCheckRequest(), timeout=10))).status == 1
        administration = cleanup.enter_context(Rest(f"http://127.0.0.1:{admin}"))
        assert administration.request("GET", "/server_info").json["version"].split("/")[1].startswith("1.40.")
    # The access log goes to standard output.
    lines = [json.loads(line) for line in (elsewhere / "out").read_text().splitlines()]
    assert {line["path"] for line in lines} >= {"/healthz", "/conversations.list"}
    known = ("caught ENVOY_SIGTERM", "Deprecated field")
    complaints = (elsewhere / "err").read_text().splitlines()
    assert [line for line in complaints if not any(word in line for word in known)] == []


def test_without_options_there_is_no_administration(worker: int, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "envoy.yaml").write_text(configuration("--worker", f"127.0.0.1:{worker}", "--port", str(port)))
    (tmp_path / "envoy").mkdir()
    command = [str(find_envoy()), "--config-path", str(tmp_path / "envoy.yaml"), "--disable-hot-restart"]
    with process(command, tmp_path / "envoy"):
        wait_until(lambda: health(port) == 200)
    assert "No admin address given" in (tmp_path / "envoy" / "err").read_text()
