"""Rounds: in turn, medians, and longer ones for what is slow."""

from bench.generators import CONNECTIONS, Load
from bench.measure import Contender, compare


class _Server:
    def __init__(self, log: list[str], stack: str, rates: list[float]) -> None:
        self._log, self._rates = log, rates
        self.lengths: list[float] = []
        self.contender = Contender(stack, [], self._run)

    def _run(self, seconds: float) -> Load:
        self._log.append(self.contender.stack)
        self.lengths.append(seconds)
        return Load(round(self._rates.pop(0) * seconds), seconds, 1.0, 2.0)


def test_stacks_take_turns_after_a_warm_up_and_the_median_counts() -> None:
    log: list[str] = []
    servers = [_Server(log, "a", [9000, 1000, 5000, 2000]), _Server(log, "b", [9000, 3000, 3000, 3000])]
    a, b = compare(1, "get", [server.contender for server in servers], seconds=1, rounds=3)
    assert log == list("abababab")
    assert (a.calls_per_second, b.calls_per_second) == (2000, 3000)


def test_a_slow_server_is_measured_for_longer_from_then_on() -> None:
    slow = _Server([], "a", [CONNECTIONS] * 4)
    compare(1, "get", [slow.contender], seconds=1, rounds=2)
    assert slow.lengths[1:] == [1, 3, 3]
