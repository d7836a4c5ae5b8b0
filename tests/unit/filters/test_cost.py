"""What a filter may cost."""

from math import ceil
from random import Random

import pytest

from conversations.filters import compile_filter
from conversations.filters.cost import cost_of
from conversations.filters.plan import make_plan
from conversations.filters.simplify import simplify
from conversations.settings import Settings

MAX_COST = Settings().max_filter_cost


def cost(text: str, count: int = 1) -> float:
    """Return the cost of a filter, of which every pattern matches so many words."""
    compiled = compile_filter(text)
    words = {pattern: [f"w{i}" for i in range(count)] for pattern in compiled.patterns}
    return cost_of(make_plan(simplify(compiled.expression), words))


def names(count: int) -> list[str]:
    return [f"n{i}" for i in range(count)]


ORDINARY = [
    " OR ".join(names(256)),
    " AND ".join(names(256)),
    " OR ".join(f"NOT a{name}" for name in names(20)),
    "channel_id:(" + " OR ".join(names(200)) + ")",
    "id:(" + " ".join(f"{i:08x}-85e0-44af-bc02-4248c2c97622" for i in range(90)) + ")",
    " OR ".join(f"id:{i:03x}*" for i in range(200)),
    " OR ".join(f"unread_count:{2 * i}" for i in range(100)),
    " OR ".join(f"unread_count:[0 TO {i % 7}]" for i in range(150)),
    "(" * 64 + "a" + ")" * 64,
    "state:open AND source:(facebook OR google) AND tag_ids:(a b c) AND NOT tag_ids:(d e) AND unread_count:[1 TO *] "
    "AND last_message_at:[2024-01-01 TO *] AND display_name:ada",
    "(state:open AND unread_count:[1 TO *]) OR (state:closed AND last_message_at:[2024-01-01 TO *] AND tag_ids:x) OR "
    "(NOT state:*)",
    "display_name:a* AND metadata.k:*b* AND NOT source:facebook",
    'display_name:("ada lovelace" OR "alan turing" OR "grace hopper") AND NOT metadata.k:"x y z"~4',
    'metadata.k:"' + " ".join(names(60)) + '"',
]


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("count", [1, 100, 1000])
def test_ordinary_filters_are_accepted(text: str, count: int) -> None:
    assert cost(text, count) <= MAX_COST


RARE = 1 / 350
EXACT = [
    ("*:*", 0),
    ("display_name:a", 2 + RARE),
    ("display_name:(a b)", 4 + 2 * RARE),
    ("display_name:(" + " ".join(names(50)) + ")", 20 + 50 * RARE),
    ("source:(" + " ".join(names(50)) + ")", 16 + 50 * RARE),
    ("metadata.k:(" + " ".join(names(50)) + ")", 30 + 50 * RARE),
    ("display_name:a AND metadata.k:b", 2 * (2 + RARE) + 2),
    ("+display_name:a +display_name:b", 4 + 2 * RARE + 2),
    ("id:a688d36c-a85e-44af-bc02-4248c2c97622", RARE),
    (f"id:({' '.join(f'{i:08x}-a85e-44af-bc02-4248c2c97622' for i in range(40))})", 40 * RARE),
    ("id:a688d36c-a85e-44*", RARE),
    ("id:a688d36c*", 11.1),
    ("state:*", 3),
    ("unread_count:3", 4.1),
    ("unread_count:(3 5)", 4.2),
    ("created_at:3", 11.1),
    ("last_message_at:[3 TO *]", 11.1),
    ("NOT display_name:a", 1.5 * (2 + RARE) + 6),
    ("display_name:a OR (NOT display_name:b)", 2 + RARE + 2 + RARE + 3 + 2),
    ('"a b"', 3),
    ('"a b"~1', 3),
    ('"a b"~2', 6),
    ('"a a"', 3),
    ('"a b c"~2', 4.5 + 10),
    ('metadata.k:"' + " ".join(names(60)) + '"', 30),
]


@pytest.mark.parametrize(("text", "expected"), EXACT)
def test_what_each_part_costs(text: str, expected: float) -> None:
    assert cost(text) == pytest.approx(expected)


EXCESSIVE = [
    " AND ".join(f"(a{name} OR (NOT b{name}))" for name in names(40)),
    " OR ".join(f"(a{name} AND NOT b{name})" for name in names(40)),
    " OR ".join(f"(state:closed AND display_name:a{name})" for name in names(40)),
    " AND ".join(f"(last_message_at:[{i} TO *] OR x{i})" for i in range(20)),
    " OR ".join(f"metadata.k{i}:*" for i in range(40)),
    " AND ".join(f"metadata.k{i}:*" for i in range(40)),
    " OR ".join(f'"a b{i}"' for i in range(40)),
    " OR ".join(f'"a b{i}"~3' for i in range(20)),
    " OR ".join(f'"a b c{i}"~3' for i in range(10)),
    '"' + " ".join(["a b"] * 100) + '"',
    "(" * 50 + "a" + "".join(f" {'AND' if i % 2 else 'OR'} b{i})" for i in range(50)),
]


@pytest.mark.parametrize("text", EXCESSIVE)
def test_excessive_filters_cost_more_than_the_limit(text: str) -> None:
    assert cost(text) > MAX_COST
    compiled = compile_filter(text)
    assert compiled.query({}, 5000).cost == ceil(cost(text))


def test_patterns_cost_by_the_words_they_match() -> None:
    compiled = compile_filter(" AND ".join(f"metadata.k{i}:*x*" for i in range(5)))
    few, many = (dict.fromkeys(compiled.patterns, words) for words in (names(3), names(30)))
    assert compiled.query(few, 5000).cost <= MAX_COST < compiled.query(many, 5000).cost


def test_a_filter_costs_no_less_than_a_part_of_it() -> None:
    random = Random(1)
    parts = ["a", "metadata.k:b", "state:*", "unread_count:[2 TO 5]", "created_at:[1 TO *]", '"a b"', "x* y*"]
    for _ in range(200):
        left, right = random.sample(parts, 2)
        both = f"({left}) {random.choice(['AND', 'OR'])} (NOT (q OR ({right})))"
        assert cost(both, 20) >= max(cost(left, 20), cost(right, 20)), both
