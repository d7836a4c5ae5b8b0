"""What a run found, and the two files it becomes: JSON with every number, Markdown to read."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from bench.measure import Figure

__all__ = ["ENVOY_FLOOR", "FCALL", "FLOOR", "OURS", "POSTGRES", "REDIS", "SEARCH", "Results", "Target", "Value"]

OURS = "service"
FLOOR = "floor"
ENVOY_FLOOR = "Envoy before the floor"
FCALL = "engine, FCALL"
SEARCH = "engine, FT.SEARCH"
POSTGRES = "FastAPI, PostgreSQL"
REDIS = "FastAPI, Redis"


@dataclass(frozen=True, slots=True)
class Value:
    """A number that is no call."""

    conversations: int
    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for, and what was found."""

    text: str
    conversations: int
    figure: float
    bound: float
    at_least: bool
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

    def figure(self, conversations: int, scenario: str, stack: str) -> Figure | None:
        """Return what was measured of a scenario."""
        for figure in self.figures:
            if (figure.conversations, figure.scenario, figure.stack) == (conversations, scenario, stack):
                return figure
        return None

    def ratio(self, conversations: int, scenario: str, stack: str, ours: str = OURS) -> float | None:
        """Return our calls per second over those of another stack."""
        mine, other = self.figure(conversations, scenario, ours), self.figure(conversations, scenario, stack)
        return mine.calls_per_second / other.calls_per_second if mine and other and other.calls_per_second else None

    @property
    def sizes(self) -> list[int]:
        """Return the numbers of conversations, in the order of measuring."""
        return list(dict.fromkeys([figure.conversations for figure in self.figures]))


def to_json(results: Results, targets: Sequence[Target]) -> str:
    """Return everything as JSON."""
    whole = {
        "about": results.about,
        "targets": [{**asdict(target), "met": target.met} for target in targets],
        "figures": [asdict(figure) for figure in results.figures],
        "values": [asdict(value) for value in results.values],
    }
    return json.dumps(whole, indent=1) + "\n"


def to_markdown(results: Results, targets: Sequence[Target]) -> str:
    """Return the tables: targets, then what was measured, then where."""
    parts = ["# Results", *_targets(targets)]
    for size in results.sizes:
        parts += [f"## {size:,} conversations", *_figures(results, size), *_values(results, size)]
    parts += ["## Where and with what", *(f"- {name}: {value}" for name, value in results.about.items())]
    return "\n\n".join(_joined(parts)) + "\n"


def _joined(parts: Sequence[str]) -> Iterator[str]:
    """Rows of a table, and points of a list, stand line under line."""
    block: list[str] = []
    for part in parts:
        if block and not (part[0] == block[-1][0] and part[0] in "|-"):
            yield "\n".join(block)
            block = []
        block.append(part)
    yield "\n".join(block)


def _targets(targets: Sequence[Target]) -> Iterator[str]:
    yield f"{sum(target.met for target in targets)} of {len(targets)} targets met."
    yield "| target | conversations | found | asked | |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for target in targets:
        asked = f"{'≥' if target.at_least else '≤'} {_number(target.bound)}{target.unit}"
        found = f"{_number(target.figure)}{target.unit}"
        verdict = "met" if target.met else "**missed**"
        yield f"| {target.text} | {target.conversations:,} | {found} | {asked} | {verdict} |"


def _figures(results: Results, size: int) -> Iterator[str]:
    yield "| scenario | stack | calls/s | CPU µs/call | p50 ms | p99 ms | service ÷ it |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for figure in results.figures:
        if figure.conversations != size:
            continue
        ours = figure.stack.startswith(OURS)
        ratio = None if ours else results.ratio(size, figure.scenario, figure.stack)
        yield (
            f"| {figure.scenario if ours else ''} | {figure.stack} | {figure.calls_per_second:,.0f} "
            f"| {figure.cpu_us_per_call:,.0f} | {figure.p50_ms:.2f} | {figure.p99_ms:.2f} "
            f"| {'' if ratio is None else f'{ratio:.2f}'} |"
        )


def _values(results: Results, size: int) -> Iterator[str]:
    values = [value for value in results.values if value.conversations == size]
    if values:
        yield "### Memory, starts, shares"
        yield "| | |"
        yield "| --- | ---: |"
    for value in values:
        yield f"| {value.name} | {_number(value.value)} {value.unit} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
