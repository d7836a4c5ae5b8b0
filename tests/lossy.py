"""A network that loses what Redis answers."""

import asyncio
import time
from types import TracebackType
from typing import Self

__all__ = ["LossyProxy"]


class LossyProxy:
    """A port before the socket of a Redis, where answers are lost for a while."""

    def __init__(self, url: str) -> None:
        """Begin with nothing lost.

        Args:
            url: Of a Redis that listens on a socket, `unix://...`.
        """
        self._path = url.removeprefix("unix://")
        self._lost_until = 0.0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        """Of the Redis behind it."""
        self.lost = 0
        """Connections that have lost an answer. Nothing comes on them any more: a stream goes on behind no hole."""

    def lose(self, seconds: float) -> None:
        """Lose what comes from Redis from now on, for some time."""
        self._lost_until = time.monotonic() + seconds

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(self._path)
        both = [asyncio.create_task(part) for part in (_pass(reader, to_redis), self._answer(from_redis, writer))]
        self._tasks.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
            self._tasks.discard(task)
        to_redis.close()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_silent = False
        while data := await reader.read(65536):
            if not is_silent and time.monotonic() < self._lost_until:
                is_silent, self.lost = True, self.lost + 1
            if not is_silent:
                writer.write(data)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
