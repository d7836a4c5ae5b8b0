"""All of Redis: keys, functions, index, documents, cursors."""

from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic
from typing import Any

from conversations.errors import ConfigurationError, DamagedRecordError, StoreUnavailableError
from conversations.settings import Settings
from conversations.store import index
from conversations.store.changes import (
    EVERY_TAG,
    Change,
    ConversationPatch,
    MarkRead,
    PatchChannel,
    PatchConversation,
    PatchMessage,
    PutChannel,
    PutMessage,
    PutTag,
)
from conversations.store.channels import Channels
from conversations.store.client import Client, connect
from conversations.store.conversations import Conversations
from conversations.store.documents import to_json
from conversations.store.export import Export
from conversations.store.functions import Steps
from conversations.store.ingest import Ingest
from conversations.store.listing import ConversationPage, Listing
from conversations.store.messages import MessagePage, Messages
from conversations.store.partitions import Partitions
from conversations.store.redis_errors import translated_errors
from conversations.store.requirements import check_server
from conversations.store.search import Search
from conversations.store.setup import LAYOUT, SETUP_KEY, claim, partition_count, write_once
from conversations.store.tags import Tags
from conversations.store.validation import SoundAnswers
from conversations.store.versions import has_library, load_library, note_version, remove_unused

__all__ = [
    "EVERY_TAG",
    "Change",
    "ConversationPage",
    "ConversationPatch",
    "MarkRead",
    "MessagePage",
    "PatchChannel",
    "PatchConversation",
    "PatchMessage",
    "PutChannel",
    "PutMessage",
    "PutTag",
    "Store",
    "open_store",
    "to_json",
]


# How often a worker notes the version of the library that it calls; and how long after its last note a version is
# removed, by workers and by a rebuild of the index.
_NOTE_INTERVAL_SECONDS = 60.0
_UNUSED_MS = 24 * 3600 * 1000
_UNUSED_AT_REBUILD_MS = 10 * 60 * 1000


class Store:
    """The store, with one part for each kind of record."""

    def __init__(self, client: Client, partitions: Partitions, settings: Settings) -> None:
        self._client = client
        self._partitions = partitions
        self._noted_at = monotonic()
        self.slices = client.slices
        """Shares the processor between long calls."""
        sound_answers = SoundAnswers()
        self.conversations = Conversations(client, partitions, sound_answers)
        self.search = Search(client, partitions, settings)
        self.listing = Listing(self.search, len(partitions), sound_answers)
        self.messages = Messages(client, partitions)
        self.channels = Channels(client, partitions)
        self.tags = Tags(client, partitions)
        self.ingest = Ingest(client, self.conversations, self.messages, self.channels, self.tags)
        self.export = Export(client, partitions, self.tags)

    async def find_faults(self) -> list[str]:
        """Return what does not work although reads do, one sentence each.

        Raises:
            StoreUnavailableError: Redis does not answer, or not every document is indexed yet.
        """
        progress = await self.index_progress()
        if progress < 1.0:
            raise StoreUnavailableError(f"the index is being built: {progress:.0%}")
        try:
            # Changes nothing, but fails whenever a write that needs memory and disk would.
            await self._client.guard(self._client.redis.hsetnx(SETUP_KEY, "layout", LAYOUT))
            await self._client.guard(self._maintain_versions())
        except StoreUnavailableError as error:
            return [error.message]
        return []

    async def _maintain_versions(self) -> None:
        """Note the library's version once an interval, and remove unused versions."""
        if monotonic() - self._noted_at < _NOTE_INTERVAL_SECONDS:
            return
        self._noted_at = monotonic()
        await note_version(self._client.redis)
        await remove_unused(self._client.redis, _UNUSED_MS)

    async def index_progress(self) -> float:
        """Return the fraction of documents that are indexed.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._client.guard(self._index_progress())

    async def _index_progress(self) -> float:
        redis = self._client.redis
        complete = await has_library(redis)
        parts = [await index.progress(redis, partition) for partition in self._partitions]
        if complete and 0.0 not in parts:
            return sum(parts) / len(parts)
        # Redis was emptied, or came back without its data: later writes must be found.
        await _set_up(redis, self._partitions, any_schema=True)
        return 0.0

    async def is_current(self) -> bool:
        """Return whether the index was made by this version."""
        schema: bytes | None = await self._client.guard(self._client.redis.hget(SETUP_KEY, "schema"))
        return schema == index.SCHEMA_VERSION.encode()

    async def rebuild_index(self) -> AsyncIterator[float]:
        """Build fresh indexes beside the live ones and swap them in. Documents of another version are rewritten.

        Libraries of versions that no worker has called for ten minutes are removed.

        Yields:
            The fraction that is done, from 0.0 to 1.0.
        """
        redis = self._client.redis
        with translated_errors():
            base = 0.0
            if not await self.is_current():
                base = 0.5
                async for part in self._rewrite_documents():
                    yield base * part
            for done, partition in enumerate(self._partitions):
                async for part in index.rebuild_index(redis, partition):
                    yield base + (1 - base) * (done + part) / len(self._partitions)
            await redis.hset(SETUP_KEY, "schema", index.SCHEMA_VERSION)
            await remove_unused(redis, _UNUSED_AT_REBUILD_MS)

    async def _rewrite_documents(self) -> AsyncIterator[float]:
        """Commit every conversation's metadata unchanged, which renews terms, words and index document."""
        count, done = max(await self.export.count(), 1), 0
        async for ids in self.export.conversation_ids():
            await self._client.run_all(
                [_skip_damaged(self.conversations.patch_steps(id, ConversationPatch())) for id in ids]
            )
            done += len(ids)
            yield min(done / count, 1.0)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _skip_damaged(steps: Steps[None]) -> Steps[None]:
    """Leave a damaged conversation as it is; it has been reported."""
    with suppress(DamagedRecordError):
        yield from steps


async def open_store(settings: Settings, *, any_schema: bool = False) -> Store:
    """Return the store in a Redis, which is set up if it is empty. The index may still be building.

    Args:
        settings: Which Redis, and its limits.
        any_schema: Accept an index of another version, to rebuild it.

    Raises:
        ConfigurationError: The URL is invalid, or the server does not meet the requirements.
        StoreUnavailableError: Redis does not answer or is still loading.
    """
    client = connect(settings.redis_url.get_secret_value(), settings.redis_timeout_ms)
    try:
        await client.guard(check_server(client.redis))
        partitions = Partitions(await client.guard(partition_count(client.redis, settings.partitions)))
        await client.guard(_set_up(client.redis, partitions, any_schema=any_schema))
    except BaseException:
        await client.close()
        raise
    return Store(client, partitions, settings)


async def _set_up(redis: Any, partitions: Partitions, *, any_schema: bool) -> None:
    """Create the setup record, library and indexes where they are missing."""
    await claim(redis, len(partitions))
    await write_once(redis, "schema", index.SCHEMA_VERSION)
    schema = (await redis.hget(SETUP_KEY, "schema")).decode()
    if schema != index.SCHEMA_VERSION and not any_schema:
        raise ConfigurationError("The index was made by another version: run `conversations reindex` first.")
    await load_library(redis)
    for partition in partitions:
        await index.create_index(redis, partition)
