"""The service's patterns, as Redis matches them, and as the reference does."""

import re
from collections.abc import Iterable
from typing import Any

from tests.lua.interpreter import Modules
from tests.reference.patterns import WordTest, fuzzy, wildcard
from tests.reference.regexes import regex

from conversations.filters.patterns import (
    Between,
    Glob,
    Near,
    Predicate,
    RegularExpression,
    StartsWith,
    WordPattern,
)

__all__ = ["LUA", "in_latin", "matching", "reference", "table_of"]

LUA = Modules()


def in_latin(value: Any) -> Any:
    """Return a value with its texts as the interpreter takes them: a character for each byte of UTF-8."""
    match value:
        case str():
            return value.encode().decode("latin-1")
        case bytes():
            return value.decode("latin-1")
        case list():
            return list(map(in_latin, value))
        case _:
            return value


def table_of(predicate: Predicate) -> Any:
    """Return a pattern as Redis has it after unpacking."""
    return LUA.table(in_latin(WordPattern("display_name", predicate, 0).spec()))


def matching(predicate: Predicate, words: Iterable[str]) -> list[str]:
    """Return the words that match, in their order."""
    table = table_of(predicate)
    return [word for word in words if LUA.patterns.matches(table, in_latin(word))]


def reference(predicate: Predicate) -> WordTest:
    """Return whether a word matches by the rules that filters were translated from."""
    match predicate:
        case StartsWith(text):
            return lambda word: word.startswith(text)
        case Glob(segments):
            return wildcard("*".join(re.sub(r"[\s\S]", _image, segment) for segment in segments))
        case Near(text, edits):
            return fuzzy(text, str(edits))
        case Between(low, high, low_inclusive, high_inclusive):
            return lambda word: (
                (low is None or word > low or (word == low and low_inclusive))
                and (high is None or word < high or (word == high and high_inclusive))
            )
        case RegularExpression(text):
            return regex(text)


def _image(match: re.Match[str]) -> str:
    return "?" if match[0] == "\n" else "\\" + match[0]
