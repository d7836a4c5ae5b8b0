"""What every call shares: the request is parsed, a deadline kept, an error mapped to a status."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from conversations import errors
from conversations.errors import ServiceError

__all__ = ["DOMAIN", "UnknownMethodHandler", "method_handler", "to_status"]

logger = logging.getLogger(__name__)

DOMAIN = "conversations.v1"
"""Domain of every ErrorInfo."""

_MAX_TEXT_BYTES = 500
_RETRY_DELAY = Duration(seconds=1)
_MALFORMED = "the request is not a message of the method's type"

_STATUSES: dict[type[ServiceError], tuple[grpc.StatusCode, str]] = {
    errors.MalformedRequestError: (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST"),
    errors.InvalidFieldError: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.CursorError: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CURSOR"),
    errors.CursorMismatchError: (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_MISMATCH"),
    errors.FilterSyntaxError: (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_SYNTAX"),
    errors.UnknownFieldError: (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_FIELD"),
    errors.FilterValueError: (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_VALUE"),
    errors.UnsupportedFilterError: (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_FILTER"),
    errors.FilterTooLargeError: (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_TOO_LARGE"),
    errors.FilterTooBroadError: (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_TOO_BROAD"),
    errors.ConversationNotFoundError: (grpc.StatusCode.NOT_FOUND, "CONVERSATION_NOT_FOUND"),
    errors.MessageNotFoundError: (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND"),
    errors.TagNotFoundError: (grpc.StatusCode.NOT_FOUND, "TAG_NOT_FOUND"),
    errors.ChannelNotFoundError: (grpc.StatusCode.NOT_FOUND, "CHANNEL_NOT_FOUND"),
    errors.RequestTooLargeError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
    errors.UnknownMethodError: (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD"),
    errors.OverloadedError: (grpc.StatusCode.UNAVAILABLE, "OVERLOADED"),
    errors.StoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    errors.DamagedRecordError: (grpc.StatusCode.DATA_LOSS, "DAMAGED_RECORD"),
    errors.OutOfTimeError: (grpc.StatusCode.DEADLINE_EXCEEDED, "OUT_OF_TIME"),
}
_DEFECT = (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")


def to_status(error: ServiceError) -> status_pb2.Status:
    """Return the status that a caller sees for an error; an error that is not in the table is a defect of ours."""
    code, reason = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), _DEFECT)
    metadata = {key: _shortened(value) for key, value in error.metadata.items()}
    message = _shortened(error.message)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)]
    match error:
        case errors.InvalidFieldError():
            details.append(_bad_request(error.field, _shortened(error.description)))
        case errors.FilterError():
            details.append(_bad_request("filters", message))
        case errors.OverloadedError() | errors.StoreUnavailableError():
            details.append(error_details_pb2.RetryInfo(retry_delay=_RETRY_DELAY))
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _shortened(text: str) -> str:
    """Leave out the middle of a long text: trailers of more than 8 KiB make the whole call fail."""
    data = text.encode()
    if len(data) <= _MAX_TEXT_BYTES:
        return text
    half = _MAX_TEXT_BYTES // 2
    return data[:half].decode(errors="ignore") + " … " + data[-half:].decode(errors="ignore")


def _bad_request(field: str, description: str) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
    return error_details_pb2.BadRequest(field_violations=[violation])


_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: ServiceError) -> None:
    status = to_status(error)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(_CODES[status.code], status.message)


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def method_handler(
    name: str,
    parse: Callable[[bytes], Any],
    method: Callable[[Any], Awaitable[Message | bytes]],
    max_request_bytes: int,
) -> "grpc.RpcMethodHandler[bytes, Message | bytes]":
    """Return the handler of a unary method.

    The request is measured and parsed here and not by gRPC, which would answer INTERNAL for bytes that are no message,
    and no details for a request that is too large.
    """

    async def handle(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Message | bytes:
        try:
            if len(data) > max_request_bytes:
                raise errors.RequestTooLargeError(f"a request may have {max_request_bytes} bytes at most")
            request = parse(data)
            remaining = context.time_remaining()
            if remaining is None:
                return await method(request)
            async with asyncio.timeout(remaining):
                return await method(request)
        except ServiceError as error:
            # Texts may quote a caller: no line feed or control character of theirs goes into the log.
            logger.info("%s failed: %s", name, ascii(_shortened(error.message)))
            await _abort(context, error)
        except DecodeError:
            await _abort(context, errors.MalformedRequestError(_MALFORMED))
        except TimeoutError:
            await _abort(context, errors.OutOfTimeError("the call ran out of time"))
        except Exception:
            logger.exception("%s failed by a defect", name)
            await _abort(context, ServiceError("internal error"))
        raise AssertionError("abort raises")

    return grpc.unary_unary_rpc_method_handler(handle, response_serializer=_serialize)


class UnknownMethodHandler(grpc.GenericRpcHandler):
    """Answers calls of methods that no service has; registered last."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Return a handler that fails."""

        async def handle(_requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            await _abort(context, errors.UnknownMethodError(f"there is no method {handler_call_details.method}"))
            raise AssertionError("abort raises")

        return grpc.stream_unary_rpc_method_handler(handle)
