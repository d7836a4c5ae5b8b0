"""Brings a typed expression into the form in which it can be written.

Negation moves to the leaves, groups of the same kind become one, constants go. Whole numbers are sets of spans: in a
group there is one set for each field, and its negation is another set. The start of an id is such a number too.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from conversations.filters.expressions import (
    Boolean,
    BoundExpression,
    Everything,
    Exists,
    IdPrefix,
    IdRange,
    Nothing,
    NumberRange,
    Occur,
    Pattern,
    Term,
    WordPhrase,
)
from conversations.filters.patterns import Between, WordPattern

__all__ = [
    "Atom",
    "Junction",
    "Leaf",
    "Node",
    "Numbers",
    "Parts",
    "Span",
    "is_native",
    "parts_of",
    "patterns_of",
    "simplify",
    "without_empty",
]

Span = tuple[float, float]
"""All whole numbers from the first to the last; infinite where it is open."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Documents whose number lies in one of some spans."""

    index_field: str
    """A field of the index that every document has."""
    spans: tuple[Span, ...]
    """Ascending, with a gap between each and the next; at least one, and not all numbers."""


Leaf = Term | WordPhrase | Pattern | IdPrefix | Exists | Numbers


@dataclass(frozen=True, slots=True)
class Atom:
    """A leaf, or what it does not match."""

    leaf: Leaf
    negated: bool
    """Never so for numbers."""


@dataclass(frozen=True, slots=True)
class Junction:
    """An intersection or a union."""

    is_intersection: bool
    parts: tuple["Atom | Junction", ...]
    """At least two, none of them a junction of the same kind, and no two of them numbers of the same field."""


Node = bool | Atom | Junction
"""An expression with negation at its leaves and without constants inside; True matches everything, False nothing."""

_NUMBERS = {"created_at": "ca", "last_message_at": "lm", "unread_count": "un"}
_ALWAYS_THERE = frozenset({"id", "channel_id", "source", *_NUMBERS})


def simplify(expression: BoundExpression) -> Node:
    """Return an expression in the form in which it can be written, its patterns still open."""
    return _simplify(expression, negated=False)


def _simplify(expression: BoundExpression, *, negated: bool) -> Node:
    match expression:
        case Boolean():
            return _simplify_boolean(expression, negated=negated)
        case Everything():
            return not negated
        case Nothing():
            return negated
        case Exists(field) if field.name in _ALWAYS_THERE:
            return not negated
        case NumberRange(field, low, high):
            span = (-inf if low is None else low, inf if high is None else high)
            return _numbers(_NUMBERS[field.name], [span], negated=negated)
        case IdPrefix(_, text) if len(text) <= _START_LENGTH:
            return _starts_between(text, text + _AFTER_ALL, negated=negated)
        case IdRange():
            return _simplify_id_range(expression, negated=negated)
        case _:
            return Atom(expression, negated)


def _simplify_boolean(expression: Boolean, *, negated: bool) -> Node:
    required = [clause.expression for clause in expression.clauses if clause.occur is Occur.REQUIRED]
    optional = [clause.expression for clause in expression.clauses if clause.occur is Occur.OPTIONAL]
    parts = [_simplify(part, negated=negated) for part in required]
    if optional and not required:
        parts.append(_join([_simplify(part, negated=negated) for part in optional], negated))
    for clause in expression.clauses:
        if clause.occur is Occur.PROHIBITED:
            parts.append(_simplify(clause.expression, negated=not negated))
    return _join(parts, not negated)


_START_LENGTH = 13
"""How many characters of an id, `01234567-89ab`, the index has as a number."""
_START_BITS = 48
_AFTER_ALL = "\U0010ffff"


def _start(number: int) -> str:
    digits = f"{number:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _first_start(bound: str) -> int:
    """Return the number of the first start of an id that is not below a bound, by code point.

    No id equals a bound that is no longer than a start, so an id is above such a bound if its start is not below it.
    """
    return bisect_left(range(1 << _START_BITS), bound, key=_start)


def _starts_between(low: str | None, high: str | None, *, negated: bool) -> Node:
    """Return the ids whose start is not below `low`, and below `high`."""
    first = 0 if low is None else _first_start(low)
    end = 1 << _START_BITS if high is None else _first_start(high)
    span = (first or -inf, inf if end == 1 << _START_BITS else end - 1)
    return _numbers("ih", [span] if first < end else [], negated=negated)


def _simplify_id_range(expression: IdRange, *, negated: bool) -> Node:
    """Return a range of ids as one of their starts, and as patterns for the ids that start as a longer bound does."""
    low, high = expression.between.low, expression.between.high
    edges = []
    if low is not None and len(low) > _START_LENGTH:
        edges.append(low[:_START_LENGTH])
        low = edges[-1] + _AFTER_ALL
    if high is not None and len(high) > _START_LENGTH:
        edges.append(high[:_START_LENGTH])
        high = edges[-1]
    parts = [_starts_between(low, high, negated=negated)]
    parts += [_edge(expression, start, negated=negated) for start in dict.fromkeys(edges)]
    return _join(parts, negated)


