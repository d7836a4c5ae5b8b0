"""Answers to one filter, and the figure that they come to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.results import DisagreementError, FilterFigure

__all__ = ["FirstAnswer", "PostgresAnswer", "figure_of"]


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What a worker answered that has not seen the filter, or why it did not."""

    seconds: float
    commands_ms: Sequence[float]
    """Of the commands in Redis."""
    total: int
    ids: Sequence[str]
    refused: str = ""


@dataclass(frozen=True, slots=True)
class PostgresAnswer:
    """What PostgreSQL answered, and the median of how long that took."""

    seconds: float
    total: int
    ids: Sequence[str]


def figure_of(
    conversations: int, name: str, answers: Sequence[FirstAnswer], peer: PostgresAnswer | None = None
) -> FilterFigure:
    """Return what a filter's answers come to: medians, but the longest of all commands.

    Raises:
        DisagreementError: The answers, or those of the peer, differ.
    """
    figure = FilterFigure(
        conversations,
        name,
        answers[0].total,
        longest_ms=max((ms for answer in answers for ms in answer.commands_ms), default=0.0),
        redis_ms=median(sum(answer.commands_ms) for answer in answers),
        refused=answers[0].refused,
    )
    if peer is not None:
        figure = replace(figure, postgres_ms=peer.seconds * 1000)
    if figure.refused:
        return figure
    others: list[FirstAnswer | PostgresAnswer] = [*answers[1:], *([peer] if peer else [])]
    for other in others:
        if (other.total, list(other.ids)) != (answers[0].total, list(answers[0].ids)):
            raise DisagreementError(
                f"{name}: {answers[0].total} matches, the page begins with {answers[0].ids[:3]}; "
                f"another answer: {other.total}, {other.ids[:3]}"
            )
    return replace(figure, first_ms=median(answer.seconds for answer in answers) * 1000)
