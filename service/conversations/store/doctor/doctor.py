"""The doctor of one Redis."""

import asyncio
import re
from collections.abc import Callable

from conversations.errors import ConfigurationError
from conversations.settings import Settings
from conversations.store import index
from conversations.store.client import Client, connect
from conversations.store.damage import read_count
from conversations.store.doctor.exam import Exam
from conversations.store.doctor.findings import Findings
from conversations.store.doctor.walk import examine, look_again, number_text
from conversations.store.functions import Call
from conversations.store.partitions import Partitions
from conversations.store.redis_errors import translated_errors
from conversations.store.requirements import check_server
from conversations.store.setup import LAYOUT, MAX_PARTITIONS, SETUP_KEY, was_set_up
from conversations.store.versions import load_library

__all__ = ["Doctor"]

# After this long, a change made by several calls is complete.
_SECOND_LOOK_SECONDS = 0.5
# A repair may reveal something else: a message that is set aside may have been the latest one.
_MAX_REPAIRS = 3

_LAYOUT = re.compile(rb"\d{1,4}")
_SCHEMA = re.compile(rb"[0-9a-f]{12}")
_CONVERSATION = re.compile(rb"conversation:\{(\d{1,2})\}:([0-9a-f-]{36})")
_SAMPLE = 10_000


class Doctor:
    """Examines a Redis, even one that no worker would start on."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    async def open(cls, settings: Settings) -> "Doctor":
        """Return a doctor for a Redis.

        Raises:
            ConfigurationError: The URL is invalid, or the server does not meet the requirements.
            StoreUnavailableError: Redis does not answer or is still loading.
        """
        client = connect(settings.redis_url.get_secret_value(), settings.redis_timeout_ms)
        try:
            await client.guard(check_server(client.redis))
            await client.guard(load_library(client.redis))
        except BaseException:
            await client.close()
            raise
        return cls(client)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def key_count(self) -> int:
        """Return the approximate number of keys that an examination looks at."""
        count: int = await self._client.guard(self._client.redis.dbsize())
        return count

    async def repair(self, advance: Callable[[int], None] = lambda _: None) -> tuple[Findings, Findings]:
        """Repair everything, and examine again; return what was repaired and what is left."""
        repaired = Findings()
        for _ in range(_MAX_REPAIRS):
            repaired.add_all(await self.examine(repair=True, advance=advance))
            left = await self.examine()
            if not left:
                break
        return repaired, left

    async def examine(
        self, *, repair: bool = False, half_speed: bool = False, advance: Callable[[int], None] = lambda _: None
    ) -> Findings:
        """Examine everything, and return what is wrong.

        Args:
            repair: Repair it. Otherwise findings are checked a second time, to leave out what was just being written.
            half_speed: Take twice as long and half of the processor.
            advance: Called with the number of keys examined since the last call.

        Raises:
            ConfigurationError: Another version wrote what Redis holds.
            StoreUnavailableError: Redis does not answer.
        """
        findings = Findings()
        with translated_errors():
            partitions = await self._set_up(findings, repair=repair)
            exam = Exam(self._client, partitions, findings, advance, repairs=repair, half_speed=half_speed)
            await examine(exam)
            if findings and not repair:
                await asyncio.sleep(_SECOND_LOOK_SECONDS)
                findings = await look_again(exam)
        return findings

    async def repair_setup(self) -> Findings:
        """Restore the setup record if it is lost; without it no worker starts."""
        findings = Findings()
        with translated_errors():
            await self._set_up(findings, repair=True, any_schema=True)
        return findings

    async def _set_up(self, findings: Findings, *, repair: bool, any_schema: bool = False) -> Partitions:
        """Return the partitions, from the setup record or, if that is lost, from the keys."""
        redis = self._client.redis
        kind = await redis.type(SETUP_KEY)
        fields: dict[bytes, bytes] = await redis.hgetall(SETUP_KEY) if kind == b"hash" else {}
        layout, text, schema = (fields.get(name, b"") for name in (b"layout", b"partitions", b"schema"))
        if _LAYOUT.fullmatch(layout) and layout != LAYOUT:
            raise ConfigurationError("Another version wrote what Redis holds: use its doctor.")
        current = index.SCHEMA_VERSION.encode()
        if any_schema and schema:
            current = schema
        elif _SCHEMA.fullmatch(schema) and schema != current:
            raise ConfigurationError("The index was made by another version: run `conversations reindex` first.")
        known = read_count(text) or 0
        count = known if 0 < known <= MAX_PARTITIONS else await self._count_partitions()
        wanted = {b"layout": LAYOUT, b"partitions": str(count).encode(), b"schema": current}
        if fields != wanted and (kind != b"none" or await was_set_up(redis)):
            findings.add("setup", 0, SETUP_KEY)
            if repair:
                if kind != b"none":
                    await redis.rename(SETUP_KEY, f"damaged:{SETUP_KEY}")
                await redis.hset(SETUP_KEY, mapping=wanted)
        return Partitions(count)

    async def _count_partitions(self) -> int:
        """Return the smallest number of partitions with which every index and conversation is where it belongs."""
        places: dict[str, int] = {}
        async for key in self._client.redis.scan_iter(match="conversation:*", count=1000):
            match = _CONVERSATION.fullmatch(key)
            if match and int(match[1]) < MAX_PARTITIONS:
                places[match[2].decode()] = int(match[1])
            if len(places) == _SAMPLE:
                break
        least = max([*places.values(), *await index.partitions(self._client.redis), 0]) + 1
        for count in range(least, MAX_PARTITIONS + 1):
            if all(Partitions(count).of(id) == place for id, place in places.items()):
                return count
        return least

    async def count(self) -> list[str]:
        """Compare only counts that have to agree; return a sentence for each difference.

        This takes milliseconds for a million conversations.
        """
        sentences = []
        with translated_errors():
            findings = Findings()
            for partition in await self._set_up(findings, repair=False):
                sentences += await self._count_partition(partition)
        return [*findings.sentences(), *sentences]

    async def _count_partition(self, partition: int) -> list[str]:
        indexed = await index.document_count(self._client.redis, partition)
        listed, ids, unread = await self._client.call(Call(partition, "count_sets"))
        wrong = []
        if indexed is None:
            wrong.append("there is no index")
        elif listed != indexed:
            wrong.append(f"the list has {number_text(listed)} conversations, the index {indexed}")
        elif counted := await self._client.call(Call(partition, "check_counts")):
            wrong.append(f"{number_text(unread)} conversations are counted as unread, {number_text(counted[1])} are")
        if isinstance(listed, int) and ids != str(listed).encode():
            wrong.append(f"the list has {listed} conversations, the columns {number_text(ids)}")
        if rows := await self._client.call(Call(partition, "check_rows")):
            wrong.append(f"{number_text(rows[0])} rows are counted in the columns")
        return [f"partition {partition}: {sentence}" for sentence in wrong]
