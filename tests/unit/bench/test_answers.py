"""What the answers to a filter come to, and that they have to agree."""

from math import isnan

import pytest
from bench.answers import FirstAnswer, PostgresAnswer, figure_of
from bench.results import DisagreementError

_IDS = ["b", "a"]


def _answer(seconds: float, *commands_ms: float, total: int = 2, ids: list[str] = _IDS) -> FirstAnswer:
    return FirstAnswer(seconds, commands_ms, total, ids)


def test_times_are_medians_and_the_longest_command_is_that_of_all() -> None:
    answers = [_answer(0.03, 9, 2), _answer(0.01, 3, 4), _answer(0.02, 12)]
    figure = figure_of(1000, "a filter", answers, PostgresAnswer(0.005, 2, _IDS))
    assert (figure.conversations, figure.filter, figure.matches) == (1000, "a filter", 2)
    assert (figure.first_ms, figure.postgres_ms, figure.ratio) == (20, 5, 4)
    assert (figure.longest_ms, figure.redis_ms) == (12, 11)


def test_without_a_peer_there_is_no_ratio() -> None:
    figure = figure_of(1000, "a filter", [_answer(0.03)])
    assert (figure.first_ms, figure.longest_ms, figure.redis_ms) == (30, 0, 0)
    assert isnan(figure.postgres_ms)
    assert isnan(figure.ratio)


def test_a_filter_that_is_refused_has_no_time_but_a_reason() -> None:
    refused = [FirstAnswer(0.0, [3.0], 0, (), "too broad")] * 2
    figure = figure_of(1000, "a filter", refused, PostgresAnswer(0.005, 2, _IDS))
    assert (figure.refused, figure.postgres_ms, figure.longest_ms) == ("too broad", 5, 3)
    assert isnan(figure.first_ms)
    assert isnan(figure.ratio)


@pytest.mark.parametrize(
    ("other", "peer"),
    [
        (_answer(0.01, total=3), None),
        (_answer(0.01, ids=["a", "b"]), None),
        (FirstAnswer(0.0, [], 0, (), "too broad"), None),
        (_answer(0.01), PostgresAnswer(0.01, 3, _IDS)),
        (_answer(0.01), PostgresAnswer(0.01, 2, ["a", "b"])),
    ],
    ids=["another total", "another order", "refused once", "a peer's total", "a peer's order"],
)
def test_answers_have_to_agree(other: FirstAnswer, peer: PostgresAnswer | None) -> None:
    with pytest.raises(DisagreementError, match="a filter: 2 matches"):
        figure_of(1000, "a filter", [_answer(0.01), other], peer)
