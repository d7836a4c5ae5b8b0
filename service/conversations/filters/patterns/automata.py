"""Regular languages, matched against whole words in linear time.

The states of an automaton are Brzozowski's derivatives, made when a word first needs them: complement and intersection
come for free, and nothing backtracks. The work for states is counted, and a language that needs too much is refused.

Source:
    https://doi.org/10.1145/321239.321249
"""

from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from conversations.errors import FilterTooLargeError

__all__ = ["MAX_CODE_POINT", "MAX_DEPTH", "Automaton", "Node", "Nodes"]

MAX_DEPTH = 100
"""The deepest nesting of operators and parentheses."""

_MAX_WORK = 100_000
"""Maximum node constructions for one expression, for parsing and all states together: some 0.2 s."""

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
        self._work = 0
        self.nothing: Final = Node(_Kind.NOTHING, (), nullable=False)
        self.empty: Final = Node(_Kind.EMPTY, (), nullable=True)
        self.anything: Final = Node(_Kind.COMPLEMENT, (self.nothing,), nullable=True)
        self._known[_Kind.COMPLEMENT, self.nothing] = self.anything

    def spend(self, work: int) -> None:
        """Count work, in nodes looked at."""
        self._work += work
        if self._work > _MAX_WORK:
            raise self.too_complex(_MAX_WORK)

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
            return not Automaton(self, node).can_match(None, most_states=_MAX_WORK)
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


_REMEMBERED = 0x800
"""Lower code points are kept in a state's table once seen; others are looked up, which bounds the tables."""


class _State(dict[str, "_State"]):
    """The state after each character; made on first use."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    __slots__ = ("accepting", "automaton", "followers", "node")

    def __init__(self, automaton: "Automaton", node: Node) -> None:
        super().__init__()
        self.automaton = automaton
        self.node = node
        self.accepting = node.nullable
        self.followers: dict[int, _State] = {}
        """By the index of a class of characters."""

    def __missing__(self, character: str) -> "_State":
        point = ord(character)
        following = self.automaton.follow(self, self.automaton.class_of(point))
        if point < _REMEMBERED:
            self[character] = following
        return following


class Automaton:
    """A regular expression, ready to match words."""

    def __init__(self, nodes: Nodes, root: Node) -> None:
        self._nodes = nodes
        self._first_points = [0, *sorted(_boundaries(root))]
        """The first code point of each class of characters that the expression treats alike."""
        self._states: dict[Node, _State] = {}
        self._start = self._state(root)
        self._dead = self._state(nodes.nothing)

    def _state(self, node: Node) -> _State:
        state = self._states.get(node)
        if state is None:
            state = self._states[node] = _State(self, node)
        return state

    def class_of(self, point: int) -> int:
        """Return the index of the class of a code point."""
        return bisect_right(self._first_points, point) - 1

    def follow(self, state: _State, index: int) -> _State:
        """Return the state after a character of a class."""
        following = state.followers.get(index)
        if following is None:
            derivative = self._nodes.derivative(state.node, self._first_points[index])
            following = state.followers[index] = self._state(derivative)
        return following

    def search(self, block: str) -> list[str]:
        """Return the words of a block that match.

        Args:
            block: A line feed, then each word with a line feed after it.

        Raises:
            FilterTooLargeError: The words lead to too many states.
        """
        start, dead = self._start, self._dead
        found = []
        for word in block[1:-1].split("\n"):
            state = start
            for character in word:
                state = state[character]
                if state is dead:
                    break
            if state.accepting and word:
                found.append(word)
        return found

    def table(self, most_states: int) -> "tuple[list[bool], list[int], list[list[int]]] | None":
        """Return the whole automaton; None where it has more states than so many.

        Returns:
            Whether each state accepts, the first of them being the start; the first code point of each class; and for
            each state the number of the next one for each class, -1 where no word is accepted from there.
        """
        numbers = {self._start: 0}
        states = [self._start]
        following: list[list[int]] = []
        for state in states:
            row = []
            for index in range(len(self._first_points)):
                after = self.follow(state, index)
                if after is not self._dead and after not in numbers:
                    numbers[after] = len(states)
                    states.append(after)
                row.append(-1 if after is self._dead else numbers[after])
            following.append(row)
            if len(states) > most_states:
                return None
        return [state.accepting for state in states], self._first_points, following

    def can_match(self, alphabet: str | None, most_states: int) -> bool:
        """Return whether it may match a word of these characters, or any word; True if that takes too many states to
        find."""
        classes = range(len(self._first_points)) if alphabet is None else {self.class_of(ord(c)) for c in alphabet}
        seen = {self._start.node}
        waiting = [self._start]
        while waiting:
            state = waiting.pop()
            if state.accepting or len(seen) > most_states:
                return True
            for index in classes:
                following = self.follow(state, index)
                if following.node not in seen and following is not self._dead:
                    seen.add(following.node)
                    waiting.append(following)
        return False


def _boundaries(root: Node) -> set[int]:
    """Return the code points at which the expression's treatment of characters may change."""
    points = set()
    seen = {root}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        for first, last in node.ranges:
            points |= {first, last + 1}
        for child in node.children:
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return points - {0, MAX_CODE_POINT + 1}
