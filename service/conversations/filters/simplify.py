"""Simplifies a typed expression for planning.

Negation moves to the leaves, nested groups of the same kind are merged, constants are removed. Whole numbers are sets
of spans: a group has one set per field, and the negation of a set is another set. The start of an id is such a number
too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from math import inf

from conversations.filters import ids, spans
from conversations.filters.expressions import (
    Boolean,
    BoundExpression,
    Everything,
    Exists,
    IdRange,
    Nothing,
    NumberRange,
    Occur,
    Pattern,
    Term,
    ValuePrefix,
    WordPhrase,
)
from conversations.filters.patterns import WordPattern
from conversations.filters.spans import Span
from conversations.schema import ID, ID_START_KEY

__all__ = ["Atom", "Junction", "Node", "Numbers", "join", "simplify"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Documents whose number lies in one of several spans."""

    key: str
    """Key of a number that every document has."""
    spans: tuple[Span, ...]
    """At least one, and not all numbers."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A leaf, or its negation."""

    leaf: Term | WordPhrase | Pattern | ValuePrefix | Exists | Numbers
    negated: bool
    """Always False for numbers."""


@dataclass(frozen=True, slots=True)
class Junction:
    """An intersection or a union."""

    is_intersection: bool
    parts: tuple["Atom | Junction", ...]
    """At least two, no junction of the same kind among them, and no two numbers of the same field."""


Node = bool | Atom | Junction
"""An expression with negations at its leaves and no constants inside; True matches everything, False nothing."""


def simplify(expression: BoundExpression) -> Node:
    """Return a simplified expression."""
    return _simplify(expression, negated=False)


def _simplify(expression: BoundExpression, *, negated: bool) -> Node:
    match expression:
        case Boolean():
            return _simplify_boolean(expression, negated=negated)
        case Everything():
            return not negated
        case Nothing():
            return negated
        case Exists(field) if field.exists is None:
            return not negated
        case NumberRange(field, low, high):
            return _numbers(field.key, [(-inf if low is None else low, inf if high is None else high)], negated=negated)
        case ValuePrefix(field, text) if field is ID and len(text) <= ids.START_LENGTH:
            return _numbers(ID_START_KEY, ids.starts_with(text), negated=negated)
        case IdRange(field, between, position):
            starts, edges = ids.split_range(between)
            parts = [_numbers(ID_START_KEY, starts, negated=negated)]
            for edge in edges:
                parts.append(Atom(Pattern(field, WordPattern(field.name, edge, position), position), negated))
            return join(parts, negated)
        case _:
            return Atom(expression, negated)


def _simplify_boolean(expression: Boolean, *, negated: bool) -> Node:
    required = [clause.expression for clause in expression.clauses if clause.occur is Occur.REQUIRED]
    optional = [clause.expression for clause in expression.clauses if clause.occur is Occur.OPTIONAL]
    parts = [_simplify(part, negated=negated) for part in required]
    if optional and not required:
        parts.append(join([_simplify(part, negated=negated) for part in optional], negated))
    for clause in expression.clauses:
        if clause.occur is Occur.PROHIBITED:
            parts.append(_simplify(clause.expression, negated=not negated))
    return join(parts, not negated)


def _numbers(key: str, some: Iterable[Span], *, negated: bool = False) -> Node:
    united = spans.union(some)
    if negated:
        united = spans.complement(united)
    if united == spans.EVERY_NUMBER:
        return True
    return Atom(Numbers(key, united), False) if united else False


def join(parts: Iterable[Node], is_intersection: bool) -> Node:
    """Return the intersection or the union of parts, flattened and without neutral parts."""
    # Junctions are compared by identity: hashing them at every level takes quadratic time.
    joined: dict[Atom | int, Atom | Junction] = {}
    numbers: dict[str, list[tuple[Span, ...]]] = {}
    for part in parts:
        if isinstance(part, bool):
            if part is not is_intersection:
                return part
            continue
        for one in _flat(part, is_intersection):
            match one:
                case Atom(Numbers(key, some)):
                    numbers.setdefault(key, []).append(some)
                case Atom():
                    joined.setdefault(one, one)
                case _:
                    joined[id(one)] = one
    result = list(joined.values())
    for key, sets in numbers.items():
        node = _numbers(key, spans.intersection(sets) if is_intersection else chain(*sets))
        if not isinstance(node, bool):
            result.append(node)
        elif node is not is_intersection:
            return node
    if len(result) < 2:
        return result[0] if result else is_intersection
    return Junction(is_intersection, tuple(result))


def _flat(part: Atom | Junction, is_intersection: bool) -> tuple[Atom | Junction, ...]:
    if isinstance(part, Junction) and part.is_intersection is is_intersection:
        return part.parts
    return (part,)
