"""The service's own errors: neither gRPC statuses nor Redis exceptions.

    ServiceError
    ├── MalformedRequestError
    ├── InvalidFieldError
    │   └── CursorError
    │       └── CursorMismatchError
    ├── FilterError
    │   ├── FilterSyntaxError
    │   ├── UnknownFieldError
    │   ├── FilterValueError
    │   ├── UnsupportedFilterError
    │   └── FilterTooLargeError
    ├── NotFoundError
    │   ├── ConversationNotFoundError
    │   ├── MessageNotFoundError
    │   ├── TagNotFoundError
    │   ├── ChannelNotFoundError
    │   └── UnknownServiceError
    ├── TagExistsError
    ├── RequestTooLargeError
    ├── UnknownMethodError
    ├── OverloadedError
    ├── StoreUnavailableError
    ├── DamagedRecordError
    ├── OutOfTimeError
    └── ConfigurationError

`rpc.statuses` maps them to gRPC statuses, in one table.
"""

from collections.abc import Sequence
from difflib import get_close_matches


def _encodable(text: str) -> str:
    """Return a text that can be sent: what it quotes from a caller may have lone surrogates."""
    return text.encode("utf-8", "replace").decode()


class ServiceError(Exception):
    """Base of all errors that callers see."""

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(_encodable(message))
        self.message = _encodable(message)
        """One sentence for a person."""
        self.metadata = {key: _encodable(value) for key, value in metadata.items()}
        """Facts for a program."""


class MalformedRequestError(ServiceError):
    """Raised when a request is not what its message type asks for."""


class InvalidFieldError(ServiceError):
    """Raised when a field of a request is missing, malformed or out of range."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}", field=field)
        self.field = _encodable(field)
        """Path of the field in the request."""
        self.description = _encodable(description)
        """What is wrong with it."""

    @classmethod
    def unknown(cls, field: str, known: Sequence[str]) -> "InvalidFieldError":
        """Return the error for an unknown field, with the nearest known name.

        Args:
            field: Its path.
            known: The names that are allowed in its place.
        """
        near = get_close_matches(field.rpartition(".")[2], known, 1)
        if near:
            return cls(field, f"is unknown; did you mean {near[0]}?")
        return cls(field, f"is unknown; there are {', '.join(known)}" if known else "is unknown; there are no fields")

    @classmethod
    def rounded(cls, field: str, number: str) -> "InvalidFieldError":
        """Return the error for a number, as written, that would lose digits."""
        shown = number if len(number) <= 40 else f"{number[:20]}..."
        return cls(field, f"has a number that JSON parsers would round: {shown}; send it as a string")


class CursorError(InvalidFieldError):
    """Raised when a cursor is damaged or out of range."""


class CursorMismatchError(CursorError):
    """Raised when a cursor belongs to another filter or call."""


class FilterError(ServiceError):
    """Base of what can be wrong with a filter."""

    def __init__(self, message: str, position: int, **metadata: str) -> None:
        super().__init__(message, position=str(position), **metadata)
        self.position = position
        """Its place in the filter, in code points from 0."""


class FilterSyntaxError(FilterError):
    """Raised when a filter does not parse."""


class UnknownFieldError(FilterError):
    """Raised when a filter names a field that does not exist."""


class FilterValueError(FilterError):
    """Raised when a filter asks a field for something that it cannot hold."""


class UnsupportedFilterError(FilterError):
    """Raised when a filter uses syntax that the service does not support."""


class FilterTooLargeError(FilterError):
    """Raised when a filter has too many bytes, levels or clauses, or its regular expressions are too complex."""


class NotFoundError(ServiceError):
    """Base of the errors for something that does not exist."""

    kind = "resource"

    def __init__(self, id: str) -> None:
        super().__init__(f"no {self.kind} has the id {id}", id=id)


class ConversationNotFoundError(NotFoundError):
    """Raised when no conversation has the id."""

    kind = "conversation"


class MessageNotFoundError(NotFoundError):
    """Raised when no message has the id."""

    kind = "message"


class TagNotFoundError(NotFoundError):
    """Raised when no tag has the id."""

    kind = "tag"


class ChannelNotFoundError(NotFoundError):
    """Raised when no channel has the id."""

    kind = "channel"


class UnknownServiceError(NotFoundError):
    """Raised when a health check names a service that the server does not have."""

    kind = "service"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.message = f"there is no service {name}"


class TagExistsError(ServiceError):
    """Raised when a tag is created with the id of another one."""

    def __init__(self, id: str) -> None:
        super().__init__(f"another tag has the id {id}", id=id)


class RequestTooLargeError(ServiceError):
    """Raised when a request is larger than the server takes."""


class UnknownMethodError(ServiceError):
    """Raised when an unknown method is called."""


class OverloadedError(ServiceError):
    """Raised when more calls are waiting than can be answered soon."""


class StoreUnavailableError(ServiceError):
    """Raised when Redis cannot be reached, is loading, or is building its index."""


class DamagedRecordError(ServiceError):
    """Raised when what Redis holds of a resource is not what the service wrote."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"the stored {kind} {id} is damaged", id=id)
        self.kind = kind
        self.id = id


class OutOfTimeError(ServiceError):
    """Raised when a call, or its search, ran out of time."""


class ConfigurationError(ServiceError):
    """Raised at start-up when settings or Redis are not as the service needs them."""
