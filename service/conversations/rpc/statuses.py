"""The table from errors to gRPC statuses."""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from conversations import errors
from conversations.errors import ServiceError

__all__ = ["DOMAIN", "shortened", "to_status"]

DOMAIN = "conversations.v1"
"""Domain of every ErrorInfo."""

_MAX_TEXT_BYTES = 500
_RETRY_DELAY = Duration(seconds=1)

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
    errors.ConversationNotFoundError: (grpc.StatusCode.NOT_FOUND, "CONVERSATION_NOT_FOUND"),
    errors.MessageNotFoundError: (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND"),
    errors.TagNotFoundError: (grpc.StatusCode.NOT_FOUND, "TAG_NOT_FOUND"),
    errors.ChannelNotFoundError: (grpc.StatusCode.NOT_FOUND, "CHANNEL_NOT_FOUND"),
    errors.UnknownServiceError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_METHOD"),
    errors.TagExistsError: (grpc.StatusCode.ALREADY_EXISTS, "TAG_EXISTS"),
    errors.RequestTooLargeError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
    errors.UnknownMethodError: (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD"),
    errors.OverloadedError: (grpc.StatusCode.UNAVAILABLE, "OVERLOADED"),
    errors.StoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    errors.DamagedRecordError: (grpc.StatusCode.DATA_LOSS, "DAMAGED_RECORD"),
    errors.OutOfTimeError: (grpc.StatusCode.DEADLINE_EXCEEDED, "OUT_OF_TIME"),
}
_DEFECT = (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")


def to_status(error: ServiceError) -> status_pb2.Status:
    """Return the status that callers see for an error; an error that isn't in the table is a defect."""
    code, reason = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), _DEFECT)
    metadata = {key: shortened(value) for key, value in error.metadata.items()}
    message = shortened(error.message)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)]
    match error:
        case errors.InvalidFieldError():
            details.append(_bad_request(error.field, shortened(error.description)))
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


def shortened(text: str) -> str:
    """Leave out the middle of a long text: trailers of more than 8 KiB make the whole call fail."""
    data = text.encode()
    if len(data) <= _MAX_TEXT_BYTES:
        return text
    half = _MAX_TEXT_BYTES // 2
    return data[:half].decode(errors="ignore") + " … " + data[-half:].decode(errors="ignore")


def _bad_request(field: str, description: str) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
    return error_details_pb2.BadRequest(field_violations=[violation])
