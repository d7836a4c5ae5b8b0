"""The dictionaries of words, and the one of ids."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b

from conversations.store.damage import is_id
from conversations.store.dictionary import read_word
from conversations.store.doctor.ward import Key, Ward, in_pieces

__all__ = ["KnownIds", "check_ids", "check_words", "read_ids"]

_WORDS_AT_ONCE = 5_000
# Scores are times in microseconds; Redis keeps them as doubles.
_MAX_SCORE = 2**53
_AT_ONCE = 500


async def check_words(ward: Ward, keys: Sequence[Key]) -> None:
    """Look for words that cannot be read, or have no place of their own: see add_word in lua/lib/dictionary.lua."""
    for partition, field in keys:
        if field != "id":
            await _check_words(ward, partition, field)


async def _check_words(ward: Ward, partition: int, field: str) -> None:
    wrong: list[str | bytes] = []
    first, last = 0, -1.0
    while True:
        [[kind, *flat]] = await ward.call([(partition, "read_words", (field, first, _WORDS_AT_ONCE))])
        if kind not in (b"zset", b"none"):
            key = f"words:{{{partition}}}:{field}"
            ward.findings.add("key type", partition, key)
            await ward.set_aside(partition, key)
            return
        for word, text in zip(flat[::2], flat[1::2], strict=True):
            score = float(text)
            shown = f"{field}: {word.decode(errors='backslashreplace')}"
            if read_word(field, word) is None:
                ward.findings.add("word", partition, shown)
                wrong += [word, ""]
            elif not last < score < _MAX_SCORE or score != int(score):
                ward.findings.add("word place", partition, shown)
                wrong += [word, "again"]
            last = max(last, min(score, _MAX_SCORE))
        if len(flat) < 2 * _WORDS_AT_ONCE:
            break
        first += _WORDS_AT_ONCE
    if ward.mends:
        for some in in_pieces(wrong, _AT_ONCE):
            await ward.call([(partition, "mend_words", (field, *some))])


class KnownIds:
    """The ids in a partition's dictionary, as 8 bytes each: a million take 8 MB."""

    def __init__(self) -> None:
        self.size = 0
        """Entries that were read."""
        self.junk: list[int] = []
        """Places of entries that are no ids."""
        self._digests: list[array[int]] = []

    def add(self, entries: Sequence[bytes]) -> None:
        """Take in the entries behind those that were read."""
        places = range(self.size, self.size + len(entries))
        self.junk += [p for p, entry in zip(places, entries, strict=True) if not is_id(entry.decode(errors="replace"))]
        self._digests.append(array("Q", sorted(map(_digest, entries))))
        self.size += len(entries)
        # Few long ones are searched faster than many short ones.
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


async def read_ids(ward: Ward, partition: int, known: KnownIds) -> None:
    """Take in the ids of a partition's dictionary that are not known yet."""
    while True:
        [[kind, *entries]] = await ward.call([(partition, "read_words", ("id", known.size, _WORDS_AT_ONCE))])
        if kind not in (b"list", b"none"):
            ward.findings.add("key type", partition, f"words:{{{partition}}}:id")
            await ward.set_aside(partition, f"words:{{{partition}}}:id")
            return
        known.add(entries)
        if len(entries) < _WORDS_AT_ONCE:
            return


async def check_ids(ward: Ward, partition: int, known: KnownIds, missing: Sequence[str]) -> None:
    """Report the conversations that are missing in the dictionary of ids, and entries that are none.

    Args:
        known: What was read of it before the conversations were looked at.
        missing: Conversations that were not in it: of those, the ones that came meanwhile are in it by now.
    """
    await read_ids(ward, partition, known)
    lost = [id for id in missing if id not in known]
    for id in lost:
        ward.findings.add("ids", partition, id)
    for place in known.junk:
        ward.findings.add("word", partition, f"id: entry {place}")
    if not ward.mends:
        return
    args: list[str | int] = [part for id in lost for part in ("", id)]
    # Readers of the dictionary learn what is appended; an entry that is none becomes one that they know.
    filler = next(iter([*lost, *missing]), None)
    if known.junk and filler is None:
        [[_, *entries]] = await ward.call([(partition, "read_words", ("id", 0, _AT_ONCE))])
        filler = next((text for entry in entries if is_id(text := entry.decode(errors="replace"))), None)
    if known.junk and filler is None:
        await ward.set_aside(partition, f"words:{{{partition}}}:id")
        return
    args += [part for place in known.junk for part in (place, str(filler))]
    for some in in_pieces(args, 2 * _AT_ONCE):
        await ward.call([(partition, "mend_ids", tuple(some))])
