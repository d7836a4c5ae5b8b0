"""Compares columns with the conversations that have rows in them, block by block: see `store/lua/lib/columns.lua`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from conversations.schema import DISPLAY_NAME, FIELDS, ID, METADATA_PREFIX
from conversations.store.damage import read_count
from conversations.store.doctor.exam import Exam, in_pieces
from conversations.store.doctor.records import read_facts
from conversations.store.functions import Call, by_name
from conversations.terms import metadata_exists

__all__ = ["Columns", "check_blocks", "check_values"]

_BLOCK_ROWS = 256
# A block takes up to a few milliseconds.
_BLOCKS_AT_ONCE = 8
_LONG_VALUES_AT_ONCE = 50
_TRIES = 5

# Of fields whose values are compared with each conversation, whether it has one or not.
_OF_ALL = {field.name for field in FIELDS if field in (ID, DISPLAY_NAME) or field.has_column}

_Block = tuple[int, str, int]
"""Partition, column, and number of a block; or the row of a long value."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known of the columns before their values are looked at."""

    blocks: dict[tuple[int, str], set[int]] = field(default_factory=dict)
    """The numbers of blocks, by partition and column."""
    rows: dict[tuple[int, str], int] = field(default_factory=dict)
    """Of conversations, by partition and id, that have no row in their hash: one in which their id stands."""


async def check_blocks(exam: Exam) -> Columns:
    """Set aside blocks that cannot be read, and correct the number of rows, so that conversations can be repaired."""
    columns = Columns()
    async for keys in _keys(exam, "column"):
        for some in in_pieces(keys, _BLOCKS_AT_ONCE):
            await _check_blocks(exam, some, columns)
    await _check_rows(exam, columns)
    return columns


async def _check_blocks(exam: Exam, keys: Sequence[_Block], columns: Columns) -> None:
    replies = await exam.check([(p, "block", (name, number)) for p, name, number in keys])
    for (partition, name, number), (outcome, *lines) in zip(keys, replies, strict=True):
        if outcome == b"ok":
            columns.blocks.setdefault((partition, name), set()).add(number)
        else:
            kind = "key type" if outcome == b"type" else "column"
            exam.findings.add(kind, partition, f"column:{{{partition}}}:{number}:{name}")
        for row, id in zip(lines[::2], lines[1::2], strict=True):
            columns.rows[partition, id.decode()] = int(row)


async def _check_rows(exam: Exam, columns: Columns) -> None:
    for partition in exam.partitions:
        numbers = sorted(columns.blocks.get((partition, ID.name), ()), reverse=True)
        [rows] = await exam.check([(partition, "rows", tuple(numbers))])
        if rows:
            stored, actual = (part.decode(errors="backslashreplace") for part in rows)
            note = f"{stored[:100] or 'no'}, not {actual}"
            exam.findings.add("rows", partition, f"counts:{{{partition}}}", note)


async def check_values(exam: Exam, columns: Columns) -> None:
    """Remove values that no conversation has, and correct the numbers of values and of rows.

    Values that conversations have are compared, and written where they are missing, with the conversations.
    """
    counted = {
        (partition, name.decode(errors="surrogateescape"))
        for partition in exam.partitions
        for name in (await exam.call([(partition, "read_columns", ())]))[0]
    }
    for partition, name in sorted(counted | columns.blocks.keys()):
        await _check_column(exam, partition, name, columns.blocks.get((partition, name), set()))
    async for keys in _keys(exam, "long_value"):
        for some in in_pieces(keys, _LONG_VALUES_AT_ONCE):
            replies = await exam.check([(p, "long_value", (name, row)) for p, name, row in some])
            for (partition, name, row), fault in zip(some, replies, strict=True):
                if fault:
                    kind = "key type" if fault == [b"type"] else "long value"
                    exam.findings.add(kind, partition, f"long_value:{{{partition}}}:{row}:{name}")
    if exam.repairs:
        await _check_rows(exam, columns)


