"""Automata over the bytes of UTF-8, written so that Lua reads them without decoding.

A state is a number. From 0 no word matches, from 1 every word does. The next ones are between two code points (outer
states), the rest within one whose first bytes do not decide (inner states). Each has a row: the state behind each
column, two bytes each, the high one first. Bytes that every state treats alike share a column; those within a code
point (0x80 to 0xBF) have columns of their own, as only inner states ask for them: an outer state stays the same, so it
may be entered by the first byte of a code point if the others do not matter.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conversations.filters.patterns.automata import Automaton

__all__ = ["Table", "table_of"]

_NEVER, _ALWAYS, _FIRST = 0, 1, 2
_INVALID = -1
"""The item of bytes that are in no text. Items are classes of code points, from 0, or trees, from -2 downwards."""


@dataclass(frozen=True, slots=True)
class Table:
    """An automaton over bytes."""

    first: int
    """The state before a word."""
    columns: bytes
    """The column of each of the 256 bytes."""
    accepting: bytes
    """1 for each outer state in which a word may end, otherwise 0."""
    width: int
    """The number of columns of outer states."""
    outer: bytes
    """Their rows."""
    inner_width: int
    """The number of columns of inner states."""
    inner: bytes
    """Their rows."""

    def can_match(self, alphabet: str) -> bool:
        """Return whether it matches a word of these characters, which are ASCII."""
        columns = [self.columns[ord(character)] for character in alphabet]
        seen = {self.first}
        waiting = [self.first]
        while waiting:
            state = waiting.pop()
            if state == _ALWAYS or (state >= _FIRST and self.accepting[state - _FIRST]):
                return True
            if state != _NEVER:
                following = {self._following(state, column) for column in columns} - seen
                seen |= following
                waiting += following
        return False

    def _following(self, state: int, column: int) -> int:
        at = 2 * ((state - _FIRST) * self.width + column)
        return int.from_bytes(self.outer[at : at + 2], "big")


def table_of(automaton: Automaton) -> Table:
    """Return the table of an automaton.

    Raises:
        FilterTooLargeError: It takes more than MAX_WORK.
    """
    accepting, rows = automaton.table()
    numbers = _numbers(accepting, rows)
    kept = [state for state, number in enumerate(numbers) if number >= _FIRST]
    bytes_of = _Bytes(automaton)
    items = list(dict.fromkeys(bytes_of.outer))
    inner_columns = _numbered(zip(*bytes_of.trees, strict=True)) if bytes_of.trees else [0] * 64
    writer = _Writer(bytes_of.trees, [inner_columns.index(column) for column in range(max(inner_columns) + 1)])
    writer.first = _FIRST + len(kept)
    outer = []
    for state in kept:
        row = [numbers[after] for after in rows[state]]
        automaton.nodes.spend(len(items) + len(bytes_of.trees) * len(writer.columns))
        outer.append([writer.target(row, item) for item in items])
    outer_columns = [items.index(item) for item in bytes_of.outer]
    return Table(
        first=numbers[0],
        columns=bytes([*outer_columns[:0x80], *inner_columns, *outer_columns[0xC0:]]),
        accepting=bytes(accepting[state] for state in kept),
        width=len(items),
        outer=_packed(outer),
        inner_width=len(writer.columns),
        inner=_packed(writer.inner),
    )


def _numbers(accepting: Sequence[bool], rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the number of each state, the same for all from which nothing, or everything, matches."""
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for after in set(row):
            before[after].append(state)

    def leading_to(is_wanted: bool) -> set[int]:
        waiting = [state for state, accepts in enumerate(accepting) if accepts is is_wanted]
        found = set(waiting)
        while waiting:
            for state in before[waiting.pop()]:
                if state not in found:
                    found.add(state)
                    waiting.append(state)
        return found

    may_match, may_fail = leading_to(True), leading_to(False)
    numbers = []
    following = _FIRST
    for state in range(len(rows)):
        if state in may_match and state in may_fail:
            numbers.append(following)
            following += 1
        else:
            numbers.append(_ALWAYS if state in may_match else _NEVER)
    return numbers


class _Bytes:
    """What the bytes of code points say about their classes."""

    def __init__(self, automaton: Automaton) -> None:
        self._starts = automaton.starts
        self._classes = automaton.classes
        self.trees: list[tuple[int, ...]] = []
        """The items for each byte from 0x80 to 0xBF, where the class depends on it."""
        self._tree_items: dict[tuple[int, ...], int] = {}
        self.outer = [self._item_of(first) for first in range(256)]
        """The item for each byte at the start of a code point."""

    def _item_of(self, byte: int) -> int:
        if byte < 0x80:
            return self._item(byte, byte, 0)
        if 0xC2 <= byte < 0xE0:
            return self._item((byte - 0xC0) << 6, ((byte - 0xBF) << 6) - 1, 1)
        if 0xE0 <= byte < 0xF0:
            return self._item(max((byte - 0xE0) << 12, 0x800), ((byte - 0xDF) << 12) - 1, 1 << 6)
        if 0xF0 <= byte < 0xF5:
            return self._item(max((byte - 0xF0) << 18, 0x10000), min((byte - 0xEF) << 18, 0x110000) - 1, 1 << 12)
        return _INVALID

    def _item(self, first: int, last: int, step: int) -> int:
        """Return the item for a byte with these code points; the next byte stands for so many of them."""
        if first > last:
            return _INVALID
        behind = bisect_right(self._starts, first)
        if behind == len(self._starts) or self._starts[behind] > last:
            return self._classes[behind - 1]
        base = first - first % (step << 6)
        tree = tuple(
            self._item(max(first, start), min(last, start + step - 1), step >> 6)
            for start in range(base, base + (step << 6), step)
        )
        if tree not in self._tree_items:
            self._tree_items[tree] = -2 - len(self.trees)
            self.trees.append(tree)
        return self._tree_items[tree]


class _Writer:
    """Makes inner states."""

    def __init__(self, trees: Sequence[tuple[int, ...]], columns: Sequence[int]) -> None:
        self._trees = [[tree[column] for column in columns] for tree in trees]
        self.columns = columns
        """For each column of inner states one of its bytes, from 0."""
        self.first = _FIRST
        """The number of the first inner state."""
        self.inner: list[tuple[int, ...]] = []
        """The rows of inner states."""
        self._known: dict[tuple[int, ...], int] = {}

    def target(self, row: Sequence[int], item: int) -> int:
        """Return the state behind a byte, where a row has the state behind each class."""
        if item >= 0:
            return row[item]
        if item == _INVALID:
            return _NEVER
        items = self._trees[-2 - item]
        states = tuple(self.target(row, child) for child in items)
        valid = {state for state, child in zip(states, items, strict=True) if child != _INVALID}
        if len(valid) == 1:
            return valid.pop()
        if states not in self._known:
            self._known[states] = self.first + len(self.inner)
            self.inner.append(states)
        return self._known[states]


def _numbered(values: Iterable[object]) -> list[int]:
    """Return a number for each value, from 0, the same for equal ones."""
    numbers: dict[object, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


def _packed(rows: Iterable[Sequence[int]]) -> bytes:
    return b"".join(state.to_bytes(2, "big") for row in rows for state in row)
