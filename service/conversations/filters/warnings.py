"""Warnings about likely mistakes in a filter."""

import re
from collections.abc import Iterator
from typing import Any

from conversations.filters.expressions import Boolean, BoundExpression, Everything, Pattern
from conversations.filters.fields import tag_of
from conversations.filters.language import Clause, Conjunction, Group, Wildcard, Word
from conversations.filters.numbers import compared
from conversations.filters.patterns import Between
from conversations.schema import DISPLAY_NAME, FIELDS, METADATA_PREFIX, Field, FieldKind

__all__ = ["metadata_fields", "warnings_for"]


def warnings_for(query: Group, expression: BoundExpression) -> tuple[str, ...]:
    """Return a sentence for each likely mistake.

    Args:
        query: The parsed filter.
        expression: The same with fields and types.
    """
    ranges = (part for part in _leaves(expression) if isinstance(part, Pattern) and _is_metadata(part.field))
    compared_as_text = (
        f"at position {part.position}: `{part.field.name}` holds words, and the range compares text: `1000` lies in"
        " `[100 TO 200]`, `1000` before `200`"
        for part in ranges
        if isinstance(part.pattern.predicate, Between)
    )
    return (*_warnings(query), *compared_as_text)


def metadata_fields(expression: BoundExpression) -> dict[str, int]:
    """Return the names of the metadata leaves in a filter, each with its first position."""
    found: dict[str, int] = {}
    for part in _leaves(expression):
        if not isinstance(part, Everything) and part.field is not None and _is_metadata(part.field):
            found.setdefault(part.field.name, part.position)
    return found


def _leaves(expression: BoundExpression) -> Iterator[Any]:
    if isinstance(expression, Boolean):
        for clause in expression.clauses:
            yield from _leaves(clause.expression)
    else:
        yield expression


def _is_metadata(field: Field) -> bool:
    return field.kind is FieldKind.METADATA and tag_of(field) is None


def _warnings(group: Group) -> Iterator[str]:
    if _mixes(group.clauses):
        yield (
            f"at position {group.position}: AND binds no tighter than OR: it makes the clauses beside it required,"
            " and those left optional change nothing; use parentheses"
        )
    for clause in group.clauses:
        match clause.expression:
            case Group() as inner:
                yield from _warnings(inner)
            case Wildcard(text, position) if text != "*" and text[0] in "*?":
                yield f"at position {position}: `{text}` starts with a wildcard: every word of the field is looked at"
            case Word(text, position):
                warning = _word_warning(text, clause)
                if warning:
                    yield f"at position {position}: {warning}"


def _mixes(clauses: tuple[Clause, ...]) -> bool:
    """Whether there is an AND and also an OR, or a clause that stays optional."""
    joined = [clause.conjunction is Conjunction.AND for clause in clauses]
    if True not in joined:
        return False
    if any(clause.conjunction is Conjunction.OR for clause in clauses):
        return True
    beside = zip(clauses, joined, [*joined[1:], False], strict=True)
    return any(clause.modifier is None and not (before or after) for clause, before, after in beside)


_COMPARISON = re.compile(r"([A-Za-z_.]+)(>=|<=|>|<|==?)(.+)")
_SIGN = re.compile("(>=|<=|>|<)(.+)")
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAMES = frozenset(name for field in FIELDS for name in (field.name, *field.aliases))


def _word_warning(text: str, clause: Clause) -> str | None:
    if clause.field is not None and text[0] != "'":
        if clause.field.text in (DISPLAY_NAME.name, *DISPLAY_NAME.aliases) and _UUID.fullmatch(text):
            return f"`{text}` looks like an id, and is looked for in the name; ask `id:`, `channel_id:` or `tag_ids:`"
        sign = _SIGN.fullmatch(text)
        if sign is not None:
            asked = compared(sign[1], sign[2])
            return f"`{text}` is looked for as a word; to compare, write `{clause.field.text}:{asked}`"
        return None
    comparison = _COMPARISON.fullmatch(text)
    if comparison is not None and (comparison[1] in _NAMES or comparison[1].startswith(METADATA_PREFIX)):
        asked = compared(comparison[2], comparison[3])
        return f"`{text}` is looked for as a word; to ask the field, write `{comparison[1]}:{asked}`"
    if text[0] == "'":
        return f"the quote in `{text}` is a part of the word; a phrase is in double quotes"
    if text in ("and", "or", "not"):
        return f"`{text}` is looked for as a word; the operator is in upper case, `{text.upper()}`"
    return None
