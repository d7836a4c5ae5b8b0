"""The one table from errors to statuses."""

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from conversations import errors
from conversations.rpc import DOMAIN, to_status
from conversations.v1.error_reason_pb2 import ErrorReason

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND

STATUSES = {
    errors.MalformedRequestError: (errors.MalformedRequestError("no"), INVALID, "MALFORMED_REQUEST"),
    errors.InvalidFieldError: (errors.InvalidFieldError("a.b", "is missing"), INVALID, "INVALID_FIELD"),
    errors.CursorError: (errors.CursorError("cursor", "is damaged"), INVALID, "INVALID_CURSOR"),
    errors.CursorMismatchError: (errors.CursorMismatchError("cursor", "is foreign"), INVALID, "CURSOR_MISMATCH"),
    errors.FilterSyntaxError: (errors.FilterSyntaxError("no", 3), INVALID, "FILTER_SYNTAX"),
    errors.UnknownFieldError: (errors.UnknownFieldError("no", 3, field="x", nearest="id"), INVALID, "UNKNOWN_FIELD"),
    errors.FilterValueError: (errors.FilterValueError("no", 3), INVALID, "FILTER_VALUE"),
    errors.UnsupportedFilterError: (errors.UnsupportedFilterError("no", 3), INVALID, "UNSUPPORTED_FILTER"),
    errors.FilterTooLargeError: (errors.FilterTooLargeError("no", 3, limit="4096"), INVALID, "FILTER_TOO_LARGE"),
    errors.ConversationNotFoundError: (errors.ConversationNotFoundError(ID), NOT_FOUND, "CONVERSATION_NOT_FOUND"),
    errors.MessageNotFoundError: (errors.MessageNotFoundError(ID), NOT_FOUND, "MESSAGE_NOT_FOUND"),
    errors.TagNotFoundError: (errors.TagNotFoundError(ID), NOT_FOUND, "TAG_NOT_FOUND"),
    errors.ChannelNotFoundError: (errors.ChannelNotFoundError(ID), NOT_FOUND, "CHANNEL_NOT_FOUND"),
    errors.UnknownServiceError: (errors.UnknownServiceError("a.B"), NOT_FOUND, "UNKNOWN_METHOD"),
    errors.TagExistsError: (errors.TagExistsError(ID), grpc.StatusCode.ALREADY_EXISTS, "TAG_EXISTS"),
    errors.RequestTooLargeError: (
        errors.RequestTooLargeError("no"),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
    ),
    errors.UnknownMethodError: (errors.UnknownMethodError("no"), grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD"),
    errors.OverloadedError: (errors.OverloadedError("no"), grpc.StatusCode.UNAVAILABLE, "OVERLOADED"),
    errors.StoreUnavailableError: (
        errors.StoreUnavailableError("no"),
        grpc.StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
    ),
    errors.DamagedRecordError: (
        errors.DamagedRecordError("conversation", ID),
        grpc.StatusCode.DATA_LOSS,
        "DAMAGED_RECORD",
    ),
    errors.OutOfTimeError: (errors.OutOfTimeError("no"), grpc.StatusCode.DEADLINE_EXCEEDED, "OUT_OF_TIME"),
}
DEFECTS: dict[type[errors.ServiceError], errors.ServiceError] = {
    # Bases, of which only subclasses are raised.
    errors.ServiceError: errors.ServiceError("internal error"),
    errors.FilterError: errors.FilterError("no", 3),
    errors.NotFoundError: errors.NotFoundError(ID),
    # Raised at start-up only.
    errors.ConfigurationError: errors.ConfigurationError("no"),
}


def all_errors(kind: type[errors.ServiceError] = errors.ServiceError) -> Iterator[type[errors.ServiceError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from all_errors(child)


def unpack(status: status_pb2.Status) -> list[Message]:
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    by_name = {kind.DESCRIPTOR.full_name: kind for kind in kinds}
    messages = []
    for packed in status.details:
        message = by_name[packed.TypeName()]()
        assert packed.Unpack(message)
        messages.append(message)
    return messages


def test_every_error_has_a_row_or_is_a_defect_on_purpose() -> None:
    assert set(all_errors()) == {*STATUSES, *DEFECTS}


@pytest.mark.parametrize(("error", "code", "reason"), STATUSES.values(), ids=[kind.__name__ for kind in STATUSES])
def test_an_error_becomes_its_status(error: errors.ServiceError, code: grpc.StatusCode, reason: str) -> None:
    status = to_status(error)
    assert status.code == code.value[0]
    assert status.message == error.message
    info, *others = unpack(status)
    assert info == error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=error.metadata)
    expected: list[Message] = []
    if isinstance(error, errors.InvalidFieldError):
        expected = [violation(error.field, error.description)]
    elif isinstance(error, errors.FilterError):
        expected = [violation("filters", error.message)]
    elif isinstance(error, errors.OverloadedError | errors.StoreUnavailableError):
        expected = [error_details_pb2.RetryInfo(retry_delay={"seconds": 1})]
    assert others == expected


def violation(field: str, description: str) -> Message:
    request: Message = error_details_pb2.BadRequest(field_violations=[{"field": field, "description": description}])
    return request


@pytest.mark.parametrize("error", DEFECTS.values(), ids=[kind.__name__ for kind in DEFECTS])
def test_what_should_never_reach_a_caller_is_an_internal_error(error: errors.ServiceError) -> None:
    status = to_status(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    info = unpack(status)[0]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason == "INTERNAL_ERROR"


def test_a_new_subclass_answers_as_its_base_does() -> None:
    class LateCursorError(errors.CursorMismatchError):
        pass

    info = unpack(to_status(LateCursorError("cursor", "is late")))[0]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason == "CURSOR_MISMATCH"


def test_every_reason_is_in_the_proto() -> None:
    reasons = {reason for _, _, reason in STATUSES.values()} | {"INTERNAL_ERROR"}
    # The proxy answers with the others.
    by_proxy = {"REQUEST_TOO_LARGE", "NO_SERVER", "ORIGIN_NOT_ALLOWED", "HOST_NOT_ALLOWED", "UNSUPPORTED_PROTOCOL"}
    values = ErrorReason.DESCRIPTOR.values
    assert reasons | by_proxy == {value.name for value in values if value.number and not value.GetOptions().deprecated}
