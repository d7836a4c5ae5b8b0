"""Targets: from figures to met or missed, and the tables that show it."""

import json

import pytest
from bench.measure import Figure
from bench.results import FCALL, FLOOR, OURS, POSTGRES, Results, Target, Value, to_json, to_markdown
from bench.targets import targets


def _figure(scenario: str, stack: str, calls_per_second: float, conversations: int = 1000) -> Figure:
    return Figure(conversations, scenario, stack, calls_per_second, 100.0, 1.0, 2.0, (calls_per_second,))


def _found(results: Results) -> dict[str, tuple[float, bool]]:
    return {target.text: (round(target.figure, 6), target.met) for target in targets(results)}


def test_a_ratio_is_ours_to_theirs() -> None:
    results = Results(figures=[_figure("get", OURS, 600), _figure("get", FLOOR, 1000)])
    assert _found(results) == {f"get ÷ {FLOOR}": (0.6, True)}


def test_a_ratio_below_the_bound_is_missed() -> None:
    results = Results(figures=[_figure("list of 20", OURS, 1100), _figure("list of 20", POSTGRES, 1000)])
    assert _found(results) == {f"list of 20 ÷ {POSTGRES}": (1.1, False)}


def test_times_of_pages_are_the_inverse_of_their_rates() -> None:
    results = Results(figures=[_figure("page 2", OURS, 1600), _figure("page 5,000", OURS, 1000)])
    assert _found(results) == {"time of page 5,000 ÷ page 2": (1.6, False)}


def test_a_larger_inbox_is_compared_with_the_smallest() -> None:
    results = Results(figures=[_figure("list of 20", OURS, 1400), _figure("list of 20", OURS, 1000, 10_000)])
    assert _found(results) == {"time of list of 20 ÷ with 1,000": (1.4, True)}


@pytest.mark.parametrize(
    ("ours", "engine", "figure", "met"),
    [
        pytest.param(260.0, 1000.0, 26_000.0, True, id="fast enough by itself"),
        pytest.param(200.0, 300.0, 200 / 300, True, id="near enough to the engine"),
        pytest.param(100.0, 300.0, 100 / 300, False, id="neither"),
    ],
)
def test_batches_have_two_ways_to_meet_their_target(ours: float, engine: float, figure: float, met: bool) -> None:
    scenario = "ingest, batches of 100"
    results = Results(figures=[_figure(scenario, OURS, ours), _figure(scenario, FCALL, engine)])
    [target] = targets(results)
    assert target.figure == pytest.approx(figure)
    assert target.met is met


def test_values_have_limits() -> None:
    results = Results(
        figures=[_figure("any", OURS, 1)],
        values=[Value(1000, "memory of the worker", 121, "MB"), Value(1000, "ready on the data", 59, "s")],
    )
    assert _found(results) == {"memory of the worker": (121, False), "ready on the data": (59, True)}


def test_tables_do_not_run_into_each_other() -> None:
    results = Results({"Machine": "2 cores"}, [_figure("get", OURS, 600)], [Value(1000, "memory", 5, "bytes")])
    lines = to_markdown(results, targets(results)).splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    assert len(rules) == 3
    assert all(lines[rule - 2] == "" for rule in rules)


def test_the_files_hold_targets_and_figures() -> None:
    results = Results({"Machine": "2 cores"}, [_figure("get", OURS, 600), _figure("get", FLOOR, 1000)])
    found = [Target("get ÷ floor", 1000, 0.6, 0.55, at_least=True)]
    markdown = to_markdown(results, found)
    assert "| get ÷ floor | 1,000 | 0.60 | ≥ 0.55 | met |\n" in markdown
    assert "|  | floor | 1,000 | 100 | 1.00 | 2.00 | 0.60 |\n" in markdown
    whole = json.loads(to_json(results, found))
    assert whole["targets"][0]["met"] is True
    assert [figure["calls_per_second"] for figure in whole["figures"]] == [600, 1000]
