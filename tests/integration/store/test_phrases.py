"""Loose phrases: what the library's Lua finds is what trying out every choice of positions finds."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from tests.integration.store.events import apply, conversation_id, find, message, metadata, named

from conversations import terms
from conversations.store import Store
from conversations.store.client import Client
from conversations.store.functions import Call, by_name, packed


@dataclass(frozen=True)
class Phrase:
    words: tuple[str, ...]
    slop: int

    def check(self) -> dict[str, Any]:
        wanted = [terms.name_term(word) for word in self.words]
        return {"candidates": f"@x:({' '.join(dict.fromkeys(wanted))})", "slop": self.slop, "terms": wanted}


def has_phrase(text: Sequence[str], phrase: Phrase) -> bool:
    """Try every choice of different positions for which the largest p_i - i less the smallest is the slop at most."""
    places = [[at for at, word in enumerate(text) if word == wanted] for wanted in phrase.words]
    for choice in product(*places):
        shifts = [at - i for i, at in enumerate(choice)]
        if len(set(choice)) == len(choice) and max(shifts) - min(shifts) <= phrase.slop:
            return True
    return False


async def search(client: Client, query: str, phrases: Sequence[Phrase]) -> set[int]:
    place = {"direction": "older", "at": "", "id": "", "limit": 1000}
    checks = {"max_candidates": 1000, "phrases": [phrase.check() for phrase in phrases]}
    asked = packed({"timeout_ms": 1000, **place, **checks})
    flat = await client.call(Call(0, "list_conversations", (asked, query, "", "")))
    assert flat[0] == b"ok"
    reply = by_name(flat)
    ids = reply[b"places"].split()[1::3]
    assert reply[b"matches"] == len(ids)
    return {int(id[:8], 16) for id in ids}


@pytest.fixture
async def texts(store: Store) -> list[list[str]]:
    """Names of up to nine words out of three, so that words repeat in every way."""
    chance = random.Random(3)
    texts = [chance.choices("abc", k=chance.randint(1, 9)) for _ in range(200)]
    await apply(store, *(message(number, number) for number in range(len(texts))))
    await apply(store, *(named(number, " ".join(text)) for number, text in enumerate(texts)))
    return texts


def matching(texts: Iterable[Sequence[str]], phrase: Phrase) -> set[int]:
    return {number for number, text in enumerate(texts) if has_phrase(text, phrase)}


async def test_every_phrase_of_four_words_with_every_slop(client: Client, texts: list[list[str]]) -> None:
    found, chance = 0, random.Random(5)
    for length in (2, 3, 4):
        for words in product("abc", repeat=length):
            for slop in (0, 1, 2, 3, 5, 8) if length < 4 else (chance.randint(0, 8),):
                phrase = Phrase(words, slop)
                expected = matching(texts, phrase)
                assert await search(client, "(<<0>>)", [phrase]) == expected, phrase
                found += len(expected)
    assert found > 5_000


async def test_long_phrases_and_a_slop_without_end(client: Client, texts: list[list[str]]) -> None:
    chance = random.Random(4)
    for _ in range(30):
        phrase = Phrase(tuple(chance.choices("abc", k=chance.randint(5, 6))), chance.choice([0, 2, 6, 2**30]))
        assert await search(client, "(<<0>>)", [phrase]) == matching(texts, phrase)


async def test_several_checks_in_one_query(client: Client, texts: list[list[str]]) -> None:
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
    for query, expected in (
        ("(<<0>>|<<1>>)", a | b),
        ("(<<0>> <<1>>)", a & b),
        ("(<<0>> ((-<<1>>)|(-<<1>>)))", a - b),
        ("(-<<2>>)", everything),
        ("(<<2>>|<<3>>)", c),
        ("(<<0>> <<0>>)", a),
    ):
        assert await search(client, query, phrases) == expected, query


async def test_more_than_nine_checks_are_told_apart(client: Client, texts: list[list[str]]) -> None:
    phrases = [Phrase(("z", str(number)), 2) for number in range(12)]
    phrases[1] = Phrase(("a", "b", "c"), 2)
    phrases[11] = Phrase(("c", "c", "c"), 2)
    assert await search(client, "(<<11>>)", phrases) == matching(texts, phrases[11])
    assert await search(client, "(<<1>>)", phrases) == matching(texts, phrases[1])


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