def _edge(expression: IdRange, start: str, *, negated: bool) -> Node:
    """Return the ids in a range that begin with a start, which may be no start of an id."""
    number = _first_start(start)
    if number == 1 << _START_BITS or _start(number) != start:
        return negated
    between = expression.between
    low, low_inclusive, high, high_inclusive = start, True, start + _AFTER_ALL, False
    if between.low is not None and between.low > low:
        low, low_inclusive = between.low, between.low_inclusive
    if between.high is not None and between.high < high:
        high, high_inclusive = between.high, between.high_inclusive
    pattern = WordPattern("id", Between(low, high, low_inclusive, high_inclusive), expression.position)
    return Atom(Pattern(expression.field, pattern, expression.position), negated)


def _numbers(index_field: str, spans: Iterable[Span], *, negated: bool = False) -> Node:
    united = _united(spans)
    if negated:
        united = _complement(united)
    if united == _ALL:
        return True
    return Atom(Numbers(index_field, united), False) if united else False


_ALL = ((-inf, inf),)


def _united(spans: Iterable[Span]) -> tuple[Span, ...]:
    united: list[Span] = []
    for low, high in sorted(spans):
        if united and low <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(united[-1][1], high))
        else:
            united.append((low, high))
    return tuple(united)


def _complement(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the spans between spans that are ascending, with gaps."""
    gaps = [(low + 1, high - 1) for (_, low), (high, _) in pairwise([(-inf, -inf), *spans, (inf, inf)])]
    return tuple((low, high) for low, high in gaps if low < inf and high > -inf)


def without_empty(node: Node, words: Mapping[WordPattern, Sequence[str]]) -> Node:
    """Return a node without the patterns that match no word."""
    match node:
        case Atom(Pattern(pattern=pattern), negated) if not words[pattern]:
            return negated
        case Junction(is_intersection, parts):
            return _join([without_empty(part, words) for part in parts], is_intersection)
        case _:
            return node


def _join(parts: Iterable[Node], is_intersection: bool) -> Node:
    """Return the intersection or the union of parts, flat and without what makes no difference."""
    # Junctions are told apart by identity: to hash them at every level takes quadratic time.
    joined: dict[Atom | int, Atom | Junction] = {}
    spans: dict[str, list[tuple[Span, ...]]] = {}
    for part in parts:
        if isinstance(part, bool):
            if part is not is_intersection:
                return part
            continue
        for one in _flat(part, is_intersection):
            match one:
                case Atom(Numbers(index_field, some)):
                    spans.setdefault(index_field, []).append(some)
                case Atom():
                    joined.setdefault(one, one)
                case _:
                    joined[id(one)] = one
    result = list(joined.values())
    for index_field, sets in spans.items():
        numbers = _joined_numbers(index_field, sets, is_intersection)
        if not isinstance(numbers, bool):
            result.append(numbers)
        elif numbers is not is_intersection:
            return numbers
    if len(result) < 2:
        return result[0] if result else is_intersection
    return Junction(is_intersection, tuple(result))


def _joined_numbers(index_field: str, sets: Sequence[tuple[Span, ...]], is_intersection: bool) -> bool | Atom:
    if is_intersection:
        outside = [span for spans in sets for span in _complement(spans)]
        joined = _complement(_united(outside))
    else:
        joined = _united(span for spans in sets for span in spans)
    if not joined or joined == _ALL:
        return bool(joined)
    return Atom(Numbers(index_field, joined), False)


def _flat(part: Atom | Junction, is_intersection: bool) -> tuple[Atom | Junction, ...]:
    if isinstance(part, Junction) and part.is_intersection is is_intersection:
        return part.parts
    return (part,)


def patterns_of(node: Node) -> list[WordPattern]:
    """Return the patterns in a node, one for each place where it has one."""
    match node:
        case Atom(Pattern(pattern=pattern)):
            return [pattern]
        case Junction(parts=parts):
            return [pattern for part in parts for pattern in patterns_of(part)]
        case _:
            return []


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a node as they are written."""

    is_intersection: bool
    groups: list[Junction]
    leaves: list[Leaf]
    negated: list[Leaf]
    """As one part: a negated union in an intersection, a negated intersection in a union."""
    doubled: bool
    """Whether that part stands in an intersection, where it is written twice."""


def parts_of(node: Atom | Junction, *, in_intersection: bool) -> Parts:
    """Return the parts of a node that may stand in an intersection."""
    parts = node.parts if isinstance(node, Junction) else (node,)
    is_intersection = node.is_intersection if isinstance(node, Junction) else in_intersection
    groups = [part for part in parts if isinstance(part, Junction)]
    leaves = [part.leaf for part in parts if isinstance(part, Atom) and not part.negated]
    negated = [part.leaf for part in parts if isinstance(part, Atom) and part.negated]
    return Parts(
        is_intersection, groups, leaves, negated, is_intersection or (in_intersection and not (groups or leaves))
    )


def is_native(phrase: WordPhrase) -> bool:
    """Return whether the engine can say a phrase."""
    words = phrase.words
    if len(words) == 2:
        return True
    if phrase.slop == 0:
        return all(word != following for word, following in pairwise(words))
    return phrase.slop == 1 and len(set(words)) == len(words)
