"""Stores on a real Redis, empty at the beginning of each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from conversations.settings import Settings
from conversations.store import Store, open_store
from conversations.store.client import Client, connect

OpenStore = Callable[..., Awaitable[Store]]


async def until_set_up(store: Store) -> None:
    """Have a store set up its Redis, until its index is complete."""
    async with asyncio.timeout(10):
        while await store.index_progress() < 1.0:
            await asyncio.sleep(0.002)


@pytest.fixture
async def opened(redis_url: str) -> AsyncIterator[OpenStore]:
    """A function that opens another store of the same Redis, as another worker does; takes settings.

    The index is complete.
    """
    async with AsyncExitStack() as cleanup:

        async def open_another(**settings: Any) -> Store:
            values = {"redis_url": SecretStr(redis_url), **settings}
            store = await open_store(Settings(**values))
            cleanup.push_async_callback(store.close)
            await until_set_up(store)
            return store

        yield open_another


@pytest.fixture
async def store(opened: OpenStore) -> Store:
    """A store with one partition."""
    return await opened()


@pytest.fixture(params=[1, 4], ids=["1 partition", "4 partitions"])
async def any_store(opened: OpenStore, request: pytest.FixtureRequest) -> Store:
    """A store with one partition, and one with four."""
    return await opened(partitions=request.param)


@pytest.fixture
async def client(redis_url: str, store: Store) -> AsyncIterator[Client]:
    """A client beside the store with one partition: `client.redis` is Redis itself."""
    client = connect(redis_url, 5000)
    yield client
    await client.close()
