"""gRPC's server, made to survive paths that are not UTF-8."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import grpc.aio
from grpc._cython import cygrpc
from grpc.aio import _server as grpc_server

__all__ = ["make_server"]

# Python cannot see the name of an unknown method before gRPC decodes it.
_UNKNOWN = "?"


class _AioServer(cygrpc.AioServer):  # type: ignore[misc]
    """Accepts calls in its own loops, one for each method and one for unknown methods.

    gRPC's loop decodes the path of an unknown method as UTF-8, and an error ends the whole server, for all callers. It
    does not decode the paths of registered methods, but waits for a future of each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, handlers: Sequence[Any], options: Sequence[Any]) -> None:
        super().__init__(loop, None, handlers, (), options, None)
        self._resolver = cygrpc._MethodResolver(list(handlers), {})
        self._calls: set[asyncio.Task[None]] = set()

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[Any]":
        # The future never has a result, so that gRPC's loop has nothing to do.
        return asyncio.ensure_future(self._take(method))

    async def _take(self, method: bytes | None) -> None:
        """Accept the calls of a method one after the other, until the server stops, which raises."""
        loop = asyncio.get_running_loop()
        name = _UNKNOWN if method is None else method.decode()
        while True:
            call = await (self._request_call() if method is None else self._request_registered_call(method))
            answer = cygrpc._handle_rpc(name, self._resolver, (), call, loop, False)
            task = loop.create_task(cygrpc._schedule_rpc_coro(answer, call, loop, name))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)


class _Server(grpc_server.Server):
    def __init__(self, handlers: Sequence[Any], options: Sequence[tuple[str, Any]]) -> None:
        # The same as gRPC's, with another class.
        self._loop = asyncio.get_running_loop()
        cygrpc.init_grpc_aio()
        self._server = _AioServer(self._loop, handlers, tuple(options))


def make_server(
    handler: grpc.GenericRpcHandler, paths: Iterable[str], options: Sequence[tuple[str, Any]]
) -> grpc.aio.Server:
    """Return a server that is not started.

    Args:
        handler: Handles all methods; unknown ones have the name `?`.
        paths: Paths of all methods, `/package.Service/Method`.
        options: gRPC options.
    """
    server: Any = _Server((handler,), options)
    # Without their own handlers, so that they get to the one that sees the headers of a call.
    server._server.add_registered_method_handlers(dict.fromkeys(paths))
    made: grpc.aio.Server = server
    return made
