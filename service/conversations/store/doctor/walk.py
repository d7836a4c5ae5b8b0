"""One walk over everything in Redis. Each call takes a few milliseconds; Redis serves others between two calls."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from conversations.store import index
from conversations.store.doctor.channels import check_channels, check_tags
from conversations.store.doctor.columns import check_blocks, check_values
from conversations.store.doctor.conversations import check_conversations, check_messages
from conversations.store.doctor.exam import Exam, Key, in_pieces
from conversations.store.doctor.findings import Findings

__all__ = ["examine", "look_again", "number_text"]

_RECORDS_AT_ONCE = 50
_CONVERSATIONS_AT_ONCE = 20
_MEMBERS_AT_ONCE = 500
_MAX_SECOND_LOOKS = 2_000
_POLL_SECONDS = 0.1

_SETS = ("recent", "waiting", "waiting_messages", "channels", "tags", "deleted_tags")

# The record by which a finding is checked again; others were found in one call, or have been checked again.
_RECORDS = {
    **dict.fromkeys(("message", "message facts", "message changes"), "message"),
    **dict.fromkeys(("message order", "message unread", "message waiting", "message channel"), "message"),
    **dict.fromkeys(("place", "lost", "empty", "latest", "facts", "shown", "listed"), "conversation"),
    **dict.fromkeys(("waiting", "early", "columns", "indexed"), "conversation"),
    **dict.fromkeys(("channel", "channel copy", "channel listed"), "channel"),
    **dict.fromkeys(("tag", "tag listed"), "tag"),
}


def number_text(reply: Any) -> str:
    """Return a number in a reply as text for a sentence; an empty reply means none."""
    text = reply.decode(errors="backslashreplace") if isinstance(reply, bytes) else str(reply)
    return ascii(text)[1:-1] or "no"


async def examine(exam: Exam) -> None:
    """Examine everything, in an order in which each repair can rely on the ones before."""
    unusable = await _check_shared_keys(exam)
    await _check_indexes(exam)
    async for keys in exam.keys("tag"):
        for some in in_pieces(keys, _RECORDS_AT_ONCE):
            await check_tags(exam, some)
    channels: set[str] = set()
    async for keys in exam.keys("channel"):
        channels.update(id for _, id in keys)
    await check_channels(exam, sorted(channels))
    async for keys in exam.keys("message"):
        for some in in_pieces(keys, _RECORDS_AT_ONCE):
            await check_messages(exam, some)
    columns = await check_blocks(exam)
    # A conversation without its hash is found by what is left of it.
    for kind in ("conversation", "order", "unread", "early"):
        async for keys in exam.keys(kind):
            records = keys if kind == "conversation" else await _without_hash(exam, keys)
            for some in in_pieces(records, _CONVERSATIONS_AT_ONCE):
                await check_conversations(exam, some, columns.rows)
    await check_values(exam, columns)
    await _check_sets(exam, unusable)
    if exam.has_index:
        for partition in exam.partitions:
            [counts] = await exam.check([(partition, "counts", ())])
            if counts:
                note = f"{number_text(counts[0])}, not {number_text(counts[1])}"
                exam.findings.add("counts", partition, f"counts:{{{partition}}}", note)


async def _check_shared_keys(exam: Exam) -> set[Key]:
    """Report keys of a wrong type; return those that cannot be used."""
    unusable = set()
    for partition in exam.partitions:
        [names] = await exam.check([(partition, "shared_keys", ())])
        for name in names:
            key = f"{name.decode()}:{{{partition}}}"
            exam.findings.add("key type", partition, key)
            if not exam.repairs:
                unusable.add((partition, name.decode()))
    return unusable


async def _check_indexes(exam: Exam) -> None:
    redis = exam.client.redis
    for partition in exam.partitions:
        if await index.document_count(redis, partition) is None and not await index.progress(redis, partition):
            exam.findings.add("index", partition, f"conversations:{{{partition}}}")
            if not exam.repairs:
                exam.has_index = False
                continue
            await index.create_index(redis, partition)
        while await index.progress(redis, partition) < 1.0:  # noqa: ASYNC110 - only Redis knows
            await asyncio.sleep(_POLL_SECONDS)


async def _without_hash(exam: Exam, keys: Sequence[Key]) -> list[Key]:
    """Return the conversations that have no hash."""
    found: list[Key] = []
    for some in in_pieces(keys, _MEMBERS_AT_ONCE):
        async with exam.client.redis.pipeline(transaction=False) as pipeline:
            for partition, id in some:
                pipeline.exists(f"conversation:{{{partition}}}:{id}")
            replies = await pipeline.execute()
        found += [key for key, there in zip(some, replies, strict=True) if not there]
    return found


async def _check_sets(exam: Exam, unusable: set[Key]) -> None:
    for partition in exam.partitions:
        for name in _SETS:
            if (partition, name) not in unusable:
                async for members in _members(exam, partition, name):
                    await _check_members(exam, partition, name, members)


async def _members(exam: Exam, partition: int, name: str) -> AsyncIterator[list[bytes]]:
    key, redis = f"{name}:{{{partition}}}", exam.client.redis
    scan = redis.zscan_iter if name == "recent" else redis.sscan_iter
    members: list[bytes] = []
    async for entry in scan(key, count=_MEMBERS_AT_ONCE):
        members.append(entry[0] if name == "recent" else entry)
        if len(members) == _MEMBERS_AT_ONCE:
            yield members
            members = []
    yield members


async def _check_members(exam: Exam, partition: int, name: str, members: Sequence[bytes]) -> None:
    [strays] = await exam.check([(partition, "members", (name, *members))])
    for member in strays:
        exam.findings.add("set entry", partition, f"{name}:{{{partition}}}", member.decode(errors="backslashreplace"))


async def look_again(exam: Exam) -> Findings:
    """Check the records of the findings again; return those that remain."""
    first, again = exam.findings, Findings(further=exam.findings.further)
    exam.findings = again
    records: dict[str, set[Key]] = {name: set() for name in ("message", "conversation", "channel", "tag")}
    for number, finding in enumerate(first.kept):
        kind = _RECORDS.get(finding.kind)
        if kind is None or number >= _MAX_SECOND_LOOKS:
            again.kept[finding] = None
        else:
            records[kind].add((finding.partition, finding.id))
    for some in in_pieces(sorted(records["message"]), _RECORDS_AT_ONCE):
        await check_messages(exam, some)
    for some in in_pieces(sorted(records["conversation"]), _CONVERSATIONS_AT_ONCE):
        await check_conversations(exam, some)
    await check_channels(exam, sorted({id for _, id in records["channel"]}))
    for some in in_pieces(sorted(records["tag"]), _RECORDS_AT_ONCE):
        await check_tags(exam, some)
    return again
