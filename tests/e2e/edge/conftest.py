from collections.abc import Iterator

import grpc
import pytest
from tests.e2e.edge.running import Edge, running_edge
from tests.rest import Rest

KIB = 1024


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An Envoy that soon loses its patience, before one worker."""
    with running_edge(
        tmp_path_factory.mktemp("edge"),
        allowed_hosts=["inbox.example.org"],
        max_request_bytes=256 * KIB,
        call_ms=1000,
        request_ms=1000,
        stream_idle_ms=2500,
        connection_idle_ms=1000,
    ) as running:
        yield running


@pytest.fixture
def client(edge: Edge) -> Iterator[Rest]:
    with Rest(edge.url) as open_client:
        yield open_client


@pytest.fixture
def channel(edge: Edge) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{edge.port}") as open_channel:
        yield open_channel
