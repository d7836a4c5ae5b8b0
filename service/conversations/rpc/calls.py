"""Methods, and the context of a call."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from conversations.callers import Caller

__all__ = ["MAX_REQUEST_BYTES", "Answer", "Call", "Context", "Interceptor", "Method"]

MAX_REQUEST_BYTES = 256 * 1024
"""Maximum size of a request whose method says nothing else. Only events are larger: free-form data has 64 KiB."""

_REQUEST_ID = "x-request-id"


@dataclass(slots=True)
class Context:
    """What a method knows of its call."""

    method: str
    """Its name, such as `TagService/ListTags`."""
    caller: Caller
    deadline: float | None = None
    """When the caller stops waiting, in seconds of `time.monotonic`; None for never."""
    metadata: Sequence[tuple[str, str | bytes]] = ()
    """The headers of the request, unchanged."""
    identity: Any = None
    """Who the caller is, set by an interceptor; None if none does."""

    @property
    def request_id(self) -> str:
        """The call's id in the access log; empty if there is none, as without Envoy."""
        return next((str(value) for name, value in self.metadata if name == _REQUEST_ID), "")

    def time_remaining(self) -> float | None:
        """Return how many seconds the caller will still wait; None for forever."""
        return None if self.deadline is None else self.deadline - monotonic()


@dataclass(slots=True)
class Call(Context):
    """A context with gRPC's own, which only this package needs."""

    transport: Any = None
    """A `grpc.aio.ServicerContext[Any, Any]`, which cannot be subscripted at run time."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service."""

    descriptor: Any
    """A protobuf MethodDescriptor. It says whether requests and responses are streams."""
    call: Callable[[Any, Context], Any]
    """Takes the request; returns an awaitable response, or an iterator over a stream of responses. A stream of requests
    comes as a list if there is one response, otherwise as an iterator. A response is a message, or a serialised one."""
    parse: Callable[[bytes], Any] | None = None
    """Parses a request from its bytes; None for the message that the descriptor names."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    """Maximum size of all that has to arrive before the call begins."""
    takes_turns: bool = True
    """False for health checks, which are answered however many calls are waiting."""

    @property
    def name(self) -> str:
        """The names of service and method, such as `TagService/ListTags`."""
        return f"{self.descriptor.containing_service.name}/{self.descriptor.name}"

    @property
    def path(self) -> str:
        """Its gRPC path, such as `/conversations.v1.TagService/ListTags`."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"


Answer = Callable[[Call], Awaitable[Message | bytes | None]]
"""Answers a call, including reading its request; returns None if the responses are a stream, which is sent by then."""

Interceptor = Callable[[Method, Answer], Answer]
"""Wraps the calls of a method, whether it streams or not. It is called once for each method."""
