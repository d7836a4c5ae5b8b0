"""The plan of a query: its structure as the search engine gets it.

Query text and predicate are each derived from it in one walk. A plan has the negations of a group as one part, since
each makes the engine walk over all documents.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from conversations.filters.expressions import Exists, Pattern, Term, ValuePrefix, WordPhrase
from conversations.filters.patterns import WordPattern
from conversations.filters.simplify import Atom, Junction, Node, Numbers, join
from conversations.schema import Field
from conversations.terms import index_term

__all__ = [
    "AnyOf",
    "Group",
    "Leaf",
    "Matching",
    "Negation",
    "Phrase",
    "Plan",
    "candidates",
    "is_native",
    "make_plan",
]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Documents that have any of several words."""

    field: Field
    values: tuple[str, ...]
    """As they are indexed: tags, or index terms. At least one."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Documents that have a word that a pattern matches, whichever words there are. The engine cannot be asked that."""

    field: Field
    pattern: WordPattern


@dataclass(frozen=True, slots=True)
class Phrase:
    """Documents that have a phrase."""

    field: Field
    terms: tuple[str, ...]
    """Index terms in the order of the phrase: two or more."""
    slop: int


Leaf = AnyOf | Matching | Phrase | ValuePrefix | Exists | Numbers


def is_native(words: Sequence[str], slop: int) -> bool:
    """Return whether the engine can say a phrase exactly."""
    if len(words) == 2:
        return True
    if slop == 0:
        return all(word != following for word, following in pairwise(words))
    return slop == 1 and len(set(words)) == len(words)


@dataclass(frozen=True, slots=True)
class Negation:
    """Documents that a part does not match."""

    part: "Leaf | Group"
    is_doubled: bool
    """Whether it is in an intersection, where it is written twice."""


@dataclass(frozen=True, slots=True)
class Group:
    """An intersection or a union of at least two parts; at most one part of a union has words of a given field."""

    is_intersection: bool
    parts: tuple["Leaf | Negation | Group", ...]


Plan = bool | Leaf | Negation | Group
"""True matches everything, False nothing."""


def candidates(node: Node) -> tuple[Node, bool]:
    """Return what the engine can be asked for: all that a node matches, or more; and whether it is just that."""
    match node:
        case Atom(Pattern(field, pattern), negated):
            return (True if negated or field.exists is None else Atom(Exists(field, pattern.position), False)), False
        case Atom(WordPhrase(_, phrase, slop), negated) if not is_native(phrase, slop):
            return (True if negated else node), False
        case Junction(is_intersection, parts):
            found = [candidates(part) for part in parts]
            return join([part for part, _ in found], is_intersection), all(is_exact for _, is_exact in found)
        case _:
            return node, True


def make_plan(node: Node) -> Plan:
    """Return the plan of an expression."""
    # Whoever runs the query may put it into an intersection.
    return node if isinstance(node, bool) else _plan(node, in_intersection=True)


def _plan(node: Atom | Junction, *, in_intersection: bool) -> Leaf | Negation | Group:
    parts = node.parts if isinstance(node, Junction) else (node,)
    both = node.is_intersection if isinstance(node, Junction) else in_intersection
    planned: list[Leaf | Negation | Group] = [
        _plan(part, in_intersection=both) for part in parts if isinstance(part, Junction)
    ]
    atoms = [part for part in parts if isinstance(part, Atom)]
    planned += _leaves((atom for atom in atoms if not atom.negated), is_intersection=both)
    negated = _leaves((atom for atom in atoms if atom.negated), is_intersection=not both)
    if negated:
        part = negated[0] if len(negated) == 1 else Group(not both, tuple(negated))
        planned.append(Negation(part, is_doubled=both or (in_intersection and not planned)))
    return planned[0] if len(planned) == 1 else Group(both, tuple(planned))


def _leaves(atoms: Iterable[Atom], *, is_intersection: bool) -> list[Leaf]:
    """Return the leaves of an intersection or a union; a union has one for all words of a field."""
    leaves: list[Leaf] = []
    united: dict[Field, dict[str, None]] = {}
    for leaf in _planned(atoms):
        if isinstance(leaf, AnyOf) and not is_intersection:
            united.setdefault(leaf.field, {}).update(dict.fromkeys(leaf.values))
        else:
            leaves.append(leaf)
    return leaves + [AnyOf(field, tuple(values)) for field, values in united.items()]


def _planned(atoms: Iterable[Atom]) -> Iterator[Leaf]:
    for atom in atoms:
        match atom.leaf:
            case Term(field, word):
                yield AnyOf(field, (_value(field, word),))
            case Pattern(field, pattern):
                yield Matching(field, pattern)
            case WordPhrase(field, phrase, slop):
                yield Phrase(field, tuple(_value(field, word) for word in phrase), slop)
            case leaf:
                yield leaf


def _value(field: Field, word: str) -> str:
    return word if field.is_tag else index_term(field.prefix, word)
