"""Ports of this machine: finding free ones, and waiting until a worker serves on one."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

__all__ = ["HOST", "Ports", "StartError", "find_ports", "wait_until_serving"]

HOST = "127.0.0.1"
"""The address that everything listens on."""

_POLL_SECONDS = 0.05


class StartError(Exception):
    """Raised when something prevents the start; says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports that were free when checked."""

    http: int
    grpc: int
    workers: Sequence[int]


def find_ports(http: int, grpc: int, workers: int) -> Ports:
    """Return ports that are free.

    Args:
        http: Port of Envoy; 0 for any.
        grpc: Port that workers share; 0 for any.
        workers: How many workers there are.

    Raises:
        StartError: A port that was asked for is in use.
    """
    with ExitStack() as sockets:
        # Held until all are found, so that they differ.
        front = _bound(sockets, http, "--http-port")
        shared = _bound(sockets, grpc, "--grpc-port")
        return Ports(front, shared, [_bound(sockets, 0, "") for _ in range(workers)])


def _bound(sockets: ExitStack, port: int, option: str) -> int:
    probe = sockets.enter_context(closing(socket.socket()))
    # Lingering connections of an earlier run do not block the port; a listening server does.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
        # Two sockets may be bound to the same port, but only one may listen.
        probe.listen()
    except OSError as error:
        variable, other = option.strip("-").replace("-", "_").upper(), port + 1 if port < 65535 else port - 1
        raise StartError(
            f"port {port} cannot be used: {error.strerror}; choose another with {option}, as in `{option} {other}`, "
            f"or with `make run {variable}={other}`"
        ) from error
    bound: int = probe.getsockname()[1]
    return bound


async def wait_until_serving(port: int) -> None:
    """Wait until the gRPC server on a port reports SERVING."""
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
    async with grpc.aio.insecure_channel(f"{HOST}:{port}", options) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        while True:
            try:
                answer = await check(HealthCheckRequest(), timeout=2)
                if answer.status == HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(_POLL_SECONDS)
