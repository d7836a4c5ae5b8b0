"""The worker's health, and `grpc.health.v1`.

The servicer of grpcio-health-checking is not used: it has no List, and a client that watches but does not read blocks
every change of the status.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from grpc_health.v1 import health_pb2

from conversations.errors import UnknownServiceError
from conversations.rpc.calls import Context, Method

__all__ = ["Health"]

_Response = health_pb2.HealthCheckResponse
# Its type stubs lack List.
_ListResponse: Any = health_pb2.HealthListResponse  # type: ignore[attr-defined]


class Health:
    """The state of a worker, for checks and watches."""

    def __init__(self, services: Sequence[str]) -> None:
        """Begin with a worker that does not serve.

        Args:
            services: Full names of the services whose health may be checked.
        """
        self._services = {"", *services}
        self._changed = asyncio.Event()
        self._stopping = False
        self.serving = False
        """Whether calls can be served."""
        self.causes: Sequence[str] = ("the server is starting",)
        """Why not, or what else does not work: one sentence each."""

    def publish(self, *, serving: bool, causes: Sequence[str] = ()) -> None:
        """Set the state, unless the worker is stopping."""
        if self._stopping:
            return
        self.serving, self.causes = serving, causes
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Report from now on that calls are not served."""
        self.publish(serving=False, causes=("the server is stopping",))
        self._stopping = True

    def methods(self) -> list[Method]:
        """Return the methods of `grpc.health.v1.Health`."""
        calls = {"Check": self._check, "List": self._list, "Watch": self._watch}
        service = health_pb2.DESCRIPTOR.services_by_name["Health"]
        return [Method(method, calls[method.name], takes_turns=False) for method in service.methods]

    @property
    def _status(self) -> Any:
        return _Response.SERVING if self.serving else _Response.NOT_SERVING

    async def _check(self, request: health_pb2.HealthCheckRequest, _: Context) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            raise UnknownServiceError(request.service)
        return _Response(status=self._status)

    async def _list(self, _request: Any, _: Context) -> Any:
        return _ListResponse(statuses={service: _Response(status=self._status) for service in self._services})

    async def _watch(
        self, request: health_pb2.HealthCheckRequest, _: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        known = request.service in self._services
        told = None
        while True:
            changed = self._changed
            status = self._status if known else _Response.SERVICE_UNKNOWN
            if status != told:
                yield _Response(status=status)
                told = status
            await changed.wait()
