"""What the service is held to, as ratios within one run."""

from collections.abc import Iterator

from bench.results import ENVOY_FLOOR, FCALL, FLOOR, OURS, POSTGRES, SEARCH, Results, Target
from bench.scenarios import FILTERED, WITH_WRITES

__all__ = ["meanwhile", "targets"]

_DEFAULT_LIST = "list of 20"


def meanwhile(scenario: str) -> str:
    """Return what a scenario is called while messages come in."""
    return f"{scenario}, messages coming in"


def targets(results: Results) -> list[Target]:
    """Return the targets of everything that was measured."""
    found: list[Target] = []
    for size in results.sizes:
        found += _reads(results, size)
        found += _filtered(results, size)
        found += _writes(results, size)
        found += _values(results, size)
    found += _growth(results)
    return found


def _at_least(results: Results, size: int, scenario: str, stack: str, bound: float) -> Iterator[Target]:
    ratio = results.ratio(size, scenario, stack)
    if ratio is not None:
        yield Target(f"{scenario} ÷ {stack}", size, ratio, bound, at_least=True)


def _reads(results: Results, size: int) -> Iterator[Target]:
    yield from _at_least(results, size, "get", FLOOR, 0.55)
    yield from _at_least(results, size, _DEFAULT_LIST, FLOOR, 0.45)
    yield from _at_least(results, size, meanwhile(_DEFAULT_LIST), FLOOR, 0.45)
    yield from _at_least(results, size, _DEFAULT_LIST, POSTGRES, 1.2)
    second, far = (results.figure(size, page, OURS) for page in ("page 2", "page 5,000"))
    if second and far:
        ratio = second.calls_per_second / far.calls_per_second
        yield Target("time of page 5,000 ÷ page 2", size, ratio, 1.5, at_least=False)
    yield from _at_least(results, size, "list of 20, JSON", ENVOY_FLOOR, 0.85)


def _filtered(results: Results, size: int) -> Iterator[Target]:
    names = [shape.name for shape in FILTERED]
    for name in [*names, *map(meanwhile, WITH_WRITES)]:
        yield from _at_least(results, size, name, SEARCH, 0.85)
    for name in names:
        yield from _at_least(results, size, name, FCALL, 0.85)
    for name in names:
        yield from _at_least(results, size, name, POSTGRES, 1.0)


def _writes(results: Results, size: int) -> Iterator[Target]:
    yield from _at_least(results, size, "ingest, single", FLOOR, 0.4)
    batch = results.figure(size, "ingest, batches of 100", OURS)
    if batch is None:
        return
    messages = 100 * batch.calls_per_second
    ratio = results.ratio(size, "ingest, batches of 100", FCALL)
    if ratio is None or messages >= 25_000:
        text = "messages/s in batches of 100 (or 0.6 of the engine)"
        yield Target(text, size, messages, 25_000, at_least=True)
    else:
        text = f"ingest, batches of 100 ÷ {FCALL} (or 25,000 messages/s; {messages:,.0f} found)"
        yield Target(text, size, ratio, 0.6, at_least=True)


_LIMITS = {
    "memory of a conversation": 2500.0,
    "memory of a conversation, after a restart": 2500.0,
    "memory of the worker": 120.0,
    "ready on an empty directory": 3.0,
    "ready on the data": 60.0,
}
_SHARES = ("smaller share of two workers, through Envoy", "smaller share of two workers, shared port")


def _values(results: Results, size: int) -> Iterator[Target]:
    for value in results.values:
        if value.conversations != size:
            continue
        if value.name in _LIMITS:
            yield Target(value.name, size, value.value, _LIMITS[value.name], at_least=False, unit=f" {value.unit}")
        if value.name in _SHARES:
            yield Target(value.name, size, value.value, 40.0, at_least=True, unit=f" {value.unit}")


def _growth(results: Results) -> Iterator[Target]:
    """A larger inbox against the smallest one."""
    smallest, *larger = results.sizes or [0]
    for size in larger:
        for scenario in [_DEFAULT_LIST, *(shape.name for shape in FILTERED if shape.selective)]:
            small, large = results.figure(smallest, scenario, OURS), results.figure(size, scenario, OURS)
            if small and large:
                ratio = small.calls_per_second / large.calls_per_second
                yield Target(f"time of {scenario} ÷ with {smallest:,}", size, ratio, 1.5, at_least=False)
