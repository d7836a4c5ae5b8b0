"""What the service says to typical mistakes: each filter of `mistakes.txt`, and the error below it, to the letter."""

from pathlib import Path

import pytest

from conversations.errors import FilterError
from conversations.filters import compile_filter

MISTAKES = (Path(__file__).parent / "mistakes.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.partition("\n")[0])
def test_mistake(mistake: str) -> None:
    text, _, expected = mistake.partition("\n    ")
    with pytest.raises(FilterError) as caught:
        compile_filter(text)
    assert f"{type(caught.value).__name__}: {caught.value.message}" == expected.rstrip("\n")


def test_every_message_says_where() -> None:
    assert all(": at position " in mistake for mistake in MISTAKES)
    assert len(MISTAKES) > 30
