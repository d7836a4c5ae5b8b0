"""The estimated cost of a query for the search engine, which is single-threaded.

The engine goes through the documents of every word, range and phrase, and through all documents for a negation, and
each group handles again what its parts yield. The costs below are roughly milliseconds over 100,000 conversations, most
of which match. If few match it takes far less, but that is not known in advance. A text is assumed to have a handful of
words. The function that runs a query knows how many conversations there are, and refuses what is too expensive.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from conversations.filters.expressions import Exists, IdPrefix
from conversations.filters.plan import AnyOf, Group, Leaf, Matching, Negation, Phrase, Plan, is_native
from conversations.filters.simplify import Numbers
from conversations.schema import FIELDS, ID, Field, FieldKind

__all__ = ["cost_of"]

_WORD = 2.0
_EXISTS = 3.0
_MOST_FOR_WORDS = {FieldKind.KEYWORD: 16.0, FieldKind.TEXT: 20.0, FieldKind.METADATA: 30.0}
"""Upper bound for any number of words of a field: a document has only some of them."""
_RARE_WORD = 1 / 350
"""What each word adds; for an id this is all."""
_RANGE = 11.0
_RANGE_OF_COUNTS = 4.0
"""There are few distinct counts, each with its own list."""
_SPAN = 0.1
_GROUP = 2.0
_NEGATION = 3.0
_DOUBLED = 1.5
"""Cost factor of a doubled negation's part: below two, as documents that match the part yield nothing."""
_PHRASE_WORD = 1.5
_PHRASE_CHECK = 10.0
"""In addition to the check of each candidate, whose number is limited elsewhere."""
_FEW_VALUES = frozenset(field.key for field in FIELDS if field.has_few_values)


def cost_of(plan: Plan) -> float:
    """Return the estimated cost of a plan, in milliseconds over 100,000 conversations."""
    match plan:
        case bool():
            return 0.0
        case Group(_, parts):
            return sum(_costs(parts)) + _GROUP
        case Negation(part, is_doubled):
            return _DOUBLED * cost_of(part) + 2 * _NEGATION if is_doubled else cost_of(part) + _NEGATION
        case Numbers(key, spans):
            return (_RANGE_OF_COUNTS if key in _FEW_VALUES else _RANGE) + _SPAN * len(spans)
        case Phrase():
            return _phrase(plan)
        case Exists():
            return _EXISTS
        case IdPrefix():
            return _RARE_WORD
        case AnyOf(field, values):
            return _any_word(field, len(values))
        case Matching():
            return 0.0


def _costs(parts: Iterable[Leaf | Negation | Group]) -> Iterator[float]:
    """Yield the costs of a group's parts; its single words of one field count as one part."""
    counts: Counter[Field] = Counter()
    for part in parts:
        if isinstance(part, AnyOf) and len(part.values) == 1:
            counts[part.field] += 1
        else:
            yield cost_of(part)
    yield from (_any_word(field, count) for field, count in counts.items())


def _any_word(field: Field, count: int) -> float:
    if field is ID:
        return _RARE_WORD * count
    return _RARE_WORD * count + min(_WORD * count, _MOST_FOR_WORDS[field.kind])


def _phrase(phrase: Phrase) -> float:
    distinct = len(set(phrase.terms))
    cost = min(_PHRASE_WORD * distinct, _MOST_FOR_WORDS[phrase.field.kind])
    cost += _PHRASE_WORD * (len(phrase.terms) - distinct)
    if not is_native(phrase.terms, phrase.slop):
        return cost + _PHRASE_CHECK
    # Two words in either order are two phrases.
    return 2 * cost if phrase.slop > 1 else cost
