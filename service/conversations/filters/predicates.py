"""Writes a typed expression as a predicate: what a query asks, to be asked of one document.

A predicate is JSON, arrays whose first value tells the kind:

    ["and", predicate...], ["or", predicate...], ["not", predicate]
    ["values", field, value...]         the field has any of the values, in lower case
    ["words", term...]                  the text has any of the index terms
    ["phrase", slop, term...]           the text has the terms as a phrase, as in generator.PhraseCheck
    ["numbers", field, low, high...]    the number lies in any of the ranges, ends included
    ["start", text]                     the id begins with the text

`store/lua/lib/predicate.lua` is its reader.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from conversations.filters.expressions import IdPrefix, WordPhrase
from conversations.filters.indexed import TEXT, phrase_terms, values_of
from conversations.filters.nodes import Atom, Junction, Leaf, Node, Numbers
from conversations.filters.patterns import WordPattern

__all__ = ["predicate_of"]

_MAX_CHARACTERS = 16384
"""Room for every filter without patterns. To read a longer one takes Redis longer than many a search that it saves."""

_OPEN = 1e300
"""Stands for infinity, which JSON does not have."""


def predicate_of(node: Node, words: Mapping[WordPattern, Sequence[str]]) -> str:
    """Return the predicate of a node, or nothing for one that would be too long.

    Args:
        node: What the filter asks.
        words: The words that each of its patterns matches.
    """
    # Each word takes a character at least: that much need not be written to be seen.
    if sum(len(found) for found in words.values()) > _MAX_CHARACTERS:
        return ""
    text = json.dumps(_predicate(node, words), separators=(",", ":"))
    return text if len(text) <= _MAX_CHARACTERS else ""


def _predicate(node: Node, words: Mapping[WordPattern, Sequence[str]]) -> list[Any]:
    match node:
        case bool():
            return ["and"] if node else ["or"]
        case Atom(leaf, negated):
            predicate = _leaf(leaf, words)
            return ["not", predicate] if negated else predicate
        case Junction(is_intersection, parts):
            return ["and" if is_intersection else "or", *(_predicate(part, words) for part in parts)]


def _leaf(leaf: Leaf, words: Mapping[WordPattern, Sequence[str]]) -> list[Any]:
    match leaf:
        case Numbers(index_field, spans):
            bounds = [min(max(bound, -_OPEN), _OPEN) for span in spans for bound in span]
            return ["numbers", index_field, *bounds]
        case WordPhrase():
            return ["phrase", leaf.slop, *phrase_terms(leaf)]
        case IdPrefix(_, text):
            return ["start", text]
        case _:
            index_field, values = values_of(leaf, words)
            return ["words", *values] if index_field == TEXT else ["values", index_field, *values]
