"""A Redis that refuses what notes and removes libraries is no reason not to start."""

from typing import Any

import pytest
from redis import exceptions

from conversations.store.versions import load_library, note_version, remove_unused


class Redis:
    """Has the library, and refuses all else."""

    def __init__(self, has_library: bool = True) -> None:
        self._has_library = has_library

    async def function_list(self, name: str) -> list[Any]:
        if "*" in name:
            raise exceptions.NoPermissionError("no permission")
        return [{}] if self._has_library else []

    async def function_load(self, code: str) -> None:
        raise exceptions.ResponseError("READONLY")

    async def type(self, key: str) -> bytes:
        raise exceptions.ResponseError("READONLY")


async def test_a_redis_that_takes_no_notes_will_do() -> None:
    await note_version(Redis())
    await load_library(Redis())
    await remove_unused(Redis(), 0)


async def test_a_library_that_cannot_be_loaded_is_an_error() -> None:
    with pytest.raises(exceptions.ResponseError, match="READONLY"):
        await load_library(Redis(has_library=False))
