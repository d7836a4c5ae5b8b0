"""Hostile values in every position of a filter: the query keeps its shape, and finds what has the value and no more."""

import re

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import apply, find, message, metadata, named

from conversations.filters import compile_filter

HOSTILE = [
    ")|(@lm:[-inf",
    ") | (*",
    "}|@id:{*",
    "@st:{open}",
    "-(@x:(a))",
    "w'*'",
    "%ada%",
    "=>{$slop:9}",
    "$p",
    "<<0>>",
    '"',
    "\\",
    "\\\\)",
    "'",
    "a\\'b",
    "*",
    "?*?",
    "~",
    "-",
    "!",
    "_",
    "[a TO z]",
    "({[",
    "\x00",
    "\x01",
    "a\x00b",
    "ada|bob",
    "%s%d{0}",
    "é)|(*",
    "🦊}|{",
    "x" * 200 + ")|(*",
    "%25",
    "]]--",
    "{0}",
    "redis.call('FLUSHALL')",
]
POSITIONS = [
    "display_name:{}",
    'display_name:"{} end"',
    'display_name:"end {} {}"~3',
    "{}",
    "-{}",
    "display_name:{}*",
    "display_name:*{}*",
    "display_name:{}~1",
    'display_name:["{}x" TO "{}x"]',
    'display_name:{"{}x" TO *]',
    "metadata.user_data.k:{}",
    "metadata.user_data.{}:v",
    "metadata.user_data.{}:*",
    "source:{}",
    "source:{}*",
    "channel_id:{}",
    "tag_ids:{}",
    "tag_ids:({} OR {})",
    "id:{}",
    "id:{}*",
    "state:{}",
    "(display_name:a OR metadata.user_data.k:{}) AND NOT source:{}",
]


def escaped(value: str) -> str:
    return re.sub(r"([^A-Za-z0-9])", r"\\\1", value)


def shape(filter_text: str) -> str:
    """Return a query without its words and values: what is left is syntax."""
    return re.sub(
        r"(?:\\.|[A-Za-z0-9_.]|[^\x00-\x7f])+", "V", compile_filter(filter_text).query.text, flags=re.DOTALL
    )


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_never_becomes_syntax(position: str, value: str) -> None:
    # An escaped blank parts words: the harmless value has as many.
    harmless = re.sub(r"\S+", lambda word: f"zz{word.start()}", value)
    asked, plain = (position.replace("{}", escaped(one)) for one in (value, harmless))
    if position.startswith("id:") or position in ("{}", "-{}") or "\x00" in value:
        # What no id or source can be is not looked for as one; that must not bring other syntax in.
        assert set(shape(asked)) <= set("V@(){}:|-*") | set(shape(plain))
    else:
        assert shape(asked) == shape(plain)


async def test_hostile_values_are_found_as_themselves(opened: OpenStore) -> None:
    store = await opened(partitions=1)
    words = [value for value in HOSTILE if not re.search(r"[\s\x00-\x1f]", value)]
    for number, word in enumerate(words, 1):
        await apply(
            store,
            message(number, number),
            named(number, f"start {word} end"),
            metadata(number, user_data={"k": word, word: "v"}),
        )
    everything = set(range(1, len(words) + 1))
    for number, word in enumerate(words, 1):
        own = {n for n, other in enumerate(words, 1) if other.lower() == word.lower()}
        for filter_text in (
            f"display_name:{escaped(word)}",
            f'display_name:"start {escaped(word)} end"',
            f"metadata.user_data.k:{escaped(word)}",
            f"metadata.user_data.{escaped(word)}:v",
            f"metadata.user_data.{escaped(word)}:*",
            f"display_name:{escaped(word)}~0",
        ):
            assert await find(store, filter_text) == own, filter_text
            assert await find(store, f"NOT ({filter_text})") == everything - own, filter_text
        assert number in await find(store, f"display_name:*{escaped(word)}*")
