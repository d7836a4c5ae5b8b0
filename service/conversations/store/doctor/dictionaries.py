"""Checks the dictionaries of words and of ids."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b

from conversations.store.damage import is_id
from conversations.store.dictionary import read_word
from conversations.store.doctor.exam import Exam, Key, in_pieces

__all__ = ["KnownIds", "check_ids", "check_words", "read_ids"]

_WORDS_AT_ONCE = 5_000
# Scores are times in microseconds; Redis keeps them as doubles.
_MAX_SCORE = 2**53
_AT_ONCE = 500


async def check_words(exam: Exam, keys: Sequence[Key]) -> None:
    """Check for words that cannot be read or have no unique place: see add_word in lua/lib/dictionary.lua."""
    for partition, field in keys:
        if field != "id":
            await _check_words(exam, partition, field)


async def _check_words(exam: Exam, partition: int, field: str) -> None:
    wrong: list[str | bytes] = []
    first, last = 0, -1.0
    while True:
        [[kind, *flat]] = await exam.call([(partition, "read_words", (field, first, _WORDS_AT_ONCE))])
        if kind not in (b"zset", b"none"):
            key = f"words:{{{partition}}}:{field}"
            exam.findings.add("key type", partition, key)
            await exam.set_aside(partition, key)
            return
        for word, text in zip(flat[::2], flat[1::2], strict=True):
            score = float(text)
            shown = f"{field}: {word.decode(errors='backslashreplace')}"
            if read_word(field, word) is None:
                exam.findings.add("word", partition, shown)
                wrong += [word, ""]
            elif not last < score < _MAX_SCORE or score != int(score):
                exam.findings.add("word place", partition, shown)
                wrong += [word, "again"]
            last = max(last, min(score, _MAX_SCORE))
        if len(flat) < 2 * _WORDS_AT_ONCE:
            break
        first += _WORDS_AT_ONCE
    if exam.repairs:
        for some in in_pieces(wrong, _AT_ONCE):
            await exam.call([(partition, "repair_words", (field, *some))])


class KnownIds:
    """The ids in a partition's dictionary, as 8 bytes each: a million take 8 MB."""

    def __init__(self) -> None:
        self.size = 0
        """Number of entries read."""
        self.junk: list[int] = []
        """Places of entries that aren't ids."""
        self._digests: list[array[int]] = []

    def add(self, entries: Sequence[bytes]) -> None:
        """Add the entries after those already read."""
        places = range(self.size, self.size + len(entries))
        self.junk += [p for p, entry in zip(places, entries, strict=True) if not is_id(entry.decode(errors="replace"))]
        self._digests.append(array("Q", sorted(map(_digest, entries))))
        self.size += len(entries)
        # A few long arrays are faster to search than many short ones.
        while len(self._digests) > 1 and len(self._digests[-1]) * 2 > len(self._digests[-2]):
            merged = sorted([*self._digests.pop(), *self._digests.pop()])
            self._digests.append(array("Q", merged))

    def __contains__(self, id: str) -> bool:
        digest = _digest(id.encode())
        for digests in self._digests:
            place = bisect_left(digests, digest)
            if place < len(digests) and digests[place] == digest:
                return True
        return False


def _digest(id: bytes) -> int:
    return int.from_bytes(blake2b(id, digest_size=8).digest())


async def read_ids(exam: Exam, partition: int, known: KnownIds) -> None:
    """Add the ids of a partition's dictionary that are not known yet."""
    while True:
        [[kind, *entries]] = await exam.call([(partition, "read_words", ("id", known.size, _WORDS_AT_ONCE))])
        if kind not in (b"list", b"none"):
            exam.findings.add("key type", partition, f"words:{{{partition}}}:id")
            await exam.set_aside(partition, f"words:{{{partition}}}:id")
            return
        known.add(entries)
        if len(entries) < _WORDS_AT_ONCE:
            return


async def check_ids(exam: Exam, partition: int, known: KnownIds, missing: Sequence[str]) -> None:
    """Report the conversations that are missing from the dictionary of ids, and entries that aren't ids.

    Args:
        known: What was read of it before the conversations were checked.
        missing: Conversations that were not in it; new ones may have been added since.
    """
    await read_ids(exam, partition, known)
    lost = [id for id in missing if id not in known]
    for id in lost:
        exam.findings.add("ids", partition, id)
    for place in known.junk:
        exam.findings.add("word", partition, f"id: entry {place}")
    if not exam.repairs:
        return
    args: list[str | int] = [part for id in lost for part in ("", id)]
    # Readers learn appended entries only, so an invalid entry is replaced by an id that they learn otherwise.
    filler = next(iter([*lost, *missing]), None)
    if known.junk and filler is None:
        [[_, *entries]] = await exam.call([(partition, "read_words", ("id", 0, _AT_ONCE))])
        filler = next((text for entry in entries if is_id(text := entry.decode(errors="replace"))), None)
    if known.junk and filler is None:
        await exam.set_aside(partition, f"words:{{{partition}}}:id")
        return
    args += [part for place in known.junk for part in (place, str(filler))]
    for some in in_pieces(args, 2 * _AT_ONCE):
        await exam.call([(partition, "repair_ids", tuple(some))])
