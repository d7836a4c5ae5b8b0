"""What a query may cost the search engine, which does one thing at a time.

The engine goes through the documents of every word, range and phrase, and through all documents for a negation, and
each group handles again what its parts give. The costs below are about what that takes in milliseconds over 100,000
conversations, most of which match. Where few do it takes far less: how many is not known before. A text is taken to
have a handful of words. Whoever runs a query knows how many conversations there are, and refuses what is too much.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from conversations.filters.expressions import Exists, IdPrefix
from conversations.filters.plan import AnyOf, Group, Leaf, Negation, Phrase, Plan
from conversations.filters.simplify import Numbers
from conversations.schema import FIELDS, ID, Field, FieldKind

__all__ = ["cost_of"]

_WORD = 2.0
_EXISTS = 3.0
_MOST_FOR_WORDS = {FieldKind.KEYWORD: 16.0, FieldKind.TEXT: 20.0, FieldKind.METADATA: 30.0}
"""However many words of a field are asked for at once: a document has some of them only."""
_RARE_WORD = 1 / 350
"""What any word adds, and all that an id does."""
_RANGE = 11.0
_RANGE_OF_COUNTS = 4.0
"""There are few different counts, each with a list of its own."""
_SPAN = 0.1
_GROUP = 2.0
_NEGATION = 3.0
_DOUBLED = 1.5
"""How often a doubled negation costs what it negates: less than twice, as nothing comes of what matches."""
_PHRASE_WORD = 1.5
_PHRASE_CHECK = 10.0
"""Besides the check of each candidate, of which there is a limit elsewhere."""
_FEW_VALUES = frozenset(field.key for field in FIELDS if field.has_few_values)


def cost_of(plan: Plan) -> float:
    """Return what a plan may cost, in milliseconds over 100,000 conversations."""
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


def _costs(parts: Iterable[Leaf | Negation | Group]) -> Iterator[float]:
    """Yield the costs of a group's parts; its single words of a field cost as one."""
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
    if not phrase.is_native:
        return cost + _PHRASE_CHECK
    # Two words in either order are two phrases.
    return 2 * cost if phrase.slop > 1 else cost
