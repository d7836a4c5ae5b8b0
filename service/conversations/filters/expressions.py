"""Typed expressions: a filter with its fields, types and values."""

import dataclasses
from dataclasses import dataclass
from enum import Enum

from conversations.filters.patterns import Between, WordPattern
from conversations.schema import Field

__all__ = [
    "Boolean",
    "BoundClause",
    "BoundExpression",
    "Everything",
    "Exists",
    "IdRange",
    "Nothing",
    "NumberRange",
    "Occur",
    "Pattern",
    "Term",
    "ValuePrefix",
    "WordPhrase",
    "any_of",
]


class Occur(Enum):
    """The role of a clause in its group."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    PROHIBITED = "prohibited"


@dataclass(frozen=True, slots=True)
class Term:
    """Conversations with a word in a field."""

    field: Field
    word: str
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class WordPhrase:
    """Conversations with two or more words in order in a field."""

    field: Field
    words: tuple[str, ...]
    slop: int
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Conversations with a word that a pattern matches."""

    field: Field
    pattern: WordPattern
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class ValuePrefix:
    """Conversations with a value that starts with a text, in a field whose values are indexed as tags."""

    field: Field
    text: str
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class IdRange:
    """Conversations whose id lies between two texts, by code point."""

    field: Field
    between: Between
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Conversations whose number lies between two bounds, inclusive; None is open."""

    field: Field
    low: int | None
    high: int | None
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class Exists:
    """Conversations that have a value in a field."""

    field: Field
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class Everything:
    """All conversations."""

    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class Nothing:
    """No conversation."""

    field: Field | None
    reason: str
    """Why nothing matches, in words."""
    position: int = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class BoundClause:
    """A part of a boolean expression."""

    occur: Occur
    expression: "BoundExpression"


@dataclass(frozen=True, slots=True)
class Boolean:
    """What all required clauses match, or any optional one if none is required, except what is prohibited."""

    clauses: tuple[BoundClause, ...]
    """At least one."""
    position: int = dataclasses.field(compare=False)


BoundExpression = (
    Term | WordPhrase | Pattern | ValuePrefix | IdRange | NumberRange | Exists | Everything | Nothing | Boolean
)


def any_of(parts: list[BoundExpression], position: int) -> BoundExpression | None:
    """Return the union of parts; None if there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return Boolean(tuple(BoundClause(Occur.OPTIONAL, part) for part in parts), position)
