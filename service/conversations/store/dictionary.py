"""Word dictionaries: the words in use in a field, mirrored from Redis piece by piece.

Redis appends new words; a mirror fetches only those it has not seen. Words are kept in blocks of text, one per line,
which a pattern searches at the speed of `str.find` and `re`. What a pattern finds in a full block is cached.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic

from conversations.filters import WordPattern
from conversations.schema import FIELDS

__all__ = ["Dictionary", "read_word"]

_BLOCK_WORDS = 4096
_KEPT_PATTERNS = 64
_LONGEST_TURN_SECONDS = 0.005


# Values of these fields become part of a query as they are, others as index terms.
_VALUE_FIELDS = frozenset(field.name for field in FIELDS if field.is_tag)
_VALUE = re.compile(rb"[!-~]+")


def read_word(field: str, stored: bytes) -> str | None:
    """Return a word of a field's dictionary; None if it cannot be one."""
    if field in _VALUE_FIELDS:
        return stored.decode() if _VALUE.fullmatch(stored) else None
    try:
        word = stored.decode()
    except UnicodeDecodeError:
        return None
    return word if word and "\n" not in word else None


class Dictionary:
    """The words of one field in one partition, in order of arrival."""

    def __init__(self) -> None:
        self.size = 0
        """Number of known words."""
        self.mark = b"0"
        """Identifies the last of them in Redis: see unknown_words in lua/lib/dictionary.lua."""
        self._blocks: list[str] = []
        self._last: list[str] = []
        self._last_block = "\n"
        self._found: OrderedDict[WordPattern, list[list[str]]] = OrderedDict()

    def extend(self, words: Iterable[str], mark: bytes) -> None:
        """Append the words that Redis has beyond `size`."""
        self.mark = mark
        for word in words:
            self._last.append(word)
            self.size += 1
            if len(self._last) == _BLOCK_WORDS:
                self._blocks.append(_block(self._last))
                self._last = []
        self._last_block = _block(self._last)

    async def search(self, pattern: WordPattern) -> list[str]:
        """Return the words that match; yields to other calls now and then."""
        found = self._found.setdefault(pattern, [])
        self._found.move_to_end(pattern)
        if len(self._found) > _KEPT_PATTERNS:
            self._found.popitem(last=False)
        began = monotonic()
        while len(found) < len(self._blocks):
            found.append(pattern.search(self._blocks[len(found)]))
            if monotonic() - began > _LONGEST_TURN_SECONDS:
                await asyncio.sleep(0)
                began = monotonic()
        return [word for words in found for word in words] + pattern.search(self._last_block)


def _block(words: list[str]) -> str:
    return "\n".join(["", *words, ""]) if words else "\n"
