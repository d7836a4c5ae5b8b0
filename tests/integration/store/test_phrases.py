"""Loose phrases: what the library's Lua finds is what trying out every choice of positions finds."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
from tests.integration.store.events import apply, conversation_id, find, message, metadata, named

from conversations.store import Store


@dataclass(frozen=True)
class Phrase:
    words: tuple[str, ...]
    slop: int

    def __str__(self) -> str:
        return f'display_name:"{" ".join(self.words)}"~{self.slop}'


def has_phrase(text: Sequence[str], phrase: Phrase) -> bool:
    """Try every choice of different positions for which the largest p_i - i less the smallest is the slop at most."""
    places = [[at for at, word in enumerate(text) if word == wanted] for wanted in phrase.words]
    for choice in product(*places):
        shifts = [at - i for i, at in enumerate(choice)]
        if len(set(choice)) == len(choice) and max(shifts) - min(shifts) <= phrase.slop:
            return True
    return False


@pytest.fixture
async def texts(store: Store) -> list[list[str]]:
    """Names of up to nine words out of three, so that words repeat in every way."""
    chance = random.Random(3)
    texts = [chance.choices("abc", k=chance.randint(1, 9)) for _ in range(100)]
    await apply(store, *(message(number, number) for number in range(len(texts))))
    await apply(store, *(named(number, " ".join(text)) for number, text in enumerate(texts)))
    return texts


def matching(texts: Iterable[Sequence[str]], phrase: Phrase) -> set[int]:
    return {number for number, text in enumerate(texts) if has_phrase(text, phrase)}


async def test_every_phrase_of_four_words_with_every_slop(store: Store, texts: list[list[str]]) -> None:
    found, chance = 0, random.Random(5)
    for length in (2, 3, 4):
        for words in product("abc", repeat=length):
            for slop in (0, 1, 2, 3, 5, 8) if length < 4 else (chance.randint(0, 8),):
                phrase = Phrase(words, slop)
                expected = matching(texts, phrase)
                assert await find(store, str(phrase)) == expected, phrase
                found += len(expected)
    assert found > 2_500


async def test_long_phrases_and_a_slop_without_end(store: Store, texts: list[list[str]]) -> None:
    chance = random.Random(4)
    for _ in range(30):
        phrase = Phrase(tuple(chance.choices("abc", k=chance.randint(5, 6))), chance.choice([0, 2, 6, 2**30]))
        assert await find(store, str(phrase)) == matching(texts, phrase)


async def test_several_phrases_in_one_filter(store: Store, texts: list[list[str]]) -> None:
    phrases = [
        Phrase(("a", "b", "a"), 2),
        Phrase(("c", "b", "c"), 3),
        Phrase(("z", "a"), 3),
        Phrase(("a", "a", "a"), 0),
    ]
    a, b, none, c = (matching(texts, phrase) for phrase in phrases)
    everything = set(range(len(texts)))
    assert a
    assert b
    assert c
    assert not none
    one, other, never, repeated = map(str, phrases)
    for filters, expected in (
        (f"{one} OR {other}", a | b),
        (f"{one} AND {other}", a & b),
        (f"{one} AND NOT {other}", a - b),
        (f"NOT {never}", everything),
        (f"{never} OR {repeated}", c),
        (f"{one} AND ({one} OR {never})", a),
    ):
        assert await find(store, filters) == expected, filters


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ('display_name:"ada lovelace x"~2', {1, 2}),
        ('display_name:"x ada lovelace"~2', set()),
        ('display_name:"%1 $& <<0>>"~2', {3}),
        ('display_name:"a a a"', {4}),
        ('display_name:"a a a"~1', {4, 5}),
        ('metadata.user_data.list:"one two three"~5', {6}),
        ('metadata.user_data.list:"three four"', set()),
        ('metadata.user_data.text:"one two three"~3', {6}),
        ('NOT display_name:"ada lovelace x"~2', {3, 4, 5, 6}),
    ],
)
async def test_loose_phrases_of_filters(any_store: Store, filters: str, expected: set[int]) -> None:
    names = ["Ada Lovelace X", "Ada Byron Lovelace X", "%1 y $& <<0>>", "a a a", "a a b a", "z"]
    await apply(any_store, *(message(number, number) for number in range(1, 7)))
    await apply(any_store, *(named(number, name) for number, name in enumerate(names, 1)))
    data = {"list": ["one two three", "four"], "text": "one x two y three"}
    await apply(any_store, metadata(6, user_data=data))
    assert await find(any_store, filters) == expected


async def test_a_default_name_can_be_a_phrase(any_store: Store) -> None:
    await apply(any_store, message(0xABC, 1, source="twilio.sms"))
    tail = conversation_id(0xABC)[-5:]
    assert await find(any_store, f'display_name:"Sms {tail}"') == {0xABC}
    assert await find(any_store, f'display_name:"{tail} sms"~2') == {0xABC}
    assert await find(any_store, f'display_name:"{tail} sms"~1') == set()
