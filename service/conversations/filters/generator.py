"""Writes a typed expression as a query of RediSearch, dialect 2.

Three rules keep the engine exact:

- Negation stands at single parts only, and inside an intersection it is doubled, `((-(a))|(-(a)))`: the engine loses
  and invents hits where an intersection has a bare negation as a child.
- Everything is in parentheses, and of the parts of a group the most deeply nested comes first: the engine's parser
  keeps what it has read on a stack of limited height, and this order needs the least of it.
- Text goes into the query as index terms, which are ASCII letters and digits, or as tag values with every other
  character escaped. Nothing that a filter says can become syntax.

Source:
    https://redis.io/docs/latest/develop/ai/search-and-query/advanced-concepts/query_syntax/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from conversations import terms
from conversations.errors import FilterTooBroadError
from conversations.filters.expressions import (
    Boolean,
    BoundExpression,
    Everything,
    Exists,
    IdPrefix,
    Nothing,
    NumberRange,
    Occur,
    Pattern,
    Term,
    WordPhrase,
)
from conversations.filters.fields import METADATA_PREFIX, Field, FieldKind
from conversations.filters.patterns import WordPattern

__all__ = ["Node", "PhraseCheck", "Query", "generate", "patterns_of", "simplify"]


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


Leaf = Term | WordPhrase | Pattern | IdPrefix | NumberRange | Exists


@dataclass(frozen=True, slots=True)
class _Atom:
    leaf: Leaf
    negated: bool


@dataclass(frozen=True, slots=True)
class _Junction:
    is_intersection: bool
    parts: tuple["_Atom | _Junction", ...]
    """At least two, none of them a junction of the same kind."""


Node = bool | _Atom | _Junction
"""An expression with negation at its leaves and without constants inside; True matches everything, False nothing."""

_NOTHING = "(@id:{none})"

_TAGS = {"id": "id", "channel_id": "ch", "source": "src", "state": "st", "tag_ids": "tg"}
_NUMBERS = {"created_at": "ca", "last_message_at": "lm", "unread_count": "un"}
_FIRST_GROUP = 8
"""Digits of an id before its first hyphen."""
_ALWAYS_THERE = frozenset({"id", "channel_id", "source", *_NUMBERS})


def simplify(expression: BoundExpression) -> Node:
    """Return an expression in the form in which it can be written, its patterns still open."""
    return _simplify(expression, negated=False)


def _simplify(expression: BoundExpression, *, negated: bool) -> Node:
    match expression:
        case Boolean():
            return _simplify_boolean(expression, negated=negated)
        case Everything():
            return not negated
        case Nothing():
            return negated
        case Exists(field) if field.name in _ALWAYS_THERE:
            return not negated
        case _:
            return _Atom(expression, negated)


def _simplify_boolean(expression: Boolean, *, negated: bool) -> Node:
    required = [clause.expression for clause in expression.clauses if clause.occur is Occur.REQUIRED]
    optional = [clause.expression for clause in expression.clauses if clause.occur is Occur.OPTIONAL]
    parts = [_simplify(part, negated=negated) for part in required]
    if optional and not required:
        parts.append(_join([_simplify(part, negated=negated) for part in optional], negated))
    for clause in expression.clauses:
        if clause.occur is Occur.PROHIBITED:
            parts.append(_simplify(clause.expression, negated=not negated))
    return _join(parts, not negated)


def _without_empty(node: Node, words: Mapping[WordPattern, Sequence[str]]) -> Node:
    """Return a node without the patterns that match no word."""
    match node:
        case _Atom(Pattern(pattern=pattern), negated) if not words[pattern]:
            return negated
        case _Junction(is_intersection, parts):
            return _join([_without_empty(part, words) for part in parts], is_intersection)
        case _:
            return node


def _join(parts: Sequence[Node], is_intersection: bool) -> Node:
    """Return the intersection or the union of parts, flat and without what makes no difference."""
    # Junctions are told apart by identity: to hash them at every level takes quadratic time.
    joined: dict[_Atom | int, _Atom | _Junction] = {}
    for part in parts:
        if isinstance(part, bool):
            if part is not is_intersection:
                return part
            continue
        for one in _flat(part, is_intersection):
            joined.setdefault(one if isinstance(one, _Atom) else id(one), one)
    if len(joined) < 2:
        return next(iter(joined.values()), is_intersection)
    return _Junction(is_intersection, tuple(joined.values()))


def _flat(part: _Atom | _Junction, is_intersection: bool) -> tuple[_Atom | _Junction, ...]:
    if isinstance(part, _Junction) and part.is_intersection is is_intersection:
        return part.parts
    return (part,)


def patterns_of(node: Node) -> list[WordPattern]:
    """Return the patterns in a node, one for each place where it has one."""
    match node:
        case _Atom(Pattern(pattern=pattern)):
            return [pattern]
        case _Junction(parts=parts):
            return [pattern for part in parts for pattern in patterns_of(part)]
        case _:
            return []


def generate(node: Node, words: Mapping[WordPattern, Sequence[str]], max_words: int) -> Query:
    """Return the query for a simplified expression.

    Args:
        node: What the filter asks.
        words: The words that each of its patterns matches.
        max_words: The most words that all of its patterns together may match.

    Raises:
        FilterTooBroadError: They match more.
    """
    node = _without_empty(node, words)
    _check_breadth(patterns_of(node), words, max_words)
    return _Writer(words).query(node)


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


class _Writer:
    """Writes one query and gathers its phrase checks."""

    def __init__(self, words: Mapping[WordPattern, Sequence[str]]) -> None:
        self._words = words
        self._checks: dict[PhraseCheck, int] = {}

    def query(self, node: Node) -> Query:
        if isinstance(node, bool):
            text = "*" if node else _NOTHING
        else:
            # The reader may put the query into an intersection.
            text, _ = self._write(node, in_intersection=True)
        return Query(text, tuple(self._checks))

    def _write(self, node: _Atom | _Junction, *, in_intersection: bool) -> tuple[str, int]:
        """Return the text of a node, and how high the engine's stack gets over it."""
        if isinstance(node, _Atom):
            text = f"({self._leaf(node.leaf)})"
            return (_negated(text, in_intersection=in_intersection) if node.negated else text), _LEAF_HEIGHT
        negated = [part for part in node.parts if isinstance(part, _Atom) and part.negated]
        others = [part for part in node.parts if not isinstance(part, _Atom) or not part.negated]
        written = [self._write(part, in_intersection=node.is_intersection) for part in others]
        if negated:
            # Each negation takes the engine a walk over all documents: one for all of them.
            leaves = [f"({self._leaf(atom.leaf)})" for atom in negated]
            text = leaves[0] if len(leaves) == 1 else f"({('|' if node.is_intersection else ' ').join(leaves)})"
            text = _negated(text, in_intersection=node.is_intersection or (in_intersection and not others))
            written.append((text, _LEAF_HEIGHT))
        if len(written) == 1:
            return written[0]
        written.sort(key=lambda part: -part[1])
        height = max(written[0][1] + 1, written[1][1] + 4)
        separator = " " if node.is_intersection else "|"
        return f"({separator.join(text for text, _ in written)})", height

    def _leaf(self, leaf: Leaf) -> str:
        match leaf:
            case Term(field, word):
                return _any_word(field, [word])
            case Pattern(field, pattern):
                return _any_word(field, self._words[pattern])
            case IdPrefix(_, text):
                return _id_prefix(text)
            case NumberRange(field, low, high):
                return f"@{_NUMBERS[field.name]}:[{'-inf' if low is None else low} {'+inf' if high is None else high}]"
            case Exists(field):
                return _exists(field)
            case WordPhrase(field, words, slop):
                return self._phrase([_term(field, word) for word in words], slop)

    def _phrase(self, words: list[str], slop: int) -> str:
        """Return a phrase as the engine says it exactly, or else the mark of a phrase check."""
        slop = min(slop, _MAX_SLOP)
        if len(words) == 2 and words[0] == words[1]:
            return f"@x:({words[0]} {words[1]})=>{{$slop:{slop}}}"
        if slop == 0 and all(word != following for word, following in pairwise(words)):
            return f'@x:("{" ".join(words)}")'
        if len(words) == 2:
            return _loose_pair(words[0], words[1], slop)
        if slop == 1 and len(set(words)) == len(words):
            return f"@x:({' '.join(words)})=>{{$slop:1;$inorder:true}}"
        candidates = f"@x:({' '.join(dict.fromkeys(words))})"
        check = PhraseCheck(candidates, tuple(words), slop)
        return f"<<{self._checks.setdefault(check, len(self._checks))}>>"


