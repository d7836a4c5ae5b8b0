"""Writes a plan as a predicate: the filter in a form that is evaluated on one document.

A predicate is MessagePack, arrays whose first value is the kind:

    ["and", predicate...], ["or", predicate...], ["not", predicate]
    ["values", key, value...]                       the field has any of the values, in lower case
    ["matching_value", key, pattern]                a value of the field matches
    ["words", column, prefix, term...]              the text has any of the index terms
    ["matching_word", column, prefix, pattern]      the text has an index term with the prefix whose word matches
    ["exists", column, term]                        the text has the index term of all with a value
    ["phrase", column, prefix, slop, term...]       the text has the terms as a phrase, see lua/lib/phrases.lua
    ["numbers", key, low, high...]                  the number lies in any of the ranges, ends included

A key is that of a conversation's hash. A column is the name of the field, under which its words are stored too, or
empty if they are not: see lua/lib/columns.lua. Patterns have the form of WordPattern.spec. `is_match` in
lua/lib/predicate.lua evaluates a predicate.
"""

from typing import Any

import msgpack

from conversations.filters.expressions import Exists, ValuePrefix
from conversations.filters.plan import AnyOf, Group, Matching, Negation, Phrase, Plan
from conversations.filters.simplify import Numbers
from conversations.schema import Field, has_column

__all__ = ["predicate_of"]

_FEW = 8

_OPEN = 1e300
"""Infinity, as every reader of numbers knows it."""

# A filter may have half a surrogate pair, which matches nothing. Redis has one type for text and bytes.
_PACKER = msgpack.Packer(use_bin_type=False, unicode_errors="surrogatepass")


def predicate_of(plan: Plan) -> bytes:
    """Return the predicate of a plan."""
    predicate: bytes = _PACKER.pack(_predicate(plan))
    return predicate


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
        case Phrase(field, terms, slop):
            return ["phrase", _column(field), field.prefix, slop, *terms]
        case ValuePrefix(field, text):
            return ["matching_value", field.key, ["prefix", text]]
        case Exists(field):
            return ["exists", _column(field), field.exists]
        case Matching(field, pattern) if field.is_tag:
            return ["matching_value", field.key, pattern.spec()]
        case Matching(field, pattern):
            return ["matching_word", _column(field), field.prefix, pattern.spec()]
        case AnyOf(field, values) if 1 < len(values) <= _FEW and has_column(field):
            # Each is found in the column by itself.
            return ["or", *(_predicate(AnyOf(field, (value,))) for value in values)]
        case AnyOf(field, values) if field.is_tag:
            return ["values", field.key, *values]
        case AnyOf(field, values):
            return ["words", _column(field), field.prefix, *values]


def _column(field: Field) -> str:
    return field.name if has_column(field) else ""
