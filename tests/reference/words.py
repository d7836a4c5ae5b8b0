"""A conversation as filters see it: words and numbers by field."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

__all__ = ["NUMBERS", "WHITE_SPACE", "Fields", "RefusedError", "fields", "lower", "split"]

NUMBERS = {"created_at", "last_message_at", "unread_count"}


class RefusedError(Exception):
    """The filter is no filter."""


@dataclass(frozen=True)
class Fields:
    """One conversation as filters see it."""

    texts: Mapping[str, Sequence[Sequence[str]]]
    """By field, its values, each as its words in order."""
    words: Mapping[str, frozenset[str]]
    """By field, all words of all its values."""
    numbers: Mapping[str, int]
    """By field, its number."""


WHITE_SPACE = re.compile(r"[\t-\r\x1c-\x20\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000]+")


def lower(text: str) -> str:
    """Lower-case code point by code point."""
    return "".join("i" if c == "\u0130" else c.lower() for c in text)


def split(text: str) -> list[str]:
    """Return the words of a text."""
    return [word for word in WHITE_SPACE.split(lower(text)) if word]


def fields(facts: Mapping[str, Any]) -> Fields:
    """Derive what filters see from the facts of a conversation, as `Model.facts` gives them."""
    metadata = facts["metadata"]
    texts: dict[str, list[list[str]]] = {
        "id": [[lower(facts["id"])]],
        "channel_id": [[lower(facts["channel_id"])]],
        "source": [[lower(facts["source"])]],
        "state": [[lower(metadata["state"])]] if "state" in metadata else [],
        "display_name": [split(facts["display_name"])],
        "tag_ids": [split(tag) for tag in metadata.get("tags", {})],
    }
    for path, leaf in leaves("metadata", metadata):
        texts.setdefault(path, []).append(split(leaf))
    words = {field: frozenset(word for value in values for word in value) for field, values in texts.items()}
    return Fields(texts, words, {field: facts[field] for field in NUMBERS})


def leaves(path: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(f"{path}.{key}", child)
    elif isinstance(value, list):
        for child in value:
            yield from leaves(path, child)
    elif isinstance(value, bool):
        yield path, str(value).lower()
    elif isinstance(value, int | float):
        yield from ((path, text) for text in dict.fromkeys((shortest(value), shown(value))))
    elif value is not None:
        yield path, value


def shown(number: int | float) -> str:
    """Return a number as C++ prints it: fifteen digits, or seventeen where these are another number."""
    return next(text for text in (f"{number:.15g}", f"{number:.17g}") if float(text) == number)


def shortest(number: int | float) -> str:
    if number == int(number):
        return str(int(number))
    return format(Decimal(repr(number)), "f")
