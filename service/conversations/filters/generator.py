"""Writes a typed expression as a query of RediSearch, dialect 2.

Four rules keep the engine exact:

- Negation stands at single parts only, and inside an intersection it is doubled, `((-(a))|(-(a)))`: the engine loses
  and invents hits where an intersection has a bare negation as a child.
- A union with a negation anywhere in it is written as unions of a few parts: from 21 parts on the engine takes them
  from a heap, and loses hits.
- Everything is in parentheses, and of the parts of a group the most deeply nested comes first: the engine's parser
  keeps what it has read on a stack of limited height, and this order needs the least of it.
- Text goes into the query as index terms, which are ASCII letters and digits, or as tag values with every other
  character escaped. Nothing that a filter says can become syntax.

Source:
    https://redis.io/docs/latest/develop/ai/search-and-query/advanced-concepts/query_syntax/
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf

from conversations.errors import FilterTooBroadError
from conversations.filters.costs import cost_of
from conversations.filters.expressions import Exists, IdPrefix, Pattern, Term, WordPhrase
from conversations.filters.indexed import TEXT, phrase_terms, values_of
from conversations.filters.nodes import (
    Atom,
    Junction,
    Leaf,
    Node,
    Numbers,
    Span,
    is_native,
    parts_of,
    patterns_of,
    without_empty,
)
from conversations.filters.patterns import WordPattern
from conversations.filters.predicates import predicate_of

__all__ = ["PhraseCheck", "Query", "generate"]


@dataclass(frozen=True, slots=True)
class PhraseCheck:
    """A phrase that the engine cannot say: whoever runs the query looks for the documents that have it.

    A document has it if its text holds the terms at different positions p0, p1, ... for which the largest p_i - i
    less the smallest is `slop` at most.
    """

    candidates: str
    """Query for documents that may have it: all that do, and others."""
    terms: tuple[str, ...]
    """Index terms in the order of the phrase, repeated where a word is."""
    slop: int


@dataclass(frozen=True, slots=True)
class Query:
    """A query of RediSearch, to be run VERBATIM in dialect 2."""

    text: str
    """`*` for every document; otherwise in parentheses and fit to be a part of a larger query. `<<i>>` stands for what
    phrase check i found, as a query."""
    phrase_checks: tuple[PhraseCheck, ...]
    cost: int = field(default=0, compare=False)
    """About how many milliseconds it takes over 100,000 conversations, if most of them match."""
    predicate: str = field(default="", compare=False)
    """The same of one document, as in predicates.py; empty where that would be too long."""


_NOTHING = "(@id:{none})"


def generate(node: Node, words: Mapping[WordPattern, Sequence[str]], max_words: int) -> Query:
    """Return the query for a simplified expression.

    Args:
        node: What the filter asks.
        words: The words that each of its patterns matches.
        max_words: The most words that all of its patterns together may match.

    Raises:
        FilterTooBroadError: They match more.
    """
    node = without_empty(node, words)
    _check_breadth(patterns_of(node), words, max_words)
    query = _Writer(words).query(node)
    return replace(query, cost=ceil(cost_of(node, words)), predicate=predicate_of(node, words))


def _check_breadth(patterns: Sequence[WordPattern], words: Mapping[WordPattern, Sequence[str]], max_words: int) -> None:
    total = sum(len(words[pattern]) for pattern in patterns)
    if total <= max_words:
        return
    widest = max(patterns, key=lambda pattern: len(words[pattern]))
    share = len(words[widest])
    what = (
        f"this pattern matches {total}" if share == total else f"the patterns match {total} together, this one {share}"
    )
    raise FilterTooBroadError(
        f"at position {widest.position}: {what} different words of {max_words} at most; ask for more of the word",
        widest.position,
        words=str(total),
        limit=str(max_words),
    )


_LEAF_HEIGHT = 4
"""What a part without parts of its own takes of the engine's stack, doubled negation included."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a query."""

    text: str
    height: int
    """How high the engine's stack gets over it."""
    negates: bool
    """Whether there is a negation in it."""


