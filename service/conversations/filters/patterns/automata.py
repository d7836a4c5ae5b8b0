"""Regular languages, and the automata that accept them.

The states of an automaton are Brzozowski's derivatives: complement and intersection come for free. The work for them is
counted, and a language that needs too much is refused.

Source:
    https://doi.org/10.1145/321239.321249
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Final

from conversations.errors import FilterTooLargeError

__all__ = ["MAX_CODE_POINT", "MAX_DEPTH", "MAX_WORK", "Automaton", "Node", "Nodes"]

MAX_DEPTH = 100
"""The deepest nesting of operators and parentheses."""

MAX_WORK = 25_000
"""Maximum work for the expressions of one filter: nodes looked at while they are parsed and their states are made, and
entries of their tables. It takes some 30 ms, and at most two bytes for each entry."""

MAX_CODE_POINT = 0x10FFFF
"""The last code point of Unicode."""

_Ranges = tuple[tuple[int, int], ...]


class _Kind(Enum):
    NOTHING = auto()
    EMPTY = auto()
    CHARACTERS = auto()
    CONCATENATION = auto()
    UNION = auto()
    INTERSECTION = auto()
    COMPLEMENT = auto()
    REPEAT = auto()


class Node:
    """A regular language. Only `Nodes` makes them; equal nodes are the same object."""

    __slots__ = ("children", "depth", "derivatives", "high", "is_plain", "kind", "low", "nullable", "ranges")

    def __init__(
        self,
        kind: _Kind,
        children: tuple["Node", ...],
        *,
        nullable: bool,
        ranges: _Ranges = (),
        low: int = 0,
        high: int | None = None,
    ) -> None:
        self.kind = kind
        self.children = children
        self.nullable = nullable
        """Whether the empty word belongs to it."""
        self.ranges = ranges
        """For CHARACTERS: code points, first and last, ascending and apart."""
        self.low = low
        """For REPEAT: minimum repetitions."""
        self.high = high
        """For REPEAT: maximum repetitions; None is any number."""
        self.depth: int = 1 + max((child.depth for child in children), default=0)
        if kind is _Kind.CONCATENATION:
            # Chains are walked in a loop.
            self.depth = max(children[0].depth + 1, children[1].depth)
        self.is_plain: bool = kind not in (_Kind.INTERSECTION, _Kind.COMPLEMENT) and all(c.is_plain for c in children)
        """Whether it contains neither intersection nor complement: then it matches something, or is NOTHING."""
        self.derivatives: dict[int, Node] = {}


class Nodes:
    """Makes nodes, simplifies them, and takes their derivatives."""

    def __init__(self, position: int) -> None:
        self._known: dict[tuple[object, ...], Node] = {}
        self._position = position
        self.work = 0
        """What was done so far, in nodes looked at and entries."""
        self.nothing: Final = Node(_Kind.NOTHING, (), nullable=False)
        self.empty: Final = Node(_Kind.EMPTY, (), nullable=True)
        self.anything: Final = Node(_Kind.COMPLEMENT, (self.nothing,), nullable=True)
        self._known[_Kind.COMPLEMENT, self.nothing] = self.anything

    def spend(self, work: int) -> None:
        """Count work, in nodes looked at and entries of tables."""
        self.work += work
        if self.work > MAX_WORK:
            raise self.too_complex(MAX_WORK)

    def too_complex(self, limit: int) -> FilterTooLargeError:
        """Return the error for an expression beyond a limit."""
        message = f"at position {self._position}: the regular expression is too complex; try one with fewer repetitions"
        return FilterTooLargeError(message, self._position, limit=str(limit))

    def _node(
        self,
        kind: _Kind,
        *children: Node,
        nullable: bool,
        ranges: _Ranges = (),
        low: int = 0,
        high: int | None = None,
    ) -> Node:
        self.spend(1 + len(children))
        key: tuple[object, ...] = (kind, *children, ranges, low, high)
        if kind in (_Kind.UNION, _Kind.INTERSECTION):
            key = (kind, frozenset(children))
        elif kind is _Kind.COMPLEMENT:
            key = (kind, children[0])
        node = self._known.get(key)
        if node is None:
            node = Node(kind, children, nullable=nullable, ranges=ranges, low=low, high=high)
            if node.depth > MAX_DEPTH:
                raise self.too_complex(MAX_DEPTH)
            self._known[key] = node
        return node

    def characters(self, ranges: Iterable[tuple[int, int]]) -> Node:
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        if not merged:
            return self.nothing
        return self._node(_Kind.CHARACTERS, nullable=False, ranges=tuple(merged))

    def character(self, character: str) -> Node:
        return self.characters([(ord(character), ord(character))])

    def any_character(self) -> Node:
        return self.characters([(0, MAX_CODE_POINT)])

    def string(self, text: str) -> Node:
        return self.concatenation([self.character(character) for character in text])

    def concatenation(self, nodes: list[Node]) -> Node:
        result = self.empty
        for node in reversed(nodes):
            result = self._pair(node, result)
        return result

    def _pair(self, first: Node, second: Node) -> Node:
        if first is self.nothing or second is self.nothing:
            return self.nothing
        if first is self.empty:
            return second
        if second is self.empty:
            return first
        if first.kind is _Kind.CONCATENATION:
            links = []
            while first.kind is _Kind.CONCATENATION:
                links.append(first.children[0])
                first = first.children[1]
            return self.concatenation([*links, first, second])
        return self._node(_Kind.CONCATENATION, first, second, nullable=first.nullable and second.nullable)

    def union(self, nodes: Iterable[Node]) -> Node:
        parts: dict[Node, None] = {}
        for node in nodes:
            parts.update(dict.fromkeys(node.children if node.kind is _Kind.UNION else (node,)))
        parts.pop(self.nothing, None)
        if self.anything in parts:
            return self.anything
        if len(parts) < 2:
            return next(iter(parts), self.nothing)
        return self._node(_Kind.UNION, *parts, nullable=any(part.nullable for part in parts))

    def intersection(self, nodes: Iterable[Node]) -> Node:
        parts: dict[Node, None] = {}
        for node in nodes:
            parts.update(dict.fromkeys(node.children if node.kind is _Kind.INTERSECTION else (node,)))
        parts.pop(self.anything, None)
        if self.nothing in parts:
            return self.nothing
        if len(parts) < 2:
            return next(iter(parts), self.anything)
        return self._node(_Kind.INTERSECTION, *parts, nullable=all(part.nullable for part in parts))

    def complement(self, node: Node) -> Node:
        if node.kind is _Kind.COMPLEMENT:
            return node.children[0]
        return self._node(_Kind.COMPLEMENT, node, nullable=not node.nullable)

    def repeat(self, node: Node, low: int, high: int | None) -> Node:
        if high is not None and low > high:
            return self.nothing
        if high == 0 or node is self.empty:
            return self.empty
        if node is self.nothing:
            # Lucene's closure of nothing is nothing: it lacks even the empty word.
            return self.empty if low == 0 and high is not None else self.nothing
        if low == 1 and high == 1:
            return node
        if high is None and (low == 0 or node.nullable):
            low = 0
            if node.kind is _Kind.REPEAT and node.low <= 1 and node.high is None:
                node = node.children[0]
            if node is self.anything or node.ranges == ((0, MAX_CODE_POINT),):
                return self.anything
        return self._node(_Kind.REPEAT, node, nullable=low == 0 or node.nullable, low=low, high=high)

    def matches_nothing(self, node: Node) -> bool:
        """Return whether no word belongs to a node."""
        if node.kind is not _Kind.NOTHING and not node.is_plain:
            return Automaton(self, node).is_empty()
        return node is self.nothing

    def derivative(self, node: Node, point: int) -> Node:
        """Return the language of what may follow a code point in the words of a node."""
        known = node.derivatives.get(point)
        if known is None:
            self.spend(1)
            known = node.derivatives[point] = self._derive(node, point)
        return known

    def _derive(self, node: Node, point: int) -> Node:
        match node.kind:
            case _Kind.NOTHING | _Kind.EMPTY:
                return self.nothing
            case _Kind.CHARACTERS:
                index = bisect_right(node.ranges, (point, MAX_CODE_POINT)) - 1
                return self.empty if index >= 0 and point <= node.ranges[index][1] else self.nothing
            case _Kind.CONCATENATION:
                return self._derive_concatenation(node, point)
            case _Kind.UNION:
                return self.union([self.derivative(child, point) for child in node.children])
            case _Kind.INTERSECTION:
                return self.intersection([self.derivative(child, point) for child in node.children])
            case _Kind.COMPLEMENT:
                return self.complement(self.derivative(node.children[0], point))
            case _Kind.REPEAT:
                child = node.children[0]
                high = None if node.high is None else node.high - 1
                return self._before(self.derivative(child, point), self.repeat(child, max(node.low - 1, 0), high))

    def _derive_concatenation(self, node: Node, point: int) -> Node:
        parts = []
        while node.kind is _Kind.CONCATENATION:
            first, rest = node.children
            parts.append(self._before(self.derivative(first, point), rest))
            if not first.nullable:
                return self.union(parts)
            self.spend(1)
            node = rest
        return self.union([*parts, self.derivative(node, point)])

    def _before(self, first: Node, second: Node) -> Node:
        """Concatenate; a union in front is split, which keeps the number of distinct states low."""
        if first.kind is _Kind.UNION:
            return self.union([self._pair(part, second) for part in first.children])
        return self._pair(first, second)


class Automaton:
    """The states of a regular language."""

    def __init__(self, nodes: Nodes, root: Node) -> None:
        self.nodes = nodes
        self._root = root
        self.starts, self.classes = _classes(root, nodes)
        # One code point of each class stands for all.
        self._points = [self.starts[self.classes.index(number)] for number in range(max(self.classes) + 1)]

    starts: list[int]
    """The first code points of intervals that the language treats alike, from 0, ascending."""
    classes: list[int]
    """The class of each interval, from 0: intervals of one class are treated alike too."""

    def table(self) -> tuple[list[bool], list[list[int]]]:
        """Return whether each state accepts, and for each the state behind each class; state 0 is the start.

        Raises:
            FilterTooLargeError: It takes more than MAX_WORK.
        """
        numbers = {self._root: 0}
        states = [self._root]
        rows = []
        for node in states:
            self.nodes.spend(len(self._points))
            row = []
            for after in self._after(node):
                number = numbers.setdefault(after, len(states))
                if number == len(states):
                    states.append(after)
                row.append(number)
            rows.append(row)
        return [node.nullable for node in states], rows

    def is_empty(self) -> bool:
        """Return whether it accepts no word.

        Raises:
            FilterTooLargeError: To find that out takes more than MAX_WORK.
        """
        seen = {self._root}
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node.nullable:
                return False
            for after in self._after(node):
                if after not in seen and after is not self.nodes.nothing:
                    seen.add(after)
                    waiting.append(after)
        return True

    def _after(self, node: Node) -> Iterator[Node]:
        return (self.nodes.derivative(node, point) for point in self._points)


def _classes(root: Node, nodes: Nodes) -> tuple[list[int], list[int]]:
    """Return where the treatment of code points may change, and a number for each interval: the same where it is the
    same."""
    changes: dict[int, int] = {0: 0}
    for number, ranges in enumerate(_ranges_in(root, nodes)):
        for first, last in ranges:
            changes[first] = changes.get(first, 0) ^ 1 << number
            changes[last + 1] = changes.get(last + 1, 0) ^ 1 << number
    changes.pop(MAX_CODE_POINT + 1, None)
    starts, classes = [], []
    numbers: dict[int, int] = {}
    containing = 0
    for start in sorted(changes):
        containing ^= changes[start]
        starts.append(start)
        classes.append(numbers.setdefault(containing, len(numbers)))
    return starts, classes


def _ranges_in(root: Node, nodes: Nodes) -> set[_Ranges]:
    found = set()
    seen = {root}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        nodes.spend(1 + len(node.ranges))
        if node.ranges:
            found.add(node.ranges)
        for child in node.children:
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return found
