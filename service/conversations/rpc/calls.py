"""Methods, and what is known of a call beside its request."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from conversations.callers import Caller

__all__ = ["Answer", "Call", "Context", "Interceptor", "Method"]

_REQUEST_ID = "x-request-id"


@dataclass(slots=True)
class Context:
    """What a method knows of its call."""

    method: str
    """Its name, as `TagService/ListTags`."""
    caller: Caller
    deadline: float | None = None
    """When the caller stops waiting, in seconds as `time.monotonic` has them; None for never."""
    metadata: Sequence[tuple[str, str | bytes]] = ()
    """The headers of the request, as they came."""
    identity: Any = None
    """Who the caller is, by an interceptor that finds it out; None where there is none."""

    @property
    def request_id(self) -> str:
        """The id by which the access log has the call; nothing where there is none, as without Envoy."""
        return next((str(value) for name, value in self.metadata if name == _REQUEST_ID), "")

    def time_remaining(self) -> float | None:
        """Return for how many seconds the caller still waits; None for ever."""
        return None if self.deadline is None else self.deadline - monotonic()


@dataclass(slots=True)
class Call(Context):
    """A context, and what only this room needs: gRPC's own."""

    transport: Any = None
    """A `grpc.aio.ServicerContext[Any, Any]`, which cannot be subscripted at run time."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method as its service has it."""

    descriptor: Any
    """Of protobuf: a MethodDescriptor. It says whether requests and answers are streams."""
    call: Callable[[Any, Context], Any]
    """Takes the request; returns an awaitable answer, or an iterator over answers where they are a stream. A stream of
    requests comes as a list where there is one answer, otherwise as an iterator. An answer is a message, or the bytes
    of one."""
    parse: Callable[[bytes], Any] | None = None
    """Makes a request of its bytes; None for the message that the descriptor names."""
    max_request_bytes: int = 256 * 1024
    """Of all that is to be there before the call begins."""
    takes_turns: bool = True
    """False for questions of health, which are answered however many calls wait."""

    @property
    def name(self) -> str:
        """The names of service and method, as `TagService/ListTags`."""
        return f"{self.descriptor.containing_service.name}/{self.descriptor.name}"

    @property
    def path(self) -> str:
        """What it is called by, as `/conversations.v1.TagService/ListTags`."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"


Answer = Callable[[Call], Awaitable[Message | bytes | None]]
"""Answers a call, from the reading of its request on; None where the answers are a stream, which is sent by then."""

Interceptor = Callable[[Method, Answer], Answer]
"""Puts one subject around the calls of a method, whether it streams or not. It is asked once for each method."""
