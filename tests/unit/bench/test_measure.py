"""Rounds: in turn, medians, and longer ones for what is slow."""

from bench.loads import CONNECTIONS, Load
from bench.measure import Contender, compare


class _Server:
    def __init__(self, log: list[str], stack: str, rates: list[float], *, cuts_off: bool = True) -> None:
        self._log, self._rates = log, rates
        self.lengths: list[float] = []
        self.contender = Contender(stack, [], self._run, warm_up_seconds=0.0, cuts_off=cuts_off)

    def _run(self, seconds: float) -> Load:
        self._log.append(self.contender.stack)
        self.lengths.append(seconds)
        return Load(round(self._rates.pop(0) * seconds), seconds, 1.0, 2.0)


def test_stacks_take_turns_and_the_median_counts() -> None:
    log: list[str] = []
    servers = [_Server(log, "a", [1000, 5000, 2000]), _Server(log, "b", [3000, 3000, 3000])]
    a, b = compare(1, "get", [server.contender for server in servers], seconds=1, rounds=3)
    assert log == list("ababab")
    assert (a.calls_per_second, a.rounds, b.calls_per_second) == (2000, (1000, 5000, 2000), 3000)


def test_a_slow_server_is_measured_for_longer_from_then_on() -> None:
    slow = _Server([], "a", [CONNECTIONS] * 3)
    compare(1, "get", [slow.contender], seconds=1, rounds=2)
    assert slow.lengths == [1, 3, 3]


def test_a_load_that_waits_for_all_answers_needs_no_longer_round() -> None:
    slow = _Server([], "a", [CONNECTIONS] * 2, cuts_off=False)
    compare(1, "get", [slow.contender], seconds=1, rounds=2)
    assert slow.lengths == [1, 1]
