"""Writes a plan as a query of RediSearch, dialect 2.

Four rules keep the engine exact:

- Only single parts are negated, and inside an intersection a negation is doubled, `((-(a))|(-(a)))`: the engine loses
  and invents hits if an intersection has a bare negation as a child.
- A union that contains a negation is written as nested unions of a few parts: from 21 parts on the engine merges them
  with a heap, and loses hits.
- Everything is in parentheses, and the most deeply nested part of a group comes first: the engine's parser has a stack
  of limited height, and this order needs the least of it.
- Text goes into the query as index terms, which are ASCII letters and digits, or as tag values with every other
  character escaped. No text of a filter can become syntax.

Source:
    https://redis.io/docs/latest/develop/ai/search-and-query/advanced-concepts/query_syntax/
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from conversations.filters.expressions import Exists, ValuePrefix
from conversations.filters.plan import AnyOf, Group, Leaf, Matching, Negation, Phrase, Plan, is_native
from conversations.filters.simplify import Numbers
from conversations.filters.spans import Span
from conversations.schema import ID, TERMS_KEY

__all__ = ["write_query"]


_NOTHING = f"(@{ID.key}:{{none}})"


def write_query(plan: Plan) -> str:
    """Return a plan without `Matching` as text, with the candidates of a phrase that the engine cannot say.

    `*` for every document; otherwise in parentheses and fit to be a part of a larger query.
    """
    if isinstance(plan, bool):
        return "*" if plan else _NOTHING
    return _write(plan).text


_LEAF_HEIGHT = 4
"""Height on the engine's stack of a part without subparts, doubled negation included."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a query."""

    text: str
    height: int
    """How much of the engine's stack it needs."""
    negates: bool
    """Whether it contains a negation."""


def _write(plan: Leaf | Negation | Group) -> _Part:
    match plan:
        case Group(is_intersection, parts):
            written = [_write(part) for part in parts] if is_intersection else _union(parts)
            return _group(written, is_intersection=is_intersection)
        case Negation(part, is_doubled):
            inner = _write(part)
            negation = f"(-{inner.text})"
            return _Part(f"({negation}|{negation})" if is_doubled else negation, inner.height, True)
        case Numbers(key, spans):
            return _group([_range(key, span) for span in spans], is_intersection=False)
        case Phrase():
            return _leaf(_phrase(plan))
        case AnyOf() | Exists() | ValuePrefix():
            return _any_word(*_values(plan))
        case Matching():
            raise AssertionError("the engine cannot be asked for a pattern")


def _union(parts: Iterable[Leaf | Negation | Group]) -> list[_Part]:
    """Return the parts of a union: all words of one kind are one, each span of numbers is another."""
    written: list[_Part] = []
    negations: list[_Part] = []
    words: dict[str, dict[str, None]] = {}
    for part in parts:
        match part:
            case Negation():
                negations.append(_write(part))
            case AnyOf() | Exists() | ValuePrefix():
                key, values = _values(part)
                words.setdefault(key, {}).update(dict.fromkeys(values))
            case Numbers(key, spans):
                written += [_range(key, span) for span in spans]
            case _:
                written.append(_write(part))
    return written + [_any_word(key, values) for key, values in words.items()] + negations


def _phrase(phrase: Phrase) -> str:
    """Return a phrase as the engine says it exactly, or else what may have it."""
    words = phrase.terms
    slop = min(phrase.slop, _MAX_SLOP)
    if not is_native(words, slop):
        return _candidates(words, slop)
    if len(words) == 2 and words[0] == words[1]:
        return f"@x:({words[0]} {words[1]})=>{{$slop:{slop}}}"
    if slop == 0:
        return f'@x:("{" ".join(words)}")'
    if slop == 1:
        return f"@x:({' '.join(words)})=>{{$slop:1;$inorder:true}}"
    first, second = words
    ordered = f"@x:({first} {second})=>{{$slop:{slop};$inorder:true}}"
    return f"({ordered})|(@x:({second} {first})=>{{$slop:{slop - 2};$inorder:true}})"


_MAX_SLOP = 2**30
"""More positions than any text has; the engine reads a slop as a 32-bit number."""


def _candidates(words: Sequence[str], slop: int) -> str:
    """Return a query for documents with the words, in any order, as close to each other as in the phrase."""
    distinct = list(dict.fromkeys(words))
    together = f"@x:({' '.join(distinct)})"
    if len(distinct) == 1:
        return together
    return f"{together}=>{{$slop:{slop + len(words) - len(distinct)}}}"


def _values(leaf: AnyOf | Exists | ValuePrefix) -> tuple[str, Sequence[str]]:
    """Return a field of the index, and the values, as written in a query, of which a document has any."""
    match leaf:
        case Exists(field):
            return TERMS_KEY, [field.exists or ""]
        case ValuePrefix(field, text):
            return field.key, [f"{_escape(text)}*"]
        case AnyOf(field, values):
            return field.key, [_escape(value) for value in values] if field.is_tag else values


def _leaf(text: str) -> _Part:
    return _Part(f"({text})", _LEAF_HEIGHT, False)


def _range(key: str, span: Span) -> _Part:
    low, high = span
    return _leaf(f"@{key}:[{low} {'+inf' if high == inf else high}]")


def _any_word(key: str, words: Iterable[str]) -> _Part:
    either = "|".join(words)
    return _leaf(f"@{key}:({either})" if key == TERMS_KEY else f"@{key}:{{{either}}}")


_FEW = 5
"""Parts of a union with a negation. The engine flattens a first part that is a union, and the first part of that one
again: 5, then 4 for each level, which stays below 21 for 625 parts."""


def _group(parts: list[_Part], *, is_intersection: bool) -> _Part:
    parts.sort(key=lambda part: -part.height)
    if not is_intersection and any(part.negates for part in parts):
        while len(parts) > _FEW:
            parts = [_joined(parts[i : i + _FEW], "|") for i in range(0, len(parts), _FEW)]
    return _joined(parts, " " if is_intersection else "|")


def _joined(parts: Sequence[_Part], separator: str) -> _Part:
    if len(parts) == 1:
        return parts[0]
    text = separator.join(part.text for part in parts)
    height = max(parts[0].height + 1, parts[1].height + 4)
    return _Part(f"({text})", height, any(part.negates for part in parts))


_TO_ESCAPE = re.compile(r"[\x01-/:-@\[-`{-\x7f]")


def _escape(value: str) -> str:
    """Return an escaped tag value: a backslash before all of ASCII except letters and digits.

    Source:
        https://redis.io/docs/latest/develop/ai/search-and-query/advanced-concepts/escaping/
    """
    return _TO_ESCAPE.sub(r"\\\g<0>", value)