async def _check_column(exam: Exam, partition: int, name: str, blocks: set[int]) -> None:
    counts, size = set(), 0
    async for number, count, values, strays in _walk(exam, partition, name, sorted(blocks) or [0]):
        counts.add(count)
        size += values - (len(strays) if exam.repairs else 0)
        if strays and (exam.repairs or not await _have_value(exam, partition, name, strays)):
            exam.findings.add("column value", partition, f"column:{{{partition}}}:{number}:{name}")
    if counts != {_count_text(size)}:
        await _check_size(exam, partition, name, blocks)


async def _walk(
    exam: Exam, partition: int, name: str, numbers: Sequence[int]
) -> AsyncIterator[tuple[int, bytes, int, Sequence[bytes]]]:
    """Yield what check_values, or repair_values, finds in blocks: number of the block, and as in its reply."""
    term = "" if name in _OF_ALL else metadata_exists(name.removeprefix(METADATA_PREFIX))
    for some in in_pieces(numbers, _BLOCKS_AT_ONCE):
        places = [(number, b"0") for number in some]
        while places:
            calls = [(partition, "values", (_bytes(name), number, term, line)) for number, line in places]
            following = []
            for (number, _), reply in zip(places, await exam.check(calls), strict=True):
                count, values, next_line, *strays = reply
                yield number, count, int(values), strays
                if next_line:
                    following.append((number, next_line))
            places = following


async def _have_value(exam: Exam, partition: int, name: str, ids: Sequence[bytes]) -> bool:
    """Return whether all of some conversations have a value by their documents, if not by their index terms."""
    if not all(ids) or name in _OF_ALL:
        return False
    replies = await exam.call([(partition, "read_facts", (id,)) for id in ids])
    return all(name in read_facts(by_name(reply)).parts["values"] for reply in replies)


async def _check_size(exam: Exam, partition: int, name: str, blocks: set[int]) -> None:
    """Compare the stored number of a column's values with theirs, unless conversations change it all the time."""
    before = None
    for _ in range(_TRIES):
        [[rows]] = await exam.call([(partition, "read_rows", ())])
        numbers = sorted({*blocks, *range(int(rows) // _BLOCK_ROWS + 1)})
        counts, size = set(), 0
        async for _, count, values, strays in _walk(exam, partition, name, numbers):
            counts.add(count)
            size += values - (len(strays) if exam.repairs else 0)
        if counts == {_count_text(size)}:
            return
        # The same twice is no accident.
        if len(counts) == 1 and before == (counts, size):
            [stored] = counts
            note = f"{stored[:100].decode(errors='backslashreplace') or 'no'}, not {size}"
            exam.findings.add("column size", partition, name, note)
            if exam.repairs:
                await exam.client.call(Call(partition, "repair_size", (_bytes(name), stored, str(size))))
            return
        before = counts, size


def _count_text(size: int) -> bytes:
    return str(size).encode() if size else b""


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


async def _keys(exam: Exam, kind: str) -> AsyncIterator[list[_Block]]:
    """Yield the blocks or long values, some at a time; report keys with an invalid name. One may come twice."""
    async for stored in exam.scan(kind):
        found = []
        for key in stored:
            block = _parsed(exam, kind, key)
            if block is None:
                await exam.report_name(key)
            else:
                found.append(block)
        yield found


def _parsed(exam: Exam, kind: str, key: bytes) -> _Block | None:
    tag, closed, rest = key.removeprefix(f"{kind}:{{".encode()).partition(b"}:")
    number, colon, name = rest.partition(b":")
    partition, count = read_count(tag), read_count(number)
    if not closed or not colon or partition is None or count is None or str(count).encode() != number:
        return None
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    if partition >= len(exam.partitions) or not (text in _OF_ALL or text.startswith(METADATA_PREFIX)):
        return None
    return partition, text, count
