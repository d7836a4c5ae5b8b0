"""Checks channels and tags: there are few, and each is checked in all partitions at once."""

import asyncio
from collections.abc import Sequence

from conversations.store.damage import read_count
from conversations.store.doctor.exam import Exam, Key
from conversations.store.doctor.records import Change, Fields, channel_changes
from conversations.store.validation import sound_channel, sound_tag
from conversations.v1 import channel_pb2

__all__ = ["check_channels", "check_tags"]

_COPIED = (b"version", b"source", b"metadata", b"unnamed", b"own", b"changes")
_TRIES = 5
_PAUSE_SECONDS = 0.1


async def check_channels(exam: Exam, ids: Sequence[str]) -> None:
    """Compare channels with what they are derived from, and with their copies."""
    for id in ids:
        await _check_channel(exam, id)


async def _check_channel(exam: Exam, id: str) -> None:
    home = exam.partitions.of(id)
    records = await _read(exam, id)
    copies = sorted((p for p in records if p != home), key=lambda p: -_version(records[p]))
    if not _version(records[home]) and copies and _version(records[copies[0]]):
        # Home lost it.
        exam.findings.add("channel", home, id)
        await _write(exam, home, id, records[home], records[copies[0]], (b"head", *_COPIED))
        records[home] = records[copies[0]]
    is_sound = await _check_record(exam, home, id, records, _COPIED)
    late = await _late_copies(exam, id, records, copies) if is_sound else copies
    for partition in copies:
        fields = records[partition]
        differs = [name for name in _COPIED if fields.get(name, b"") != records[home].get(name, b"")]
        if partition in late and differs:
            exam.findings.add("channel copy", partition, id, _text(differs))
            await _write(exam, partition, id, fields, records[home], _COPIED)
        # Only the head may differ or be missing: without an event of the channel, its first message makes it.
        await _check_record(exam, partition, id, records, ())
        if records[home].get(b"head") and not records[partition].get(b"head") and _version(records[home]):
            # Copied from home, as a message would make a poorer one.
            await _write(exam, partition, id, records[partition], records[home], (b"head",))
    holders = [p for p in records if any(records[p].values())]
    replies = await exam.check([(p, "membership", ("channels", id)) for p in holders])
    for partition, missing in zip(holders, replies, strict=True):
        if missing:
            exam.findings.add("channel listed", partition, id)


async def _read(exam: Exam, id: str) -> dict[int, Fields]:
    """Return each partition's record of a channel. Home is written first and read last, so no copy is ahead of it."""
    home = exam.partitions.of(id)
    order = [*(p for p in exam.partitions if p != home), home]
    replies = []
    for some in (order[:-1], [home]):
        replies += await exam.call([(p, "read_record", ("channel", id)) for p in some])
    records: dict[int, Fields] = {}
    for partition, (kind, *flat) in zip(order, replies, strict=True):
        if kind not in (b"hash", b"none"):
            key = f"channel:{{{partition}}}:{id}"
            exam.findings.add("key type", partition, key)
            await exam.set_aside(partition, key)
        records[partition] = dict(zip(flat[::2], flat[1::2], strict=True)) if kind == b"hash" else {}
    return records


async def _check_record(
    exam: Exam, partition: int, id: str, records: dict[int, Fields], names: Sequence[bytes]
) -> bool:
    """Report faults in a record's head and the named fields; return whether there are none."""
    fields = {name: value for name, value in records[partition].items() if name not in _COPIED or name in names}
    elsewhere = [_sound(records[p], id) for p in records if p != partition]
    changes = list(channel_changes(id, fields, [channel for channel in elsewhere if channel is not None]))
    if changes:
        exam.findings.add("channel", partition, id, _text([change.field for change in changes]))
        await exam.repair_fields("channel", partition, id, changes)
        records[partition] = {**records[partition], **{change.field: change.new for change in changes}}
    return not changes


async def _late_copies(exam: Exam, id: str, records: dict[int, Fields], copies: Sequence[int]) -> list[int]:
    """Return the copies that do not catch up with home after a while: each change writes them one by one."""
    home = exam.partitions.of(id)
    least = _version(records[home])

    def is_late(partition: int) -> bool:
        is_behind = least <= _version(records[partition]) < _version(records[home])
        return not is_behind and any(
            records[partition].get(name, b"") != records[home].get(name, b"") for name in _COPIED
        )

    late = [partition for partition in copies if is_late(partition)]
    for _ in range(_TRIES):
        if not late:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
        records.update(await _read(exam, id))
        late = [partition for partition in late if is_late(partition)]
    return late


def _version(fields: Fields) -> int:
    return read_count(fields.get(b"version", b"")) or 0


def _text(names: Sequence[bytes]) -> str:
    return " ".join(name.decode(errors="backslashreplace") for name in names)


def _sound(fields: Fields, id: str) -> channel_pb2.Channel | None:
    head = fields.get(b"head", b"")
    return sound_channel(head + fields.get(b"metadata", b""), id) or sound_channel(head, id)


async def _write(exam: Exam, partition: int, id: str, fields: Fields, wanted: Fields, names: Sequence[bytes]) -> None:
    changes = [Change("channel", name, fields.get(name, b""), wanted.get(name, b"")) for name in names]
    await exam.repair_fields("channel", partition, id, [change for change in changes if change.old != change.new])


async def check_tags(exam: Exam, keys: Sequence[Key]) -> None:
    """Check tags, each in the partition of its id."""
    replies = await exam.call([(p, "read_record", ("tag", id)) for p, id in keys])
    sound: list[Key] = []
    for (partition, id), (kind, *stored) in zip(keys, replies, strict=True):
        if kind == b"string" and sound_tag(stored[0], id) is not None:
            sound.append((partition, id))
        elif kind != b"none":
            exam.findings.add("tag", partition, id)
            await exam.set_aside(partition, f"tag:{{{partition}}}:{id}")
    replies = await exam.check([(p, "membership", ("tags", id)) for p, id in sound])
    for (partition, id), missing in zip(sound, replies, strict=True):
        if missing:
            exam.findings.add("tag listed", partition, id)
