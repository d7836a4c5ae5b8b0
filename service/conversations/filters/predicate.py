"""Writes a plan as a predicate: the query in a form that is evaluated on one document.

A predicate consists of arrays whose first value is the kind, in MessagePack, as patterns have binary texts:

    ["and", predicate...], ["or", predicate...], ["not", predicate]
    ["values", field, value...]         the field has any of the values, in lower case
    ["words", term...]                  the text has any of the index terms
    ["phrase", slop, term...]           the text has the terms as a phrase, as in query.PhraseCheck
    ["numbers", field, low, high...]    the number lies in any of the ranges, ends included
    ["start", text]                     the id begins with the text
    ["matches", prefix, pattern]        the text has an index term behind a prefix whose word matches the pattern
    ["value_matches", field, pattern]   a value of the field does, in lower case

Patterns have the form that lua/lib/patterns.lua reads.

`is_match` in lua/lib/predicate.lua evaluates it.
"""

from typing import Any

import msgpack

from conversations.filters.expressions import Exists, IdPrefix
from conversations.filters.plan import AnyOf, Group, Matching, Negation, Phrase, Plan
from conversations.filters.simplify import Numbers

__all__ = ["predicate_of"]

_OPEN = 1e300
"""Beyond every number."""


def predicate_of(plan: Plan) -> bytes:
    """Return the predicate of a plan."""
    # cmsgpack in Redis has one type for text and bytes.
    data: bytes = msgpack.packb(_predicate(plan), use_bin_type=False)
    return data


def _predicate(plan: Plan) -> list[Any]:
    match plan:
        case bool():
            return ["and"] if plan else ["or"]
        case Group(is_intersection, parts):
            return ["and" if is_intersection else "or", *map(_predicate, parts)]
        case Negation(part):
            return ["not", _predicate(part)]
        case Numbers(key, spans):
            return ["numbers", key, *(min(max(bound, -_OPEN), _OPEN) for span in spans for bound in span)]
        case Phrase(_, terms, slop):
            return ["phrase", slop, *terms]
        case IdPrefix(_, text):
            return ["start", text]
        case Exists(field):
            return ["words", field.exists]
        case Matching(field, pattern) if field.is_tag:
            return ["value_matches", field.key, pattern.spec()]
        case Matching(field, pattern):
            return ["matches", field.prefix, pattern.spec()]
        case AnyOf(field, values):
            return ["values", field.key, *values] if field.is_tag else ["words", *values]
