"""Calls of Redis functions."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgpack

from conversations.store.library import function_name

__all__ = ["Call", "Steps", "by_name", "packed"]

# Prefixes of the names of read-only functions, and of no others.
_READS = ("check_", "count_", "get_", "list_", "read_", "scan_")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function in one partition."""

    partition: int
    function: str
    args: tuple[str | bytes | int, ...] = ()
    cost_ms: int = 0
    """Estimated time that it keeps Redis busy, if that is long."""

    @property
    def is_read(self) -> bool:
        """Whether it is read-only."""
        return self.function.startswith(_READS)

    def command(self) -> tuple[str | bytes | int, ...]:
        """Return the Redis command with its arguments."""
        command = "FCALL_RO" if self.is_read else "FCALL"
        return (command, function_name(self.function), 1, f"{{{self.partition}}}", *self.args)


Steps = Generator[Call, Any, _T]
"""A task as a generator: it yields calls, gets their replies and returns the outcome. Many run in one pipeline."""


# cmsgpack in Redis has one type for text and bytes.
_PACKER = msgpack.Packer(use_bin_type=False)


def packed(arguments: Mapping[str, Any]) -> bytes:
    """Return named arguments as MessagePack, which holds any text or bytes unescaped."""
    data: bytes = _PACKER.pack(arguments)
    return data


def by_name(reply: Sequence[Any]) -> dict[bytes, Any]:
    """Return the names and values that follow the first word of a reply."""
    return dict(zip(reply[1::2], reply[2::2], strict=True))
