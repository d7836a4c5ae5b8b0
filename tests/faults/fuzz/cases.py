"""What is sent, and the kinds of it."""

from dataclasses import dataclass, field

from tests.faults.fuzz.headers import Headers

__all__ = ["Bytes", "Call", "Frames"]


@dataclass(slots=True)
class Call:
    """A request that is framed as it should be: whatever is wrong with it, it has one answer."""

    method: bytes
    path: bytes
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    authority: bytes = b"localhost"

    @property
    def has_deadline(self) -> bool:
        return any(name.lower() == b"grpc-timeout" for name, _ in self.headers)


@dataclass(slots=True)
class Bytes:
    """What a connection of HTTP/1 begins with; any number of answers may come."""

    data: bytes


@dataclass(slots=True)
class Frames:
    """What a connection of HTTP/2 begins with, behind it a good request."""

    data: bytes
    last: int
    """The stream of the good request."""
    certain: bool = True
    """Whether that has to be answered where the connection goes on."""
