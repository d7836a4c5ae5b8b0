"""Filters explained in text."""

from dataclasses import dataclass

from conversations.filters.compiler import CompiledFilter
from conversations.filters.expressions import (
    Boolean,
    BoundExpression,
    Everything,
    Exists,
    ValuePrefix,
    IdRange,
    Nothing,
    NumberRange,
    Occur,
    Pattern,
    Term,
    WordPhrase,
)
from conversations.filters.patterns import Between, Glob, Near, Predicate, RegularExpression, StartsWith
from conversations.schema import Field
from conversations.times import format_time

__all__ = ["Explanation", "explain", "explain_text", "render"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A part of a filter, as it is understood."""

    kind: str
    """`group`, `word`, `phrase`, `prefix`, `wildcard`, `fuzzy`, `range`, `regex`, `exists`, `everything`
    or `nothing`."""
    occur: str
    """`required`, `optional` or `prohibited` in the part above."""
    position: int
    """Its place in the filter, in code points from 0."""
    field: str = ""
    """Name of the field; empty if there is none."""
    type: str = ""
    """What the field holds: `text`, `keyword`, `number` or `metadata`."""
    value: str = ""
    """What is looked for, in lower case, in the syntax of filters; the reason of `nothing`."""
    children: tuple["Explanation", ...] = ()
    """The clauses of a group."""


def explain(compiled: CompiledFilter) -> Explanation:
    """Return a filter's tree, with fields, types and values."""
    return _explain(compiled.expression, Occur.REQUIRED)


def render(explanation: Explanation) -> str:
    """Return a tree as lines, indented by two blanks per level."""
    return "\n".join(_lines(explanation, 0))


def explain_text(compiled: CompiledFilter) -> str:
    """Return what is known of a filter without a store: the tree, the warnings, and the query."""
    parts = [render(explain(compiled))]
    parts += [f"warning: {warning}" for warning in compiled.warnings]
    what = "query" if compiled.query.is_exact else "query for what may match"
    parts.append(f"{what}: {compiled.query.text}")
    return "\n".join(parts)


def _lines(part: Explanation, level: int) -> list[str]:
    field = f"{part.field} ({part.type})" if part.field else ""
    words = (part.occur if level else "", part.kind, field, part.value)
    line = "  " * level + " ".join(word for word in words if word)
    return [line, *(inner for child in part.children for inner in _lines(child, level + 1))]


def _explain(expression: BoundExpression, occur: Occur) -> Explanation:
    position = expression.position
    match expression:
        case Boolean(clauses):
            children = tuple(_explain(clause.expression, clause.occur) for clause in clauses)
            return Explanation("group", occur.value, position, children=children)
        case Everything():
            return Explanation("everything", occur.value, position)
        case Nothing(field, reason):
            name, kind = (field.name, field.kind.value) if field else ("", "")
            return Explanation("nothing", occur.value, position, name, kind, reason)
        case Term(field, word):
            return _leaf("word", occur, position, field, word)
        case WordPhrase(field, words, slop):
            return _leaf("phrase", occur, position, field, f'"{" ".join(words)}"' + (f"~{slop}" if slop else ""))
        case Exists(field):
            return _leaf("exists", occur, position, field, "*")
        case ValuePrefix(field, text):
            return _leaf("prefix", occur, position, field, f"{text}*")
        case NumberRange(field, low, high):
            return _leaf("range", occur, position, field, f"[{_number(field, low)} TO {_number(field, high)}]")
        case IdRange(field, between):
            kind, value = _pattern(between)
            return _leaf(kind, occur, position, field, value)
        case Pattern(field, pattern):
            kind, value = _pattern(pattern.predicate)
            return _leaf(kind, occur, position, field, value)


def _leaf(kind: str, occur: Occur, position: int, field: Field, value: str) -> Explanation:
    return Explanation(kind, occur.value, position, field.name, field.kind.value, value)


def _pattern(predicate: Predicate) -> tuple[str, str]:
    match predicate:
        case StartsWith(text):
            return "prefix", _literal(text) + "*"
        case Glob(segments):
            return "wildcard", "*".join("?".join(map(_literal, segment.split("\n"))) for segment in segments)
        case Near(text, edits):
            return "fuzzy", f"{text}~{edits}"
        case Between(low, high, low_inclusive, high_inclusive):
            opening, closing = "[" if low_inclusive else "{", "]" if high_inclusive else "}"
            return "range", f"{opening}{_bound(low)} TO {_bound(high)}{closing}"
        case RegularExpression(text):
            return "regex", f"/{text}/"


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def _bound(text: str | None) -> str:
    return "*" if text is None else f'"{text}"' if text == "*" or " " in text else text


def _number(field: Field, number: int | None) -> str:
    if number is None:
        return "*"
    try:
        return format_time(number) if field.is_time else str(number)
    except OverflowError:
        return str(number)
