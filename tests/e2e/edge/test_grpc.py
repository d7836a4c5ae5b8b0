"""gRPC and gRPC-Web through Envoy."""

import contextlib
import gzip
import socket
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from tests.clients import Http2, frame, grpc_headers, outcome, web_messages
from tests.e2e.edge.running import Edge, Worker, nobody_notices, running_edge
from tests.rest import Rest

from conversations.v1.conversation_service_pb2 import ListConversationsRequest, ListConversationsResponse
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

SERVICE = "conversations.v1.ConversationService"


def untyped(channel: grpc.Channel) -> Any:
    """For calls that send and receive bytes."""
    return channel


def test_native_call_keeps_its_own_deadline(channel: grpc.Channel) -> None:
    stub = ConversationServiceStub(channel)
    answer = stub.ListConversations(ListConversationsRequest(filters="sleep 1.2", page_size=4), timeout=100)
    assert answer.pagination_data.total == 4
    assert 90 <= answer.pagination_data.filtered_total < 100


def test_unknown_method_says_so(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        untyped(channel).unary_unary("/foo.Bar/Baz")(b"")
    error: Any = refused.value
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert (error.code(), info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")


def test_reflection_names_the_services(channel: grpc.Channel) -> None:
    assert SERVICE in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_health_is_served_and_watched(edge: Edge, channel: grpc.Channel) -> None:
    calls = untyped(channel)
    answer = calls.unary_unary("/grpc.health.v1.Health/Check")(b"")
    assert health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING
    [worker] = edge.workers
    watch = calls.unary_stream("/grpc.health.v1.Health/Watch")(b"\x0a\x05other")
    try:
        assert status_name(next(watch)) == "SERVICE_UNKNOWN"
        set_health(worker, "SERVING")
        assert status_name(next(watch)) == "SERVING"
    finally:
        watch.cancel()


def set_health(worker: Worker, status: str) -> None:
    worker.tell(f"health {status} other")


def status_name(message: bytes) -> str:
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(
        health_pb2.HealthCheckResponse.FromString(message).status
    )
    return name


@pytest.mark.parametrize("content_type", ["application/grpc-web", "application/grpc-web+proto"])
def test_grpc_web_is_served(client: Rest, content_type: str) -> None:
    message = ListConversationsRequest(page_size=6).SerializeToString()
    headers = {"content-type": content_type, "x-grpc-web": "1"}
    answer = client.request("POST", f"/{SERVICE}/ListConversations", frame(message), **headers)
    [data] = web_messages(answer.body)
    assert ListConversationsResponse.FromString(data).pagination_data.total == 6
    assert b"grpc-status:0" in answer.body


def test_refusals_are_in_the_form_of_grpc_web(client: Rest) -> None:
    """Headers alone, as gRPC-Web has an answer without messages."""
    answer = client.request("POST", "/foo.Bar/Baz", frame(b""), **{"content-type": "application/grpc-web"})
    assert (answer.status, answer.headers["grpc-status"], answer.body) == (200, "12", b"")
    assert outcome(answer) == (200, 12, "UNKNOWN_METHOD")


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web"])
@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        pytest.param("", b"\1" + frame(b"")[1:], (3, "MALFORMED_REQUEST"), id="compressed, but not how"),
        pytest.param("gzip", b"\1" + frame(b"no gzip")[1:], (3, "MALFORMED_REQUEST"), id="compressed otherwise"),
        pytest.param("", b"\0\xff\xff\xff\xff", (8, "REQUEST_TOO_LARGE"), id="a length beyond all bounds"),
        pytest.param("gzip", b"\1" + frame(gzip.compress(bytes(20_000_000)))[1:], (8, "REQUEST_TOO_LARGE"), id="bomb"),
    ],
)
def test_what_the_library_refuses_has_details_too(
    edge: Edge, content_type: str, encoding: str, body: bytes, expected: tuple[int, str]
) -> None:
    """The worker's gRPC library refuses these before the service sees them, with INTERNAL and texts of its own."""
    more = [("grpc-encoding", encoding)] if encoding else []
    headers = grpc_headers(edge.port, f"/{SERVICE}/ListConversations", *more, content_type=content_type)
    with Http2(edge.port) as client, nobody_notices(edge):
        reply = client.call(headers, body)
    assert outcome(reply)[1:] == expected
    assert "ncoding" not in reply.headers["grpc-message"]
    assert "SERVER" not in reply.headers["grpc-message"]


@pytest.mark.parametrize("path", [b"/ListTags?\xff", b"/ListTags?\xc3\xa9"])
def test_path_that_is_not_text_stays_here(edge: Edge, path: bytes) -> None:
    headers = [(n, b"/" + SERVICE.encode() + path if n == ":path" else v) for n, v in grpc_headers(edge.port, "")]
    with Http2(edge.port) as client, nobody_notices(edge):
        assert outcome(client.call(headers, frame(b""))) == (200, 12, "UNKNOWN_METHOD")


def test_worker_that_resets_a_call_as_malformed_is_believed(tmp_path: Path) -> None:
    with running_edge(tmp_path) as edge, Http2(edge.port) as client:
        [worker] = edge.workers
        worker.kill()
        with socket.create_server(("127.0.0.1", worker.port)) as listener:
            threading.Thread(target=_reset_all, args=(listener,), daemon=True).start()
            try:
                reply = client.call(grpc_headers(edge.port, f"/{SERVICE}/ListConversations"), frame(b""))
            finally:
                listener.shutdown(socket.SHUT_RDWR)  # ends the wait for the next connection
    assert outcome(reply) == (200, 3, "MALFORMED_REQUEST")


def _reset_all(listener: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        with connection, contextlib.suppress(OSError):
            connection.sendall(h2.data_to_send())
            while data := connection.recv(65536):
                for event in h2.receive_data(data):
                    if isinstance(event, RequestReceived) and event.stream_id is not None:
                        h2.reset_stream(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
                connection.sendall(h2.data_to_send())

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
