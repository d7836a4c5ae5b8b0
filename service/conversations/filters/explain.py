"""Filters explained in text."""

import dataclasses
from dataclasses import dataclass

from conversations.filters.compiler import CompiledFilter, Query, asked_of
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
from conversations.filters.patterns import Between, Glob, Near, Predicate, RegularExpression, StartsWith
from conversations.schema import Field, has_column
from conversations.times import format_time

__all__ = ["Answer", "Explanation", "explain", "explain_text", "leaves", "render"]


_WAYS = ("index", "words", "conversations")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a clause is answered if it is the whole filter."""

    by: str
    """`index`: by the search engine; `words`: by the words of its field in all conversations; `conversations`: by
    looking at conversations one by one."""
    query: Query
    predicate: bytes


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
    answer: Answer | None = dataclasses.field(default=None, compare=False)
    """How it is answered, if it is no group."""

    @property
    def answered_by(self) -> str:
        """`index`, `words` or `conversations`; of a group, the last of these that a clause needs."""
        if self.answer is not None:
            return self.answer.by
        return max((child.answered_by for child in self.children), key=_WAYS.index, default="index")


def explain(compiled: CompiledFilter) -> Explanation:
    """Return a filter's tree, with fields, types and values."""
    return _explain(compiled.expression, Occur.REQUIRED)


def leaves(explanation: Explanation) -> list[Explanation]:
    """Return the parts of a tree that are no groups, in order."""
    if explanation.answer is not None:
        return [explanation]
    return [leaf for child in explanation.children for leaf in leaves(child)]


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


_BY = {"index": "the index", "words": "words", "conversations": "looking at conversations"}


def _lines(part: Explanation, level: int) -> list[str]:
    field = f"{part.field} ({part.type})" if part.field else ""
    by = f"(by {_BY[part.answered_by]})" if part.answer is not None else ""
    words = (part.occur if level else "", part.kind, field, part.value, by)
    line = "  " * level + " ".join(word for word in words if word)
    return [line, *(inner for child in part.children for inner in _lines(child, level + 1))]


def _explain(expression: BoundExpression, occur: Occur) -> Explanation:
    if isinstance(expression, Boolean):
        children = tuple(_explain(clause.expression, clause.occur) for clause in expression.clauses)
        return Explanation("group", occur.value, expression.position, children=children)
    return dataclasses.replace(_explain_leaf(expression, occur), answer=_answer(expression))


def _answer(expression: BoundExpression) -> Answer:
    query, predicate = asked_of(expression)
    if query.is_exact:
        return Answer("index", query, predicate)
    has_words = isinstance(expression, Pattern | IdRange | ValuePrefix | WordPhrase) and has_column(expression.field)
    return Answer("words" if has_words else "conversations", query, predicate)


def _explain_leaf(expression: BoundExpression, occur: Occur) -> Explanation:
    position = expression.position
    match expression:
        case Boolean():
            raise AssertionError("a group is no leaf")
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
