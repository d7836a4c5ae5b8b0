"""What a run found, and the tables it becomes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isnan, nan

from bench.measure import Figure

__all__ = ["ENVOY_FLOOR", "FCALL", "FLOOR", "OURS", "POSTGRES", "DisagreementError", "FilterFigure", "Results"]
__all__ += ["Target", "Value", "meanwhile", "tables"]

OURS = "service"
FLOOR = "floor"
ENVOY_FLOOR = "Envoy before the floor"
FCALL = "engine, FCALL"
POSTGRES = "FastAPI, PostgreSQL"


def meanwhile(scenario: str) -> str:
    """Return what a scenario is called while messages come in."""
    return f"{scenario}, messages coming in"


class DisagreementError(Exception):
    """Raised when two servers answer the same question differently: their speeds cannot be compared."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number that is no call."""

    conversations: int
    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class FilterFigure:
    """What was measured of one filter. What was not, or could not be, is not a number."""

    conversations: int
    filter: str
    matches: int = 0
    first_ms: float = nan
    """Until a worker that has never seen the filter has answered it."""
    postgres_ms: float = nan
    """Until PostgreSQL, which is warm, has answered the same."""
    longest_ms: float = nan
    """Longest Redis command of the first answers."""
    redis_ms: float = nan
    """All Redis commands of a first answer."""
    again_ms: float = nan
    """Those of an answer when the filter is asked again, while messages come in."""
    refused: str = ""
    """What the service says if it does not answer."""

    @property
    def ratio(self) -> float:
        """Return the service's time to PostgreSQL's."""
        return self.first_ms / self.postgres_ms


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for, and what was found."""

    text: str
    conversations: int
    figure: float
    bound: float
    at_least: bool = True
    unit: str = ""

    @property
    def met(self) -> bool:
        """Return whether the figure is within the bound."""
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


@dataclass(slots=True)
class Results:
    """Everything that a run found."""

    about: dict[str, str] = field(default_factory=dict)
    """Machine, versions, commands."""
    figures: list[Figure] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    filters: list[FilterFigure] = field(default_factory=list)

    def rate(self, conversations: int, scenario: str, stack: str = OURS) -> float:
        """Return the calls per second of a stack; not a number where they were not measured."""
        for figure in self.figures:
            if (figure.conversations, figure.scenario, figure.stack) == (conversations, scenario, stack):
                return figure.calls_per_second
        return nan

    @property
    def sizes(self) -> list[int]:
        """Return the numbers of conversations, in the order of measuring."""
        found: Iterable[Figure | FilterFigure | Value] = (*self.figures, *self.filters, *self.values)
        return list(dict.fromkeys(figure.conversations for figure in found))


def tables(results: Results, targets: list[Target]) -> str:
    """Return everything in Markdown: targets, then what was measured, then where."""
    parts = ["# Results", f"{sum(target.met for target in targets)} of {len(targets)} targets met."]
    parts.append("\n".join(_targets(targets)))
    for size in results.sizes:
        parts.append(f"## {size:,} conversations")
        if any(figure.conversations == size for figure in results.figures):
            parts.append("\n".join(_figures(results, size)))
        if any(figure.conversations == size for figure in results.filters):
            parts += ["### Filters", "\n".join(_filters(results, size))]
        if any(value.conversations == size for value in results.values):
            parts += ["### Memory and starts", "\n".join(_values(results, size))]
    if results.about:
        parts += ["## Where and with what", "\n".join(f"- {name}: {value}" for name, value in results.about.items())]
    return "\n\n".join(parts) + "\n"


def _targets(targets: list[Target]) -> Iterator[str]:
    yield "| target | conversations | found | asked | |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for target in targets:
        found, asked = (f"{_number(number)}{target.unit}" for number in (target.figure, target.bound))
        sign, verdict = "≥" if target.at_least else "≤", "met" if target.met else "**missed**"
        yield f"| {target.text} | {target.conversations:,} | {found} | {sign} {asked} | {verdict} |"


def _figures(results: Results, size: int) -> Iterator[str]:
    yield "| scenario | stack | calls/s | CPU µs/call | p50 ms | p99 ms | service ÷ it |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for figure in (figure for figure in results.figures if figure.conversations == size):
        ours = figure.stack == OURS
        ratio = results.rate(size, figure.scenario) / figure.calls_per_second
        yield (
            f"| {figure.scenario if ours else ''} | {figure.stack} | {figure.calls_per_second:,.0f} "
            f"| {figure.cpu_us_per_call:,.0f} | {figure.p50_ms:.2f} | {figure.p99_ms:.2f} "
            f"| {'' if ours else f'{ratio:.2f}'} |"
        )


def _filters(results: Results, size: int) -> Iterator[str]:
    yield (
        "| filter | matches | first answer, ms | PostgreSQL, ms | first ÷ it | longest Redis command, ms "
        "| Redis of the first, ms | Redis of one again, ms |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for figure in (figure for figure in results.filters if figure.conversations == size):
        numbers = (figure.ratio, figure.longest_ms, figure.redis_ms, figure.again_ms)
        first = f"refused: {figure.refused}" if figure.refused else _number(figure.first_ms)
        yield (
            f"| {figure.filter} | {'' if figure.refused else f'{figure.matches:,}'} | {first} "
            f"| {_number(figure.postgres_ms)} | {' | '.join(map(_number, numbers))} |"
        )


def _values(results: Results, size: int) -> Iterator[str]:
    yield "| | |"
    yield "| --- | ---: |"
    for value in (value for value in results.values if value.conversations == size):
        yield f"| {value.name} | {_number(value.value)} {value.unit} |"


def _number(value: float) -> str:
    if isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
