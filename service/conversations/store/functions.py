"""Calls of the functions that Redis runs."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgpack

from conversations.store.library import function_name

__all__ = ["Call", "Steps", "by_name", "packed"]

# How the names of functions without writes begin, and of no others.
_READS = ("check_", "count_", "get_", "list_", "read_", "scan_")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function in one partition."""

    partition: int
    function: str
    args: tuple[str | bytes | int, ...] = ()
    cost_ms: int = 0
    """About how long it keeps Redis busy, where that is long."""

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.function.startswith(_READS)

    def command(self) -> tuple[str | bytes | int, ...]:
        """Return the words of the Redis command."""
        command = "FCALL_RO" if self.is_read else "FCALL"
        return (command, function_name(self.function), 1, f"{{{self.partition}}}", *self.args)


Steps = Generator[Call, Any, _T]
"""A task as a generator: yields calls, is sent their replies, returns the outcome. Many run in one pipeline."""


# Redis' reader has one type for text and bytes.
_PACKER = msgpack.Packer(use_bin_type=False)


def packed(arguments: Mapping[str, Any]) -> bytes:
    """Return arguments by name as a function reads them: MessagePack takes texts and bytes of any kind as they are."""
    data: bytes = _PACKER.pack(arguments)
    return data


def by_name(reply: Sequence[Any]) -> dict[bytes, Any]:
    """Return by name what a function answers behind the word that its reply begins with."""
    return dict(zip(reply[1::2], reply[2::2], strict=True))
