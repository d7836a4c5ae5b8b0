"""Index terms: words as Java splits and lower-cases them, one ASCII term for each word."""

import hashlib
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations import terms

# Character.isWhitespace of Java 17, over all of Unicode.
JAVA_WHITESPACE = {
    *range(0x09, 0x0E),
    *range(0x1C, 0x21),
    0x1680,
    *range(0x2000, 0x2007),
    *range(0x2008, 0x200B),
    0x2028,
    0x2029,
    0x205F,
    0x3000,
}
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).flatmap(
    lambda text: st.sampled_from(terms.split_words(text) or ["a"])
)
PATHS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=4).map(".".join)
TERM = re.compile("[a-z0-9_]{1,128}", re.ASCII)


def test_splits_at_the_white_space_of_java_and_nowhere_else() -> None:
    separators = {
        point
        for point in range(sys.maxunicode + 1)
        if not 0xD800 <= point < 0xE000 and terms.split_words(f"a{chr(point)}b") == ["a", "b"]
    }
    assert separators == JAVA_WHITESPACE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\r\n\u2003\u3000", []),
        ("  Ada   Lovelace ", ["ada", "lovelace"]),
        ("Smith, Ada", ["smith,", "ada"]),
        ("a\u00a0b\u2007c\u202fd\u0085e", ["a\u00a0b\u2007c\u202fd\u0085e"]),
        ("to\u200bgether", ["to\u200bgether"]),
        ("one\u2028two\u2029three", ["one", "two", "three"]),
        ("a\x1cb\x1dc\x1ed\x1fe", ["a", "b", "c", "d", "e"]),
        ("e\u0301 \u00e9", ["e\u0301", "\u00e9"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert terms.split_words(text) == words


@pytest.mark.parametrize(
    ("text", "lowered"),
    [
        ("ADA", "ada"),
        ("ΟΔΟΣ", "οδοσ"),
        ("İstanbul", "istanbul"),
        ("ẞß", "ßß"),
        ("ÉÀÜ", "éàü"),
        ("\u212a", "k"),
        ("\u212b", "å"),
        ("ǅ", "ǆ"),
        ("𐐀", "𐐨"),
        ("ﬁ", "ﬁ"),
    ],
)
def test_lower_case_is_per_code_point_without_context(text: str, lowered: str) -> None:
    assert terms.lower(text) == lowered


def test_lower_case_is_that_of_unicode_for_every_code_point() -> None:
    """One code point in, one out, whatever stands beside it; Java has one exception to Unicode's simple mapping."""
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if 0xD800 <= point < 0xE000 or unicodedata.category(character) == "Cn":
            continue
        expected = "i" if point == 0x130 else character.lower()
        assert terms.lower(character) == expected
        assert terms.lower(f"Α{character}") == f"α{expected}"


@given(WORDS)
def test_a_term_is_one_short_token_of_ascii(word: str) -> None:
    for term in (terms.name_term(word), terms.metadata_term("a.b", word)):
        assert TERM.fullmatch(term)


@given(WORDS, WORDS)
def test_different_words_have_different_terms(one: str, other: str) -> None:
    assert (terms.name_term(one) == terms.name_term(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("é", "_c3a9", id="the code of another word"),
        pytest.param("_", "_5f", id="an underscore"),
        pytest.param("c3a9", "é", id="hexadecimal digits"),
        pytest.param("é", "é".encode().hex(), id="bytes as digits"),
        pytest.param("a" * 101, "a" * 102, id="hashed words"),
        pytest.param("a" * 101, "__" + hashlib.sha1(b"a" * 101).hexdigest(), id="the hash as a word"),
        pytest.param("²", "2", id="digits that are not ASCII"),
        pytest.param("ｅ", "e", id="full width"),
        pytest.param("e\u0301", "\u00e9", id="composed and decomposed"),
    ],
)
def test_no_word_can_be_taken_for_another(one: str, other: str) -> None:
    assert terms.name_term(one) != terms.name_term(other)


@pytest.mark.parametrize(
    ("word", "term"),
    [
        ("ada", "nada"),
        ("007", "n007"),
        ("é", "n_c3a9"),
        ("o'brien", "n_6f27627269656e"),
        ("😀", "n_f09f9880"),
        ("a" * 100, "n" + "a" * 100),
        ("a" * 101, "n__" + hashlib.sha1(b"a" * 101).hexdigest()),
        ("é" * 24, "n_" + "c3a9" * 24),
        ("é" * 25, "n__" + hashlib.sha1(("é" * 25).encode()).hexdigest()),
    ],
)
def test_name_terms(word: str, term: str) -> None:
    assert terms.name_term(word) == term


def test_a_lone_surrogate_of_a_filter_has_a_term_that_no_document_has() -> None:
    assert terms.name_term("\ud800") == "n_eda080"
    assert TERM.fullmatch(terms.metadata_term("\udfff", "\ud800"))


@given(PATHS, WORDS, PATHS, WORDS)
def test_terms_of_different_fields_never_clash(path: str, word: str, other_path: str, other_word: str) -> None:
    """Neither a prefix of one field in another's words, nor a path's end in the beginning of a word."""
    assert terms.metadata_term(path, word) != terms.name_term(other_word)
    same = (path, word) == (other_path, other_word)
    assert (terms.metadata_term(path, word) == terms.metadata_term(other_path, other_word)) == same
    exists = {terms.NAME_EXISTS, terms.TAGS_EXIST, terms.metadata_exists(path)}
    assert len(exists) == 3
    assert not exists & {terms.name_term(word), terms.metadata_term(path, word)}


@given(PATHS)
def test_a_path_has_a_prefix_of_fixed_length(path: str) -> None:
    """So that no path's prefix starts another's."""
    assert re.fullmatch("x[a-z2-7]{12}", terms.metadata_exists(path))
    assert re.fullmatch("m[a-z2-7]{12}w", terms.metadata_term(path, "w"))


def test_paths_are_case_sensitive_and_words_are_not() -> None:
    assert terms.metadata_exists("customerId") != terms.metadata_exists("customerid")
    assert terms.split_words("ABC") == terms.split_words("abc")
