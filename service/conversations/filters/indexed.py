"""What a document of the index has where a leaf of a filter matches: which field, and which values."""

from collections.abc import Mapping, Sequence

from conversations import terms
from conversations.filters.expressions import Exists, Pattern, Term, WordPhrase
from conversations.filters.fields import METADATA_PREFIX, Field, FieldKind
from conversations.filters.patterns import WordPattern

__all__ = ["TEXT", "phrase_terms", "values_of"]

TEXT = "x"
"""The field of all text, which holds index terms."""

_FIELDS = {"id": "id", "channel_id": "ch", "source": "src", "state": "st", "tag_ids": "tg"}


def values_of(leaf: Term | Pattern | Exists, words: Mapping[WordPattern, Sequence[str]]) -> tuple[str, Sequence[str]]:
    """Return a field of the index and values, of which a document that matches has any."""
    match leaf:
        case Term(field, word):
            return _indexed(field, [word])
        case Pattern(field, pattern):
            return _indexed(field, words[pattern])
        case Exists(field):
            return _existing(field)


def phrase_terms(phrase: WordPhrase) -> list[str]:
    """Return the index terms of a phrase, in its order."""
    return [_term(phrase.field, word) for word in phrase.words]


def _indexed(field: Field, words: Sequence[str]) -> tuple[str, Sequence[str]]:
    if field.name in _FIELDS:
        return _FIELDS[field.name], words
    return TEXT, [_term(field, word) for word in words]


def _term(field: Field, word: str) -> str:
    if field.kind is FieldKind.METADATA:
        return terms.metadata_term(field.name.removeprefix(METADATA_PREFIX), word)
    return terms.name_term(word)


def _existing(field: Field) -> tuple[str, list[str]]:
    if field.name == "state":
        return _FIELDS["state"], ["open", "closed"]
    if field.name == "tag_ids":
        return TEXT, [terms.TAGS_EXIST]
    if field.kind is FieldKind.METADATA:
        return TEXT, [terms.metadata_exists(field.name.removeprefix(METADATA_PREFIX))]
    return TEXT, [terms.NAME_EXISTS]
