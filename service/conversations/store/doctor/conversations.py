"""Compares messages and conversations with what they are derived from."""

from collections.abc import Mapping, Sequence

from conversations.schema import DISPLAY_NAME
from conversations.store.damage import is_id
from conversations.store.doctor.exam import Exam, Key, in_pieces
from conversations.store.doctor.records import Change, message_changes, read_facts
from conversations.store.functions import by_name, packed

__all__ = ["check_conversations", "check_messages"]

# Ranks of a set of messages: at most two milliseconds of Redis' time.
_PLACES_AT_ONCE = 500
# Columns of one conversation: at most 20 milliseconds, if all are to be written in blocks of long values.
_COLUMNS_AT_ONCE = 15
_TRIES = 5


async def check_messages(exam: Exam, keys: Sequence[Key]) -> None:
    """Check messages, and their places in the order of their conversations."""
    replies = await exam.call([(p, "read_record", ("message", id)) for p, id in keys])
    readable: list[Key] = []
    for (partition, id), (kind, *flat) in zip(keys, replies, strict=True):
        if kind not in (b"hash", b"none"):
            exam.findings.add("message", partition, id)
            await exam.set_aside(partition, f"message:{{{partition}}}:{id}")
            continue
        readable.append((partition, id))
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        changes = list(message_changes(id, fields))
        known = {change.field for change in changes}
        # Messages of a conversation that belongs to another partition.
        changes += [
            Change("message", name, value, b"")
            for name, value in fields.items()
            if name not in known and is_id(text := name.decode()) and exam.partitions.of(text) != partition
        ]
        for change in changes:
            exam.findings.add(change.kind, partition, id)
        await exam.repair_fields("message", partition, id, changes)
    replies = await exam.check([(p, "message", (id,)) for p, id in readable])
    for (partition, id), faults in zip(readable, replies, strict=True):
        for fault in faults[::2]:
            exam.findings.add(f"message {fault.decode()}", partition, id)


async def check_conversations(exam: Exam, keys: Sequence[Key], rows: Mapping[Key, int] | None = None) -> None:
    """Check conversations that exist, wait for a message, or have left messages behind.

    Args:
        exam: The examination.
        keys: The conversations.
        rows: Of those that have no row in their hash: one in which their id stands.
    """
    highest = await _check_places(exam, keys)
    pending = list(keys)
    for _ in range(_TRIES):
        pending = await _check_facts(exam, pending, highest, rows or {})
        if not pending:
            break
    for partition in {p for p, _ in keys} if exam.has_index else ():
        ids = [id for p, id in keys if p == partition]
        for id in (await exam.check([(partition, "indexed", tuple(ids))]))[0]:
            exam.findings.add("indexed", partition, id.decode())


async def _check_places(exam: Exam, keys: Sequence[Key]) -> dict[Key, bytes]:
    """Check the sets of messages; return the highest place of each conversation."""
    highest = dict.fromkeys(keys, b"0")
    slices = [(key, kind, b"0") for key in keys for kind in ("order", "unread")]
    while slices:
        calls = [(p, "places", (id, kind, first, _PLACES_AT_ONCE)) for (p, id), kind, first in slices]
        following = []
        for (key, kind, _), (next_rank, place, *strays) in zip(slices, await exam.check(calls), strict=True):
            highest[key] = max(highest[key], place)
            for stray in strays:
                exam.findings.add("place", *key, stray.decode(errors="backslashreplace"))
            if next_rank:
                following.append((key, kind, next_rank))
        slices = following
    return highest


async def _check_facts(
    exam: Exam, keys: Sequence[Key], highest: Mapping[Key, bytes], rows: Mapping[Key, int]
) -> list[Key]:
    """Compare conversations with their facts; return those whose facts changed meanwhile."""
    if not keys:
        return []
    calls: list[tuple[int, str, tuple[str | bytes, ...]]] = []
    checked: list[Key] = []
    for (p, id), reply in zip(keys, await exam.call([(p, "read_facts", (id,)) for p, id in keys]), strict=True):
        old = by_name(reply)
        new = read_facts(old)
        args = {"old": old, "new": new.values, "highest": highest[p, id], "row": str(rows.get((p, id), ""))}
        names = [name for name in new.parts["values"] if name != DISPLAY_NAME.name]
        for some in list(in_pieces(names, _COLUMNS_AT_ONCE)) or [[]]:
            calls.append((p, "conversation", (id, packed({**args, **new.parts, "names": some}))))
            checked.append((p, id))
    changed = []
    for key, (outcome, *faults) in zip(checked, await exam.check(calls), strict=True):
        if outcome == b"conflict" and key not in changed:
            changed.append(key)
        for fault, about in zip(faults[::2], faults[1::2], strict=True):
            exam.findings.add(_KINDS.get(fault, fault.decode()), *key, about.decode(errors="backslashreplace"))
    return changed


# Faults of repair_conversation that have another name as findings.
_KINDS = {b"type": "key type"}
