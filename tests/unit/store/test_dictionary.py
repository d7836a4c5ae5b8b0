"""The mirror of a word dictionary: words come piece by piece, every pattern sees all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.filters.patterns import StartsWith, WordPattern
from conversations.schema import FIELDS
from conversations.store.dictionary import Dictionary, read_word

BLOCK = 4096


class Containing(WordPattern):
    """Words that contain a text; notes the blocks it was given."""

    def __init__(self, text: str) -> None:
        super().__init__("display_name", StartsWith(text), 0)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "blocks", [])

    text: str
    blocks: list[str]

    def search(self, block: str) -> list[str]:
        self.blocks.append(block)
        return [word for word in block.split("\n") if word and self.text in word]


def words(start: int, stop: int) -> list[str]:
    return [f"w{number}" for number in range(start, stop)]


async def test_an_empty_dictionary_finds_nothing() -> None:
    dictionary = Dictionary()
    assert (dictionary.size, dictionary.mark) == (0, b"0")
    assert await dictionary.search(Containing("")) == []


@given(st.lists(st.integers(0, 2 * BLOCK + 3), max_size=5))
async def test_finds_all_words_in_order_however_they_came(sizes: list[int]) -> None:
    dictionary, known = Dictionary(), 0
    for size in sizes:
        dictionary.extend(words(known, known + size), f"score {known}".encode())
        known += size
        assert dictionary.size == known
        assert dictionary.mark == f"score {known - size}".encode()
        assert await dictionary.search(Containing("")) == words(0, known)


async def test_a_full_block_is_searched_once_by_equal_patterns() -> None:
    dictionary = Dictionary()
    dictionary.extend(words(0, 2 * BLOCK + 1), b"1")
    first, second = Containing("w8"), Containing("w8")
    expected = [word for word in words(0, 2 * BLOCK + 1) if "w8" in word]
    assert await dictionary.search(first) == expected
    assert await dictionary.search(second) == expected
    assert len(first.blocks) == 3
    assert second.blocks == ["\nw8192\n"]


async def test_what_was_kept_of_a_pattern_goes_on_with_later_blocks() -> None:
    dictionary, pattern = Dictionary(), Containing("9")
    dictionary.extend(words(0, BLOCK), b"1")
    await dictionary.search(pattern)
    dictionary.extend(words(BLOCK, 3 * BLOCK), b"2")
    assert await dictionary.search(pattern) == [word for word in words(0, 3 * BLOCK) if "9" in word]


async def test_patterns_are_forgotten_and_found_again() -> None:
    dictionary = Dictionary()
    dictionary.extend(words(0, BLOCK), b"1")
    for number in range(200):
        assert (await dictionary.search(Containing(f"w{number}")))[0] == f"w{number}"
    again = Containing("w0")
    assert await dictionary.search(again) == ["w0"]
    assert len(again.blocks) == 2


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1), max_size=20))
async def test_every_word_stands_between_line_feeds(some: list[str]) -> None:
    dictionary, pattern = Dictionary(), Containing("")
    dictionary.extend(some, b"1")
    assert await dictionary.search(pattern) == some
    assert pattern.blocks == ["\n" + "".join(f"{word}\n" for word in some)]


@pytest.mark.parametrize("field", [field.name for field in FIELDS if field.is_tag])
@pytest.mark.parametrize("stored", [b"", b"a b", b"a\n", b"\x7f", b"\x00", "é".encode(), b"\xff"])
def test_a_value_that_cannot_stand_in_a_query_is_none(field: str, stored: bytes) -> None:
    assert read_word(field, stored) is None
    assert read_word(field, b"!a,*~") == "!a,*~"


@pytest.mark.parametrize("field", ["display_name", "metadata.state", "metadata.user_data.id"])
def test_a_word_is_any_text_on_one_line(field: str) -> None:
    assert [read_word(field, stored) for stored in (b"a b", "é\x00".encode())] == ["a b", "é\x00"]
    assert [read_word(field, stored) for stored in (b"", b"a\nb", b"\n", b"\xff", b"\xed\xa0\x80")] == [None] * 5
