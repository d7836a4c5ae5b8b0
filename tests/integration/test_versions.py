"""Workers of two versions on one Redis, as while a new version is rolled out."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import redis
from tests.conftest import RedisServer, free_port
from tests.integration.store.events import conversation_id, message_id

import conversations
from conversations.store.client import Client, connect
from conversations.store.library import library_code, library_name
from conversations.store.versions import VERSIONS_KEY, has_library, load_library, note_version, remove_unused
from conversations.v1 import conversation_service_pb2 as pb
from conversations.v1 import event_pb2, ingest_service_pb2
from conversations.v1.conversation_pb2 import ConversationMetadata
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.ingest_service_pb2_grpc import IngestServiceStub

SERVICE = Path(conversations.__file__).parent.parent
CHANNEL = "318efa04-7cc1-4200-988e-50699d0dd6e3"
HOUR_MS = 3600 * 1000


@pytest.fixture
def other_service(tmp_path: Path) -> Path:
    """The service as another version: its functions take an argument by another name, and answer so."""
    copy = tmp_path / "service"
    shutil.copytree(SERVICE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    changed = 0
    for path in [*copy.rglob("store/**/*.py"), *copy.rglob("store/**/*.lua")]:
        text = path.read_text("utf-8")
        other = text.replace('"direction":', '"way":').replace("args.direction", "args.way")
        other = other.replace('b"matches"', 'b"hits"').replace('"matches", matches', '"hits", matches')
        changed += other != text
        path.write_text(other, "utf-8")
    assert changed >= 2
    return copy


@pytest.fixture
def start(redis_url: str) -> Iterator[Callable[[Path], str]]:
    """A function that starts a worker of a version; returns its address once it serves."""
    with ExitStack() as cleanup:

        def run(service: Path) -> str:
            target = f"127.0.0.1:{free_port()}"
            environment = {
                **os.environ,
                "PYTHONPATH": str(service),
                "CONVERSATIONS_REDIS_URL": redis_url,
                "CONVERSATIONS_PORT": target.rpartition(":")[2],
                "CONVERSATIONS_DRAIN_SECONDS": "0",
            }
            process = subprocess.Popen([sys.executable, "-m", "conversations", "serve"], env=environment)
            cleanup.callback(process.wait, 10)
            cleanup.callback(process.terminate)
            with grpc.insecure_channel(target) as channel:
                grpc.channel_ready_future(channel).result(60)
            return target

        yield run


class Load:
    """Calls of one worker, one after the other, until they are to end."""

    def __init__(self, target: str, first: int) -> None:
        self._channel = grpc.aio.insecure_channel(target)
        self.list: Callable[[Any], Awaitable[Any]] = ConversationServiceStub(self._channel).ListConversations
        self.set_state: Callable[[Any], Awaitable[Any]] = ConversationServiceStub(self._channel).SetConversationState
        self.ingest: Callable[[Any], Awaitable[Any]] = IngestServiceStub(self._channel).IngestEvents
        self.written: list[int] = []
        self.calls = 0
        self._next = first

    async def write(self) -> None:
        """Add a conversation, and close it."""
        number, self._next = self._next, self._next + 1
        message = event_pb2.MessageEvent(
            id=message_id(number),
            conversation_id=conversation_id(number),
            channel_id=CHANNEL,
            source="facebook",
            from_contact=True,
            sent_at="2019-01-01T00:00:00Z",
        )
        message.content.struct_value["text"] = "hi"
        reply = await self.ingest(ingest_service_pb2.IngestEventsRequest(events=[event_pb2.Event(message=message)]))
        assert not reply.rejected
        await self.set_state(
            pb.SetConversationStateRequest(conversation_id=conversation_id(number), state=ConversationMetadata.CLOSED)
        )
        self.written.append(number)

    async def run(self, until: float) -> None:
        """Write and read; any error ends it."""
        while time.monotonic() < until:
            await self.write()
            for filters in ("", "state:closed", 'display_name:face* AND NOT "facebook x"~2', "unread_count:[1 TO *]"):
                page = await self.list(pb.ListConversationsRequest(filters=filters, page_size=5))
                if page.pagination_data.next_cursor:
                    cursor = page.pagination_data.next_cursor
                    await self.list(pb.ListConversationsRequest(filters=filters, page_size=5, cursor=cursor))
                self.calls += 1

    async def close(self) -> None:
        await self._channel.close()


async def test_workers_of_two_versions_serve_side_by_side(
    start: Callable[[Path], str], other_service: Path, redis_url: str
) -> None:
    old = Load(start(other_service), 1000)
    # While the old one is busy, the new one starts, and rebuilds the index.
    until = time.monotonic() + 8
    busy = asyncio.create_task(old.run(until))
    new = Load(await asyncio.to_thread(start, SERVICE), 2000)
    command = [sys.executable, "-m", "conversations", "reindex", "--redis-url", redis_url]
    reindex = asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    await asyncio.gather(busy, new.run(max(until, time.monotonic() + 3)), reindex)
    assert min(old.calls, new.calls) > 40
    both = len(old.written) + len(new.written)
    assert old.written
    assert new.written
    with redis.Redis.from_url(redis_url) as client:
        names = {library[1].decode() for library in client.function_list("conversations_*")}
    assert len(names) == 2
    assert library_name() in names
    for one in (old, new):
        for filters in ("", "state:closed"):
            page = await one.list(pb.ListConversationsRequest(filters=filters, page_size=1))
            assert page.pagination_data.filtered_total == both
        await one.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    """A client of an empty Redis with the library."""
    client = connect(redis_url, 5000)
    await load_library(client.redis)
    yield client
    await client.close()


OTHER, EARLIER = "conversations_0123456789ab", "conversations"


async def load_other(client: Client, name: str = OTHER) -> None:
    function = f'redis.register_function("f_{name}", function() return 1 end)'
    await client.redis.function_load(f"#!lua name={name}\n{function}")


async def libraries(client: Client) -> set[str]:
    return {library[1].decode() for library in await client.redis.function_list()}


async def test_a_library_that_nobody_has_called_for_long_is_removed(client: Client) -> None:
    await load_other(client)
    await load_other(client, EARLIER)
    # Nobody has noted it: it may be one that is called.
    await remove_unused(client.redis, HOUR_MS)
    assert await libraries(client) == {library_name(), OTHER, EARLIER}
    noted = await client.redis.zscore(VERSIONS_KEY, OTHER)
    await client.redis.zadd(VERSIONS_KEY, {OTHER: noted - HOUR_MS + 60_000, library_name(): 1})
    await remove_unused(client.redis, HOUR_MS)
    assert await libraries(client) == {library_name(), OTHER, EARLIER}
    await client.redis.zadd(VERSIONS_KEY, {OTHER: noted - HOUR_MS - 60_000})
    await remove_unused(client.redis, HOUR_MS)
    # The own one stays, whatever was noted of it, and so does that of releases that note nothing.
    assert await libraries(client) == {library_name(), EARLIER}
    assert await client.redis.zscore(VERSIONS_KEY, OTHER) is None


async def test_a_worker_notes_its_version_with_the_time_of_redis(client: Client) -> None:
    await client.redis.delete(VERSIONS_KEY)
    await client.redis.set(VERSIONS_KEY, "junk")
    await note_version(client.redis)
    seconds, _ = await client.redis.time()
    assert abs(await client.redis.zscore(VERSIONS_KEY, library_name()) / 1000 - seconds) < 5


async def test_a_library_is_loaded_once(client: Client, redis_server: RedisServer) -> None:
    assert await has_library(client.redis)
    await asyncio.gather(*(load_library(client.redis) for _ in range(3)))
    await client.redis.function_delete(library_name())
    assert not await has_library(client.redis)
    others = [connect(redis_server.url, 5000) for _ in range(4)]
    await asyncio.gather(*(load_library(other.redis) for other in others))
    assert await has_library(client.redis)
    for other in others:
        await other.close()
    with suppress(redis.exceptions.ResponseError):
        await client.redis.function_load(library_code())
    assert await libraries(client) == {library_name()}


async def test_a_library_is_not_removed_while_its_worker_starts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load_other(client)
    await client.redis.zadd(VERSIONS_KEY, {OTHER: 1})
    another = connect(str(client.redis.connection_pool.connection_kwargs["path"]).join(("unix://", "")), 5000)
    pipeline = client.redis.pipeline

    def interrupted() -> Any:
        transaction = pipeline()
        execute = transaction.execute

        async def late() -> Any:
            await another.redis.zadd(VERSIONS_KEY, {OTHER: 2})
            return await execute()

        transaction.execute = late
        return transaction

    monkeypatch.setattr(client.redis, "pipeline", interrupted)
    await remove_unused(client.redis, HOUR_MS)
    await another.close()
    assert OTHER in await libraries(client)
