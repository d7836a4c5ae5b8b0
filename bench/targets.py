"""What the service is held to: ratios within one run, and limits of memory and starts."""

from collections.abc import Iterable, Iterator
from math import isnan, nan

from bench.memory import GROWTH_BY_MANY, GROWTH_BY_ONE, REFUSED
from bench.results import ENVOY_FLOOR, FCALL, FLOOR, OURS, POSTGRES, Results, Target, meanwhile
from bench.shapes import ALL, BROAD, FILTERED, WITH_WRITES

__all__ = ["targets"]

_RATIOS = (
    ("get", FLOOR, 0.55),
    (ALL.name, FLOOR, 0.45),
    (meanwhile(ALL.name), FLOOR, 0.45),
    ("list of 20, JSON", ENVOY_FLOOR, 0.85),
    ("ingest, single", FLOOR, 0.4),
    (ALL.name, POSTGRES, 1.2),
    ("ingest, single", POSTGRES, 1.0),
    ("ingest, batches of 100", POSTGRES, 0.4),
)
"""A scenario, another stack, and the least ratio of the service's calls per second to its."""

_FILTERED_TO_POSTGRES = 1.0
_WITH_WRITES_TO_WITHOUT = 0.5
_LONGEST_MS = 20.0
_BROAD_TO_POSTGRES = 2.0
_MOST_FOR_RATIO = 150_000
"""In a larger inbox a first answer is held to a time, not to PostgreSQL's."""
_SLOWEST_FIRST_MS = 3000.0
_AGAIN_MS = 3.0
_SLOWER = 1.5
"""How much more time a call may take far down the list, or in a larger inbox."""

_LIMITS = {
    "ready on an empty directory": 3.0,
    "ready on the data": 60.0,
    "memory of a conversation, after a restart": 2500.0,
    "memory of the worker": 120.0,
    GROWTH_BY_ONE: 5.0,
    GROWTH_BY_MANY: 5.0,
    REFUSED: 0.0,
}
"""Values, in their units."""


def targets(results: Results) -> list[Target]:
    """Return the targets of everything that was measured."""
    kinds = (_ratios, _limits, _growth, _filters)
    found = [target for size in results.sizes for kind in kinds for target in kind(results, size)]
    return [target for target in found if not isnan(target.figure)]


def _ratios(results: Results, size: int) -> Iterator[Target]:
    def rate(scenario: str, stack: str = OURS) -> float:
        return results.rate(size, scenario, stack)

    for scenario, stack, bound in _RATIOS:
        yield Target(f"{scenario} ÷ {stack}", size, rate(scenario) / rate(scenario, stack), bound)
    least, name = _first((rate(shape.name) / rate(shape.name, POSTGRES), shape.name) for shape in FILTERED)
    yield Target(f"any filtered list ÷ {POSTGRES}; least: {name}", size, least, _FILTERED_TO_POSTGRES)
    least, name = _first((rate(meanwhile(name)) / rate(name), name) for name in WITH_WRITES)
    text = f"any filtered list, messages coming in ÷ without; least: {name}"
    yield Target(text, size, least, _WITH_WRITES_TO_WITHOUT)
    times = rate("page 2") / rate("page 5,000")
    yield Target("time of page 5,000 ÷ page 2", size, times, _SLOWER, at_least=False)


def _limits(results: Results, size: int) -> Iterator[Target]:
    for value in results.values:
        if value.conversations == size and value.name in _LIMITS:
            yield Target(value.name, size, value.value, _LIMITS[value.name], at_least=False, unit=f" {value.unit}")


def _filters(results: Results, size: int) -> Iterator[Target]:
    """Filters that a worker has not seen before, and what they cost when they are asked again."""
    figures = [figure for figure in results.filters if figure.conversations == size]
    if not figures:
        return
    refused = sum(bool(figure.refused) for figure in figures)
    yield Target("filters that are refused", size, refused, 0, at_least=False)
    broad = {shape.name for shape in BROAD}
    compared = [figure for figure in figures if figure.filter in broad and size <= _MOST_FOR_RATIO]
    for text, values, bound, unit in (
        (
            "longest Redis command of a first answer",
            {f.filter: f.longest_ms for f in figures},
            _LONGEST_MS,
            " ms",
        ),
        ("first answer to a broad filter ÷ PostgreSQL", {f.filter: f.ratio for f in compared}, _BROAD_TO_POSTGRES, ""),
        ("first answer", {f.filter: f.first_ms for f in figures}, _SLOWEST_FIRST_MS, " ms"),
        ("Redis of an answer again, messages coming in", {f.filter: f.again_ms for f in figures}, _AGAIN_MS, " ms"),
    ):
        most, name = _first(((figure, name) for name, figure in values.items()), largest=True)
        yield Target(f"{text}; most: {name}", size, most, bound, at_least=False, unit=unit)


def _growth(results: Results, size: int) -> Iterator[Target]:
    """A larger inbox against the smallest one."""
    smallest = results.sizes[0]
    if size == smallest:
        return

    def times(scenario: str, stack: str = OURS) -> float:
        return results.rate(smallest, scenario, stack) / results.rate(size, scenario, stack)

    selective = ((times(shape.name), shape.name) for shape in FILTERED if shape.selective)
    most, name = _first(selective, largest=True)
    for text, figure in (
        (ALL.name, times(ALL.name)),
        (f"{ALL.name}, {FCALL}", times(ALL.name, FCALL)),
        (f"any selective list, most: {name}", most),
    ):
        yield Target(f"time of {text} ÷ with {smallest:,}", size, figure, _SLOWER, at_least=False)


def _first(found: Iterable[tuple[float, str]], *, largest: bool = False) -> tuple[float, str]:
    """Return the smallest or the largest of what was measured, with its name."""
    measured = [pair for pair in found if not isnan(pair[0])]
    return (max if largest else min)(measured, default=(nan, ""))
