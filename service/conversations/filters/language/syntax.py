"""The tree of a parsed filter: clauses and leaves, with their positions in code points."""

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Clause",
    "Conjunction",
    "Expression",
    "FieldName",
    "Fuzzy",
    "Group",
    "Modifier",
    "Phrase",
    "Prefix",
    "Range",
    "Regex",
    "Wildcard",
    "Word",
]


class Conjunction(Enum):
    """The operator between a clause and the previous one."""

    AND = "AND"
    OR = "OR"


class Modifier(Enum):
    """The operator before a clause."""

    REQUIRED = "+"
    PROHIBITED = "-"


@dataclass(frozen=True, slots=True)
class FieldName:
    """The name before a colon."""

    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word without quotes; several words if it has an escaped blank."""

    text: str
    """Unescaped."""
    position: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in quotes."""

    text: str
    """Unescaped, without the quotes."""
    slop: int
    """How far the words may be moved in total; negative if the filter says so."""
    position: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """A word that ends in its only wildcard, `*`."""

    text: str
    """Unescaped, without the `*`."""
    position: int


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A word with `*` or `?` in it, or `*` alone."""

    text: str
    """As in the filter, with its backslashes: they tell a wildcard from a literal."""
    position: int


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """A word with `~` after it."""

    text: str
    """Unescaped."""
    edits: int
    """0, 1 or 2."""
    position: int


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression in Lucene's syntax."""

    text: str
    """The text between the slashes."""
    position: int


@dataclass(frozen=True, slots=True)
class Range:
    """Everything between two bounds; None is open."""

    low: str | None
    high: str | None
    low_inclusive: bool
    high_inclusive: bool
    position: int
    low_position: int
    high_position: int


@dataclass(frozen=True, slots=True)
class Group:
    """The clauses of a query, or of a pair of parentheses."""

    clauses: tuple["Clause", ...]
    position: int


Expression = Word | Phrase | Prefix | Wildcard | Fuzzy | Regex | Range | Group


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of a group, with its operators."""

    conjunction: Conjunction | None
    modifier: Modifier | None
    field: FieldName | None
    expression: Expression
