"""What every call shares: it is admitted, its request read and parsed, a deadline kept, an error mapped to a status.

Every handler of the server is made here, those of health and reflection too. gRPC sees all requests as streams, so that
they are read here: left to itself, it waits for ever for a request that does not come whole.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from conversations import errors
from conversations.callers import CALLER
from conversations.errors import ServiceError
from conversations.logs import NotOfCallers
from conversations.rpc.admission import Admission, Admitted
from conversations.rpc.peers import CALLER_HEADER, Peers
from conversations.rpc.statuses import shortened, to_status

__all__ = ["MAX_HEADER_BYTES", "Handlers", "Method"]

MAX_HEADER_BYTES = 64 * 1024
"""The largest headers of a call: names and values. Envoy lets 60 KiB through and adds some."""

UNKNOWN_FIELD_HEADER = "x-conversations-unknown-field"
"""In it the edge names a key of a JSON body that the transcoder would drop: as it is written there, percent-encoded."""

ROUNDED_NUMBER_HEADER = "x-conversations-rounded-number"
"""In it the edge names a field of free data and a number there that the transcoder would round, percent-encoded."""

logger = logging.getLogger(__name__)
logging.getLogger("grpc._cython.cygrpc").addFilter(NotOfCallers())

_Context = Any  # grpc.aio.ServicerContext[Any, Any], which cannot be subscripted at run time
_MARGIN_SECONDS = 0.02
_PATIENCE = 4
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Method:
    """A method as its service has it."""

    descriptor: Any
    """Of protobuf: a MethodDescriptor."""
    call: Callable[[Any], Any]
    """Takes the request; returns an awaitable answer, or an iterator over answers where the descriptor says a stream.
    A stream of requests comes as a list where there is one answer, otherwise as an iterator. An answer is a message, or
    the bytes of one."""
    parse: Callable[[bytes], Any] | None = None
    """Makes a request of its bytes; None for the message that the descriptor names."""
    max_request_bytes: int = 256 * 1024
    """Of all that is to be there before the call begins."""
    takes_turns: bool = True
    """False for questions of health, which are answered however many calls wait."""


class Handlers(grpc.GenericRpcHandler):
    """All handlers of a server."""

    def __init__(self, methods: Iterable[Method], admission: Admission, peers: Peers) -> None:
        self._peers = peers
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, Any]] = {}
        self._fields: dict[str, list[str]] = {}
        for method in methods:
            calls = _Calls(method, admission, peers)
            handler: grpc.RpcMethodHandler[bytes, Any]
            if method.descriptor.server_streaming:
                handler = grpc.stream_stream_rpc_method_handler(calls.stream, response_serializer=_serialize)
            else:
                handler = grpc.stream_unary_rpc_method_handler(calls.answer, response_serializer=_serialize)
            path = f"/{method.descriptor.containing_service.full_name}/{method.descriptor.name}"
            self._handlers[path] = handler
            self._fields[path] = [field.name for field in method.descriptor.input_type.fields]

    @property
    def paths(self) -> list[str]:
        """The paths of all methods."""
        return list(self._handlers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, Any]":
        """Return the handler of a call."""
        # They are read here since gRPC has just made them; for a handler it would make them again.
        size, unknown_field, rounded = 0, None, None
        for name, value in handler_call_details.invocation_metadata:
            size += len(name) + len(value)
            if name == CALLER_HEADER:
                self._peers.note(value)
            elif name == UNKNOWN_FIELD_HEADER:
                unknown_field = _key(unquote(str(value)))
            elif name == ROUNDED_NUMBER_HEADER:
                rounded = str(value)
        if size > MAX_HEADER_BYTES:
            return _refusing(errors.RequestTooLargeError("the headers are too large"))
        method: Any = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is not None and unknown_field is not None:
            return _refusing(errors.InvalidFieldError.unknown(unknown_field, self._fields[method]))
        if handler is not None and rounded is not None:
            field, _, number = rounded.partition(" ")
            return _refusing(errors.InvalidFieldError.rounded(_key(unquote(field)), unquote(number)))
        if handler is None:
            return _refusing(errors.UnknownMethodError("there is no such method"))
        return handler


class _Calls:
    """The calls of one method."""

    def __init__(self, method: Method, admission: Admission, peers: Peers) -> None:
        descriptor = method.descriptor
        self._name = f"{descriptor.containing_service.name}/{descriptor.name}"
        self._method = method
        self._parse = method.parse or GetMessageClass(descriptor.input_type).FromString
        self._admission = admission
        self._peers = peers

    async def answer(self, _requests: Any, context: _Context) -> Message | bytes:
        """Answer with one message."""
        call: Admitted | None = None
        try:
            call = self._arrive(context)
            if self._method.descriptor.client_streaming:
                data: bytes | list[bytes] = await self._read_all(call, context)
            else:
                data = await self._read(call, context)
            remaining = context.time_remaining()
            if remaining is None:
                return await self._run(call, data)
            # gRPC ends a call at its deadline too, but does not say why: so this is a little earlier.
            async with asyncio.timeout(remaining - min(remaining / 10, _MARGIN_SECONDS)):
                return await self._run(call, data)
        except BaseException as error:
            await self._fail(context, call, error)
            raise
        finally:
            if call is not None:
                self._admission.leave(call)

    async def _run(self, call: Admitted, data: bytes | list[bytes]) -> Message | bytes:
        if self._method.takes_turns:
            await self._admission.wait_for_turn(call)
        else:
            self._admission.skip_turn(call)
        request = self._parse(data) if isinstance(data, bytes) else [self._parse(part) for part in data]
        answer: Message | bytes = await self._method.call(request)
        return answer

    async def stream(self, _requests: Any, context: _Context) -> None:
        """Answer with messages until there are no more."""
        call: Admitted | None = None
        try:
            call = self._arrive(context)
            request: Any = self._requests(call, context)
            if not self._method.descriptor.client_streaming:
                request = self._parse(await self._read(call, context))
                self._admission.stream(call)
            async with aclosing(self._method.call(request)) as answers:
                async for answer in answers:
                    await context.write(answer)
        except BaseException as error:
            await self._fail(context, call, error)
            raise
        finally:
            if call is not None:
                self._admission.leave(call)

    async def _requests(self, call: Admitted, context: _Context) -> AsyncIterator[Any]:
        while (data := await context.read()) is not grpc.aio.EOF:
            self._admission.stream(call)
            self._check_size(len(data))
            yield self._parse(data)
            self._admission.await_more(call)

    def _arrive(self, context: _Context) -> Admitted:
        caller = self._peers.caller(context.peer())
        CALLER.set(caller)
        return self._admission.arrive(caller)

    async def _read_all(self, call: Admitted, context: _Context) -> list[bytes]:
        parts: list[bytes] = []
        size = 0
        try:
            while (data := await context.read()) is not grpc.aio.EOF:
                size += len(data)
                if size <= self._method.max_request_bytes:
                    self._admission.take_in(call, len(data))
                    parts.append(data)
                    continue
                # Many clients of HTTP/1 read no answer before they have sent all: let them, if it is not much more.
                parts.clear()
                self._check_size(size // _PATIENCE)
            self._check_size(size)
        except BaseException:
            parts.clear()  # what the exception's traceback holds on to
            raise
        return parts

    async def _read(self, call: Admitted, context: _Context) -> bytes:
        data = await context.read()
        if data is grpc.aio.EOF:
            raise errors.MalformedRequestError("the request is missing, or was cut off")
        self._check_size(len(data))
        self._admission.take_in(call, len(data))
        whole: bytes = data
        return whole

    def _check_size(self, size: int) -> None:
        if size > self._method.max_request_bytes:
            raise errors.RequestTooLargeError(
                f"a request of this method may have {self._method.max_request_bytes} bytes at most"
            )

    async def _fail(self, context: _Context, call: Admitted | None, error: BaseException) -> None:
        """Tell the caller of an error; return where there is nobody to be told."""
        match error:
            case asyncio.CancelledError():
                refusal = call.resume() if call is not None else None
                if refusal is None:
                    return
                error = refusal
            case DecodeError():
                error = errors.MalformedRequestError("the request is not a message of the method's type")
            case TimeoutError():
                error = errors.OutOfTimeError("the call ran out of time")
            case ServiceError():
                if not isinstance(error, errors.OverloadedError):
                    # Texts may quote a caller: no line feed or control character of theirs goes into the log.
                    logger.info("%s failed: %s", self._name, ascii(shortened(error.message)))
            case Exception() if context.cancelled():
                return
            case Exception():
                logger.exception("%s failed by a defect", self._name)
                error = ServiceError("internal error")
            case _:
                return
        assert isinstance(error, ServiceError)
        await _abort(context, error)


def _key(text: str) -> str:
    """Return what a JSON string says; what is none, or was cut, stands for itself."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


async def _abort(context: _Context, error: ServiceError) -> None:
    status = to_status(error)
    trailers = [("grpc-status-details-bin", status.SerializeToString())]
    if isinstance(error, errors.OverloadedError | errors.StoreUnavailableError):
        trailers.append(("retry-after", "1"))
    context.set_trailing_metadata(trailers)
    await context.abort(_CODES[status.code], status.message)


def _refusing(error: ServiceError) -> "grpc.RpcMethodHandler[bytes, Any]":
    """Return a handler that fails, and reads no request."""

    async def refuse(_requests: Any, context: _Context) -> bytes:
        await _abort(context, error)
        raise AssertionError("abort raises")

    return grpc.stream_unary_rpc_method_handler(refuse)
