"""Names as an inbox has them: nearly all different, in many scripts, words as the service splits them."""

import random
import unicodedata
from collections import Counter

import pytest
from bench.names import contact_name

from conversations.terms import split_words


@pytest.fixture(scope="module")
def names() -> list[str]:
    generator = random.Random(7)
    return [contact_name(generator) for _ in range(20_000)]


def test_nearly_all_are_different(names: list[str]) -> None:
    assert len(set(names)) > 0.99 * len(names)
    assert len({word for name in names for word in split_words(name)}) > 0.9 * len(names)


def test_two_of_five_are_phone_numbers_of_one_word(names: list[str]) -> None:
    phones = [name for name in names if name.startswith("+")]
    assert all(name[1:].isdecimal() and 9 < len(name) < 16 for name in phones)
    assert 0.38 < len(phones) / len(names) < 0.42
    assert 0.12 < sum(name.startswith("+4915") for name in phones) / len(names) < 0.16


def test_half_are_of_people_who_write_in_many_scripts(names: list[str]) -> None:
    people = [name for name in names if not any(character in "+@_." or character.isdecimal() for character in name)]
    scripts = Counter(unicodedata.name(name[0]).split()[0] for name in people)
    expected = "LATIN CYRILLIC GREEK ARABIC HEBREW DEVANAGARI THAI CJK HANGUL KATAKANA ARMENIAN GEORGIAN BENGALI TAMIL"
    assert {*expected.split(), "ETHIOPIC"} <= scripts.keys()
    assert all(scripts[script] > 20 for script in expected.split())
    assert 0.48 < len(people) / len(names) < 0.54


def test_names_that_are_asked_for_are_there(names: list[str]) -> None:
    words = Counter(word for name in names for word in split_words(name))
    assert 0.01 < words["lovelace"] / len(names) < 0.03
    assert 0.01 < words["anna"] / len(names) < 0.05


def test_their_words_stand_between_single_blanks(names: list[str]) -> None:
    """So that one blank on both sides is all that tells PostgreSQL where a word is."""
    for name in names:
        assert [word.lower() for word in name.replace("İ", "I").split(" ")] == split_words(name)
