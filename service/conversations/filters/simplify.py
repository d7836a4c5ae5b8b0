"""Brings a typed expression into the form from which it is planned.

Negation moves to the leaves, groups of the same kind become one, constants go. Whole numbers are sets of spans: in a
group there is one set for each field, and its negation is another set. The start of an id is such a number too.
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
    IdPrefix,
    IdRange,
    Nothing,
    NumberRange,
    Occur,
    Pattern,
    Term,
    WordPhrase,
)
from conversations.filters.patterns import WordPattern
from conversations.filters.spans import Span
from conversations.schema import ID_START_KEY

__all__ = ["Atom", "Junction", "Node", "Numbers", "join", "patterns_of", "simplify"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Documents whose number lies in one of some spans."""

    key: str
    """A number of the index that every document has."""
    spans: tuple[Span, ...]
    """At least one, and not all numbers."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A leaf, or what it does not match."""

    leaf: Term | WordPhrase | Pattern | IdPrefix | Exists | Numbers
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


def simplify(expression: BoundExpression) -> Node:
    """Return an expression in this form, its patterns still open."""
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
        case IdPrefix(_, text) if len(text) <= ids.START_LENGTH:
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
    """Return the intersection or the union of parts, flat and without what makes no difference."""
    # Junctions are told apart by identity: to hash them at every level takes quadratic time.
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


def patterns_of(node: Node) -> list[WordPattern]:
    """Return the patterns in a node, one for each place where it has one."""
    match node:
        case Atom(Pattern(pattern=pattern)):
            return [pattern]
        case Junction(parts=parts):
            return [pattern for part in parts for pattern in patterns_of(part)]
        case _:
            return []