class _Writer:
    """Writes one query and gathers its phrase checks."""

    def __init__(self, words: Mapping[WordPattern, Sequence[str]]) -> None:
        self._words = words
        self._checks: dict[PhraseCheck, int] = {}

    def query(self, node: Node) -> Query:
        if isinstance(node, bool):
            return Query("*" if node else _NOTHING, ())
        # The reader may put the query into an intersection.
        part = self._write(node, in_intersection=True)
        return Query(part.text, tuple(self._checks))

    def _write(self, node: Atom | Junction, *, in_intersection: bool) -> _Part:
        parts = parts_of(node, in_intersection=in_intersection)
        both = parts.is_intersection
        written = [self._write(group, in_intersection=both) for group in parts.groups]
        written += self._leaves(parts.leaves, is_intersection=both)
        if parts.negated:
            # Each negation takes the engine a walk over all documents: one for all of them.
            part = _group(self._leaves(parts.negated, is_intersection=not both), is_intersection=not both)
            negation = f"(-{part.text})"
            written.append(_Part(f"({negation}|{negation})" if parts.doubled else negation, part.height, True))
        return _group(written, is_intersection=both)

    def _leaves(self, leaves: Iterable[Leaf], *, is_intersection: bool) -> list[_Part]:
        """Return the parts of an intersection or a union; a union of words is one part."""
        written = []
        words: dict[str, dict[str, None]] = {}
        for leaf in leaves:
            match leaf:
                case Numbers(index_field, spans):
                    ranges = [_range(index_field, span) for span in spans]
                    written += [_group(ranges, is_intersection=False)] if is_intersection else ranges
                case WordPhrase():
                    written.append(_leaf(self._phrase(leaf)))
                case _:
                    index_field, some = self._any_of(leaf)
                    if is_intersection:
                        written.append(_any_word(index_field, some))
                    else:
                        words.setdefault(index_field, {}).update(dict.fromkeys(some))
        return written + [_any_word(index_field, some) for index_field, some in words.items()]

    def _any_of(self, leaf: Term | Pattern | IdPrefix | Exists) -> tuple[str, list[str]]:
        """Return a field of the index and words of it, as they are written, of which a document has any."""
        if isinstance(leaf, IdPrefix):
            return "id", [f"{_escape(leaf.text)}*"]
        index_field, values = values_of(leaf, self._words)
        return index_field, list(values) if index_field == TEXT else [_escape(value) for value in values]

    def _phrase(self, phrase: WordPhrase) -> str:
        """Return a phrase as the engine says it exactly, or else the mark of a phrase check."""
        words = phrase_terms(phrase)
        slop = min(phrase.slop, _MAX_SLOP)
        if not is_native(phrase):
            check = PhraseCheck(_candidates(words, slop), tuple(words), slop)
            return f"<<{self._checks.setdefault(check, len(self._checks))}>>"
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
    """Return a query for what has the words, in any order, as near to each other as they are in the phrase."""
    distinct = list(dict.fromkeys(words))
    together = f"@x:({' '.join(distinct)})"
    if len(distinct) == 1:
        return together
    return f"{together}=>{{$slop:{slop + len(words) - len(distinct)}}}"


def _leaf(text: str) -> _Part:
    return _Part(f"({text})", _LEAF_HEIGHT, False)


def _range(index_field: str, span: Span) -> _Part:
    low, high = span
    return _leaf(f"@{index_field}:[{low} {'+inf' if high == inf else high}]")


def _any_word(index_field: str, words: Iterable[str]) -> _Part:
    either = "|".join(words)
    return _leaf(f"@x:({either})" if index_field == TEXT else f"@{index_field}:{{{either}}}")


_FEW = 5
"""Parts of a union with a negation. The engine makes a first part that is a union, and the first part of that one,
parts of the whole again: 5, then 4 for each level, which stays below 21 for 625 parts."""


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
    """Return a tag value as the engine reads it back: a backslash before all of ASCII but letters and digits.

    Source:
        https://redis.io/docs/latest/develop/ai/search-and-query/advanced-concepts/escaping/
    """
    return _TO_ESCAPE.sub(r"\\\g<0>", value)
