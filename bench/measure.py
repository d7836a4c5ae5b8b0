"""Measures servers in turn, so that what else happens on the machine happens to all of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.generators import CONNECTIONS, Load
from bench.processes import cpu_seconds

__all__ = ["Contender", "Figure", "compare"]

# Calls that the end of a round cuts off do not count: with fewer than this the rate would be too low.
_FEWEST_CALLS = 6 * CONNECTIONS
_LONGER = 3.0
_WARM_UP_SECONDS = 0.3
_WAIT_SECONDS, _MOST_WAITS, _IDLE_SHARE = 0.1, 300, 0.2


@dataclass(frozen=True, slots=True)
class Contender:
    """A server, and how load is made for it."""

    stack: str
    pids: Sequence[int]
    """Roots of the process trees whose CPU time counts."""
    run: Callable[[float], Load]
    """Makes load for so many seconds."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one scenario and one stack: of each number, the median of the rounds."""

    conversations: int
    scenario: str
    stack: str
    calls_per_second: float
    cpu_us_per_call: float
    """Of all processes of the stack; the program that makes the load is none of them."""
    p50_ms: float
    p99_ms: float


def compare(
    conversations: int, scenario: str, contenders: Sequence[Contender], *, seconds: float, rounds: int
) -> list[Figure]:
    """Measure each contender so many times, one after the other; slow ones for longer."""
    processes = [pid for contender in contenders for pid in contender.pids]
    for contender in contenders:
        contender.run(_WARM_UP_SECONDS)
    found: dict[str, list[tuple[Load, float]]] = {contender.stack: [] for contender in contenders}
    lengths = dict.fromkeys(found, seconds)
    for _ in range(rounds):
        for contender in contenders:
            stack = contender.stack
            _wait_until_idle(processes)
            measured = _measured(contender, lengths[stack])
            if measured[0].calls < _FEWEST_CALLS and lengths[stack] == seconds:
                lengths[stack] = _LONGER * seconds
                measured = _measured(contender, lengths[stack])
            found[stack].append(measured)
    return [
        Figure(
            conversations,
            scenario,
            stack,
            calls_per_second=median(load.calls_per_second for load, _ in measured),
            cpu_us_per_call=median(cpu * 1e6 / max(load.calls, 1) for load, cpu in measured),
            p50_ms=median(load.p50_ms for load, _ in measured),
            p99_ms=median(load.p99_ms for load, _ in measured),
        )
        for stack, measured in found.items()
    ]


def _wait_until_idle(pids: Sequence[int]) -> None:
    """Let servers finish what the one before has left them: a slow search goes on when nobody waits for it."""
    for _ in range(_MOST_WAITS):
        before = cpu_seconds(pids)
        time.sleep(_WAIT_SECONDS)
        if cpu_seconds(pids) - before < _IDLE_SHARE * _WAIT_SECONDS:
            return


def _measured(contender: Contender, seconds: float) -> tuple[Load, float]:
    before = cpu_seconds(contender.pids)
    load = contender.run(seconds)
    return load, cpu_seconds(contender.pids) - before
