"""Interceptors around every call, one subject each. The first in a list is the outermost."""

import asyncio
import logging
from collections.abc import Sequence
from functools import reduce
from typing import Any

import grpc
from google.protobuf.message import Message

from conversations import errors
from conversations.errors import ServiceError
from conversations.rpc.calls import Answer, Call, Interceptor, Method
from conversations.rpc.statuses import shortened, to_status

__all__ = ["INTERCEPTORS", "abort", "chain", "enforce_deadline", "log_failure", "send_status"]

logger = logging.getLogger(__name__)

_MARGIN_SECONDS = 0.02
# As the edge lets it pass; others may send anything.
_MAX_REQUEST_ID = 128
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def chain(method: Method, answer: Answer, interceptors: Sequence[Interceptor]) -> Answer:
    """Wrap a method's answer in interceptors."""
    return reduce(lambda inner, interceptor: interceptor(method, inner), reversed(interceptors), answer)


def send_status(_method: Method, answer: Answer) -> Answer:
    """Send errors to the caller; defects only as `internal error`."""

    async def answer_or_abort(call: Call) -> Message | bytes | None:
        try:
            return await answer(call)
        except ServiceError as error:
            await abort(call.transport, error)
            raise
        except Exception:
            # A caller that has gone cannot be told.
            if not call.transport.cancelled():
                await abort(call.transport, ServiceError("internal error"))
            raise

    return answer_or_abort


def log_failure(_method: Method, answer: Answer) -> Answer:
    """Log calls that fail; a defect with its traceback."""

    async def answer_and_log(call: Call) -> Message | bytes | None:
        try:
            return await answer(call)
        except errors.OverloadedError:
            raise
        except ServiceError as error:
            # Texts may quote a caller, whose line feeds and control characters must not get into the log.
            logger.info("%s failed: %s", _name(call), ascii(shortened(error.message)))
            raise
        except Exception:
            if not call.transport.cancelled():
                logger.exception("%s failed due to a defect", _name(call))
            raise

    return answer_and_log


def _name(call: Call) -> str:
    """Return a call's method, and its id in the access log."""
    id = ascii(call.request_id[:_MAX_REQUEST_ID])[1:-1]
    return f"{call.method} {id}" if id else call.method


def enforce_deadline(_method: Method, answer: Answer) -> Answer:
    """End a call shortly before its deadline: gRPC itself would end it without saying why."""

    async def answer_in_time(call: Call) -> Message | bytes | None:
        remaining = call.time_remaining()
        if remaining is None:
            return await answer(call)
        try:
            async with asyncio.timeout(remaining - min(remaining / 10, _MARGIN_SECONDS)):
                return await answer(call)
        except TimeoutError:
            raise errors.OutOfTimeError("the call ran out of time") from None

    return answer_in_time


INTERCEPTORS: Sequence[Interceptor] = (send_status, enforce_deadline, log_failure)
"""The interceptors of every call."""


async def abort(transport: Any, error: ServiceError) -> None:
    """End a call with the status of an error."""
    status = to_status(error)
    trailers = [("grpc-status-details-bin", status.SerializeToString())]
    if isinstance(error, errors.OverloadedError | errors.StoreUnavailableError):
        trailers.append(("retry-after", "1"))
    transport.set_trailing_metadata(trailers)
    await transport.abort(_CODES[status.code], status.message)
