"""The floor: a gRPC server that answers ready bytes, and reads no request.

    .venv/bin/python -m bench.peers.floor --port 50061 --answers answers.json

No server of the same language and library can be faster, so what the service does itself is the distance to it.
"""

import asyncio
import base64
import json
import signal
from pathlib import Path

import click
import grpc
import uvloop
from grpc_health.v1 import health, health_pb2_grpc

from conversations.settings import Settings


@click.command(help=__doc__)
@click.option("--port", required=True, type=int, help="Port to listen on.")
@click.option(
    "--answers",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON: path of a method, as in /package.Service/Method, to the base64 of its answer.",
)
def main(port: int, answers: Path) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    # Envoy is waited for until it says that a worker is healthy.
    healthy = {"/conversations.v1.HealthService/GetHealth": b""}
    ready = healthy | {method: base64.b64decode(data) for method, data in json.loads(answers.read_text()).items()}
    uvloop.run(_serve(port, ready))


async def _serve(port: int, answers: dict[str, bytes]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # The options of `conversations.server.Server`.
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", 2 * Settings.model_fields["max_request_bytes"].default),
            ("grpc.so_reuseport", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
    )
    # Envoy sends no calls to a server that does not say that it is healthy.
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    server.add_generic_rpc_handlers((_ReadyAnswers(answers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stop.wait()
    await server.stop(0)


class _ReadyAnswers(grpc.GenericRpcHandler):
    def __init__(self, answers: dict[str, bytes]) -> None:
        self._handlers = {method: _handler(answer) for method, answer in answers.items()}

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._handlers.get(call.method)


def _handler(answer: bytes) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def answer_it(_request: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return answer

    return grpc.unary_unary_rpc_method_handler(answer_it)


if __name__ == "__main__":
    main()