def _negated(text: str, *, in_intersection: bool) -> str:
    return f"((-{text})|(-{text}))" if in_intersection else f"(-{text})"


_MAX_SLOP = 2**30
"""More positions than any text has; the engine reads a slop as a 32-bit number."""


def _loose_pair(first: str, second: str, slop: int) -> str:
    ordered = f"@x:({first} {second})=>{{$slop:{slop};$inorder:true}}"
    if slop < 2:
        return ordered
    return f"({ordered})|(@x:({second} {first})=>{{$slop:{slop - 2};$inorder:true}})"


_FIRST_48_BITS = re.compile("([0-9a-f]{0,8})(?:-([0-9a-f]{0,4}))?")


def _id_prefix(text: str) -> str:
    """Return the beginning of an id: up to 13 characters as a range of the first 48 bits, which costs far less."""
    match = _FIRST_48_BITS.fullmatch(text)
    if match is None or (match[2] is not None and len(match[1]) < _FIRST_GROUP):
        return f"@id:{{{_escape(text)}*}}"
    digits = match[1] + (match[2] or "")
    return f"@ih:[{int(digits.ljust(12, '0'), 16)} {int(digits.ljust(12, 'f'), 16)}]"


def _any_word(field: Field, words: Sequence[str]) -> str:
    tag = _TAGS.get(field.name)
    if tag is not None:
        return f"@{tag}:{{{'|'.join(map(_escape, words))}}}"
    return f"@x:({'|'.join(_term(field, word) for word in words)})"


def _term(field: Field, word: str) -> str:
    if field.kind is FieldKind.METADATA:
        return terms.metadata_term(field.name.removeprefix(METADATA_PREFIX), word)
    return terms.name_term(word)


def _exists(field: Field) -> str:
    if field.name == "state":
        return "@st:{open|closed}"
    if field.name == "tag_ids":
        return f"@x:({terms.TAGS_EXIST})"
    if field.kind is FieldKind.METADATA:
        return f"@x:({terms.metadata_exists(field.name.removeprefix(METADATA_PREFIX))})"
    return f"@x:({terms.NAME_EXISTS})"


_TO_ESCAPE = re.compile(r"[\x01-/:-@\[-`{-\x7f]")


def _escape(value: str) -> str:
    """Return a tag value as the engine reads it back: a backslash before all of ASCII but letters and digits.

    Source:
        https://redis.io/docs/latest/develop/ai/search-and-query/advanced-concepts/escaping/
    """
    return _TO_ESCAPE.sub(r"\\\g<0>", value)
