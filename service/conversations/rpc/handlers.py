"""All handlers of a server: each call is admitted, its request is read and parsed, and it is answered.

Every handler of the server is made here, including health and reflection. To gRPC all requests are streams, so that
they are read here: gRPC itself would wait forever for a request that never completes.
"""

import json
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from time import monotonic
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from conversations import errors
from conversations.callers import CALLER
from conversations.errors import ServiceError
from conversations.logs import CallerErrorFilter
from conversations.rpc.admission import Admission, Admitted
from conversations.rpc.calls import Call, Interceptor, Method
from conversations.rpc.interceptors import INTERCEPTORS, abort, chain
from conversations.rpc.peers import CALLER_HEADER, Peers

__all__ = ["MAX_HEADER_BYTES", "Handlers"]

MAX_HEADER_BYTES = 64 * 1024
"""Maximum size of a call's headers: names and values. Envoy lets 60 KiB through and adds some."""

UNKNOWN_FIELD_HEADER = "x-conversations-unknown-field"
"""Header in which Envoy names a key of a JSON body that the transcoder would drop: as written, percent-encoded."""


ROUNDED_NUMBER_HEADER = "x-conversations-rounded-number"
"""Header in which Envoy names a free-form field and a number in it that the transcoder would round, percent-encoded."""

logging.getLogger("grpc._cython.cygrpc").addFilter(CallerErrorFilter())

_MAX_EXCESS = 4
# The headers of the current task's call, and the caller that they name.
_HEADERS: ContextVar[tuple[Sequence[tuple[str, str | bytes]], str | bytes]] = ContextVar("headers", default=((), ""))


class Handlers(grpc.GenericRpcHandler):
    """All handlers of a server."""

    def __init__(
        self,
        methods: Iterable[Method],
        admission: Admission,
        peers: Peers,
        interceptors: Sequence[Interceptor] = INTERCEPTORS,
    ) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, Any]] = {}
        self._fields: dict[str, list[str]] = {}
        for method in methods:
            self._handlers[method.path] = _handler(method, admission, peers, interceptors)
            self._fields[method.path] = [field.name for field in method.descriptor.input_type.fields]

    @property
    def paths(self) -> list[str]:
        """The paths of all methods."""
        return list(self._handlers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, Any]":
        """Return the handler of a call."""
        # Headers are read here, where gRPC has just decoded them; for a handler it would decode them again.
        metadata: Any = handler_call_details.invocation_metadata
        size, named, unknown_field, rounded = 0, "", None, None
        for name, value in metadata:
            size += len(name) + len(value)
            if name == CALLER_HEADER:
                named = value
            elif name == UNKNOWN_FIELD_HEADER:
                unknown_field = _key(unquote(str(value)))
            elif name == ROUNDED_NUMBER_HEADER:
                rounded = str(value)
        if size > MAX_HEADER_BYTES:
            return _refusing(errors.RequestTooLargeError("the headers are too large"))
        _HEADERS.set((metadata, named))
        method: Any = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            return _refusing(errors.UnknownMethodError("there is no such method"))
        if unknown_field is not None:
            return _refusing(errors.InvalidFieldError.unknown(unknown_field, self._fields[method]))
        if rounded is not None:
            field, _, number = rounded.partition(" ")
            return _refusing(errors.InvalidFieldError.rounded(_key(unquote(field)), unquote(number)))
        return handler


def _handler(
    method: Method, admission: Admission, peers: Peers, interceptors: Sequence[Interceptor]
) -> "grpc.RpcMethodHandler[bytes, Any]":
    name = method.name
    calls, streams = _Calls(method, admission), method.descriptor.server_streaming
    answer = chain(method, calls.stream if streams else calls.answer, interceptors)

    async def handle(_requests: Any, transport: Any) -> Message | bytes | None:
        metadata, named = _HEADERS.get()
        caller = peers.caller(transport.peer(), named)
        CALLER.set(caller)
        remaining = transport.time_remaining()
        deadline = None if remaining is None else monotonic() + remaining
        return await answer(Call(name, caller, deadline, metadata, None, transport))

    if streams:
        return grpc.stream_stream_rpc_method_handler(handle, response_serializer=_serialize)
    return grpc.stream_unary_rpc_method_handler(handle, response_serializer=_serialize)


class _Calls:
    """The calls of one method."""

    def __init__(self, method: Method, admission: Admission) -> None:
        self._method = method
        self._parse_message = method.parse or GetMessageClass(method.descriptor.input_type).FromString
        self._admission = admission
        self._reads_stream = method.descriptor.client_streaming

    async def answer(self, call: Call) -> Message | bytes:
        """Answer with one message."""
        with self._admission.arrive(call.caller) as place:
            if self._reads_stream:
                data: bytes | list[bytes] = await self._read_all(call, place)
            else:
                data = await self._read(call, place)
            if self._method.takes_turns:
                await self._admission.wait_for_turn(place)
            else:
                self._admission.skip_turn(place)
            request = self._parse(data) if isinstance(data, bytes) else [self._parse(part) for part in data]
            answer: Message | bytes = await self._method.call(request, call)
            return answer

    async def stream(self, call: Call) -> None:
        """Answer with a stream of messages."""
        with self._admission.arrive(call.caller) as place:
            request: Any = self._requests(call, place)
            if not self._reads_stream:
                request = self._parse(await self._read(call, place))
                self._admission.stream(place)
            async with aclosing(self._method.call(request, call)) as answers:
                async for answer in answers:
                    await call.transport.write(answer)

    async def _requests(self, call: Call, place: Admitted) -> AsyncIterator[Any]:
        while (data := await call.transport.read()) is not grpc.aio.EOF:
            self._admission.stream(place)
            self._check_size(len(data))
            yield self._parse(data)
            self._admission.await_more(place)

    def _parse(self, data: bytes) -> Any:
        try:
            return self._parse_message(data)
        except DecodeError:
            raise errors.MalformedRequestError("the request is not a message of the method's type") from None

    async def _read_all(self, call: Call, place: Admitted) -> list[bytes]:
        parts: list[bytes] = []
        size = 0
        try:
            while (data := await call.transport.read()) is not grpc.aio.EOF:
                size += len(data)
                if size <= self._method.max_request_bytes:
                    self._admission.add_bytes(place, len(data))
                    parts.append(data)
                    continue
                # Many HTTP/1 clients read no response before they have sent everything: let them, if it isn't much
                # more.
                parts.clear()
                self._check_size(size // _MAX_EXCESS)
            self._check_size(size)
        except BaseException:
            parts.clear()  # the exception's traceback keeps them alive
            raise
        return parts

    async def _read(self, call: Call, place: Admitted) -> bytes:
        data = await call.transport.read()
        if data is grpc.aio.EOF:
            raise errors.MalformedRequestError("the request is missing or incomplete")
        self._check_size(len(data))
        self._admission.add_bytes(place, len(data))
        whole: bytes = data
        return whole

    def _check_size(self, size: int) -> None:
        if size > self._method.max_request_bytes:
            raise errors.RequestTooLargeError(
                f"a request of this method may have at most {self._method.max_request_bytes} bytes"
            )


def _key(text: str) -> str:
    """Return the text of a JSON string; an invalid or truncated one is returned unchanged."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _refusing(error: ServiceError) -> "grpc.RpcMethodHandler[bytes, Any]":
    """Return a handler that fails without reading a request."""

    async def refuse(_requests: Any, transport: Any) -> bytes:
        await abort(transport, error)
        raise AssertionError("abort raises")

    return grpc.stream_unary_rpc_method_handler(refuse)
