"""How text becomes index terms.

Both `store`, which writes documents, and `filters`, which searches them, use it. Text is split into words and
lower-cased as by Lucene's WhitespaceTokenizer and LowerCaseFilter in Java. A word becomes one ASCII term that the
search engine neither splits, folds, stems nor reads as syntax, with a prefix for its field: one TEXT field of the index
holds the terms of all text fields.
"""

import hashlib
import re
import unicodedata
from base64 import b32encode
from functools import lru_cache

__all__ = [
    "NAME_EXISTS",
    "NAME_PREFIX",
    "TAGS_EXIST",
    "index_term",
    "is_blank",
    "lower",
    "metadata_exists",
    "metadata_prefix",
    "metadata_term",
    "name_term",
    "split_words",
]

# Java's Character.isWhitespace: no-break spaces (U+00A0, U+2007, U+202F) and U+0085 are part of a word.
_WORD = re.compile("[^\t-\r\x1c-\x20\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000]+")

# RediSearch silently truncates terms at 128 bytes; a longer term is replaced by its hash.
_MAX_ENCODED_BYTES = 100

NAME_PREFIX = "n"
"""Prefix of the index terms of the display name."""

NAME_EXISTS = "xn"
"""Term of every document whose display name has a word."""

TAGS_EXIST = "xt"
"""Term of every document that has a tag."""


def lower(text: str) -> str:
    """Return text in lower case as Java's Character.toLowerCase gives it: per code point, without context."""
    if text.isascii():
        return text.lower()
    return "".join(map(_lower_code_point, text))


@lru_cache(maxsize=4096)
def _lower_code_point(character: str) -> str:
    if character == "\u0130":
        return "i"
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character


def split_words(text: str) -> list[str]:
    """Return the words of text in order, in lower case."""
    return _WORD.findall(lower(text))


def is_blank(text: str) -> bool:
    """Whether a text has no visible character.

    Source:
        https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point, and U+2800, a Braille cell without a dot.
    """
    return all(
        unicodedata.category(character) in _BLANK_CATEGORIES or _BLANK.fullmatch(character) for character in text
    )


_BLANK_CATEGORIES = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf", "Cs"))
# Of other categories.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def name_term(word: str) -> str:
    """Return the index term of a word of the display name."""
    return index_term(NAME_PREFIX, word)


def metadata_term(path: str, word: str) -> str:
    """Return the index term of a word of the metadata leaf at a dotted path, without the leading `metadata.`."""
    return index_term(metadata_prefix(path), word)


def metadata_prefix(path: str) -> str:
    """Return the prefix of the index terms of the metadata leaf at a dotted path."""
    return f"m{_path_hash(path)}"


def metadata_exists(path: str) -> str:
    """Return the term of every document that has a word in the metadata leaf at a dotted path."""
    return f"x{_path_hash(path)}"


def index_term(prefix: str, word: str) -> str:
    """Return the index term of a word of the field with a prefix."""
    if word.isascii() and word.isalnum():
        encoded = word
    else:
        # Only a filter can hold a lone surrogate; it matches nothing.
        encoded = "_" + word.encode("utf-8", "surrogatepass").hex()
    if len(encoded) > _MAX_ENCODED_BYTES:
        digest = hashlib.sha1(word.encode("utf-8", "surrogatepass"), usedforsecurity=False)
        encoded = "__" + digest.hexdigest()
    return prefix + encoded


@lru_cache(maxsize=65536)
def _path_hash(path: str) -> str:
    """60 bits as 12 characters: with a fixed length no path's terms can be mistaken for another's."""
    digest = hashlib.sha1(path.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return b32encode(digest)[:12].decode("ascii").lower()
