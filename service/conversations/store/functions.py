"""The library of Redis Functions: put together from `lua/`, loaded at start-up, called by name.

Source:
    https://redis.io/docs/latest/develop/programmability/functions-intro/
"""

from collections.abc import Generator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from conversations import terms

__all__ = ["Call", "Steps", "has_library", "load_library"]

_LIBRARY = "conversations"
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
        return ("FCALL_RO" if self.is_read else "FCALL", self.function, 1, f"{{{self.partition}}}", *self.args)


Steps = Generator[Call, Any, _T]
"""A task as a generator: yields calls, is sent their replies, returns the outcome. Many run in one pipeline."""


def library_code() -> str:
    """Return the code of the whole library."""
    folder = files("conversations.store") / "lua"
    chunks = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".lua")}
    shared = chunks.pop("shared.lua")
    # Files keep their own locals: Lua allows 200 in one chunk, and two files may use one name.
    bodies = [f"do\n{chunks[name]}\nend" for name in sorted(chunks)]
    return "\n".join([f"#!lua name={_LIBRARY}", _constants(), shared, *bodies])


def _constants() -> str:
    states = ", ".join(
        f'{state} = "{terms.metadata_exists("state")} {terms.metadata_term("state", state.lower())}"'
        for state in ("OPEN", "CLOSED")
    )
    return "\n".join(
        [
            f'local NAME_EXISTS = "{terms.NAME_EXISTS}"',
            f'local TAGS_EXIST = "{terms.TAGS_EXIST}"',
            f"local STATE_TERMS = {{ {states} }}",
        ]
    )


async def load_library(redis: Any) -> None:
    """Load the library, unless Redis has exactly this one."""
    code = library_code()
    loaded = await redis.execute_command("FUNCTION", "LIST", "LIBRARYNAME", _LIBRARY, "WITHCODE")
    if code.encode() not in _flatten(loaded):
        await redis.execute_command("FUNCTION", "LOAD", "REPLACE", code)


async def has_library(redis: Any) -> bool:
    """Return whether Redis has some version of the library."""
    return bool(await redis.execute_command("FUNCTION", "LIST", "LIBRARYNAME", _LIBRARY))


def _flatten(reply: Any) -> list[Any]:
    """RESP2 answers lists, RESP3 maps."""
    if isinstance(reply, dict):
        return [leaf for item in reply.items() for part in item for leaf in _flatten(part)]
    if isinstance(reply, list):
        return [leaf for part in reply for leaf in _flatten(part)]
    return [reply]
