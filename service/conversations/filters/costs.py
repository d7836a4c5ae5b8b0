"""What a query may cost the search engine, which does one thing at a time.

The engine goes through the documents of every word, range and phrase, and through all documents for a negation, and
each group handles again what its parts give. The costs below are about what that takes in milliseconds over 100,000
conversations, most of which match. Where few do it takes far less: how many is not known before. A text is taken to
have a handful of words. Whoever runs a query knows how many conversations there are, and refuses what is too much.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from conversations.filters.expressions import Exists, IdPrefix, Pattern, Term, WordPhrase
from conversations.filters.fields import Field, FieldKind
from conversations.filters.nodes import Atom, Junction, Leaf, Node, Numbers, is_native, parts_of
from conversations.filters.patterns import WordPattern

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


def cost_of(node: Node, words: Mapping[WordPattern, Sequence[str]]) -> float:
    """Return what a node may cost, in milliseconds over 100,000 conversations.

    Args:
        node: What the filter asks.
        words: The words that each of its patterns matches.
    """
    return 0.0 if isinstance(node, bool) else _cost(node, words, in_intersection=True)


def _cost(node: Atom | Junction, words: Mapping[WordPattern, Sequence[str]], *, in_intersection: bool) -> float:
    parts = parts_of(node, in_intersection=in_intersection)
    both = parts.is_intersection
    costs = [_cost(group, words, in_intersection=both) for group in parts.groups]
    costs += _leaf_costs(parts.leaves, words, is_intersection=both)
    if parts.negated:
        inner = _group(_leaf_costs(parts.negated, words, is_intersection=not both))
        costs.append(_DOUBLED * inner + 2 * _NEGATION if parts.doubled else inner + _NEGATION)
    return _group(costs)


def _group(costs: list[float]) -> float:
    return sum(costs) + (_GROUP if len(costs) > 1 else 0.0)


def _leaf_costs(
    leaves: Iterable[Leaf], words: Mapping[WordPattern, Sequence[str]], *, is_intersection: bool
) -> list[float]:
    costs = []
    counts: Counter[Field] = Counter()
    for leaf in leaves:
        match leaf:
            case Numbers(index_field, spans):
                costs.append((_RANGE_OF_COUNTS if index_field == "un" else _RANGE) + _SPAN * len(spans))
            case WordPhrase():
                costs.append(_phrase(leaf))
            case Exists():
                costs.append(_EXISTS)
            case Term(field) | IdPrefix(field):
                counts[field] += 1
            case Pattern(field, pattern) if is_intersection:
                costs.append(_some_words(field, len(words[pattern])))
            case Pattern(field, pattern):
                counts[field] += len(words[pattern])
    return costs + [_some_words(field, count) for field, count in counts.items()]


def _some_words(field: Field, count: int) -> float:
    if field.name == "id":
        return _RARE_WORD * count
    return _RARE_WORD * count + min(_WORD * count, _MOST_FOR_WORDS[field.kind])


def _phrase(phrase: WordPhrase) -> float:
    distinct = len(set(phrase.words))
    cost = min(_PHRASE_WORD * distinct, _MOST_FOR_WORDS[phrase.field.kind])
    cost += _PHRASE_WORD * (len(phrase.words) - distinct)
    if not is_native(phrase):
        return cost + _PHRASE_CHECK
    # Two words in either order are two phrases.
    return 2 * cost if phrase.slop > 1 else cost
