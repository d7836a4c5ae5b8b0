"""Targets: from figures to met or missed, and the tables that show it."""

from typing import Any

import pytest
from bench.measure import Figure
from bench.results import FCALL, FLOOR, OURS, POSTGRES, FilterFigure, Results, Value, meanwhile, tables
from bench.shapes import BROAD, FILTERED, WITH_WRITES
from bench.targets import targets


def _figure(scenario: str, stack: str, calls_per_second: float, conversations: int = 1000) -> Figure:
    return Figure(conversations, scenario, stack, calls_per_second, 100.0, 1.0, 2.0)


def _found(*figures: Figure, values: list[Value] | None = None) -> dict[str, tuple[float, bool]]:
    results = Results(figures=list(figures), values=values or [])
    return {target.text: (round(target.figure, 6), target.met) for target in targets(results)}


@pytest.mark.parametrize(("ours", "met"), [(600, True), (500, False)])
def test_a_ratio_is_ours_to_theirs(ours: float, met: bool) -> None:
    assert _found(_figure("get", OURS, ours), _figure("get", FLOOR, 1000)) == {f"get ÷ {FLOOR}": (ours / 1000, met)}


def test_what_was_not_measured_has_no_target() -> None:
    assert _found(_figure("get", OURS, 1000)) == {}


def test_filtered_lists_are_held_to_the_slowest() -> None:
    rates = zip(FILTERED, [1100, 900, 1200], strict=False)
    figures = [
        figure
        for shape, rate in rates
        for figure in (_figure(shape.name, OURS, rate), _figure(shape.name, POSTGRES, 1000))
    ]
    assert _found(*figures) == {f"any filtered list ÷ {POSTGRES}; least: {FILTERED[1].name}": (0.9, False)}


def test_filtered_lists_may_lose_half_while_messages_come_in() -> None:
    name = WITH_WRITES[0]
    text = f"any filtered list, messages coming in ÷ without; least: {name}"
    assert _found(_figure(name, OURS, 1000), _figure(meanwhile(name), OURS, 400)) == {text: (0.4, False)}


def test_times_of_pages_are_the_inverse_of_their_rates() -> None:
    found = _found(_figure("page 2", OURS, 1600), _figure("page 5,000", OURS, 1000))
    assert found == {"time of page 5,000 ÷ page 2": (1.6, False)}


def test_a_larger_inbox_is_compared_with_the_smallest() -> None:
    selective = next(shape.name for shape in FILTERED if shape.selective)
    found = _found(
        *(_figure("list of 20", OURS, 1400), _figure("list of 20", OURS, 1000, 10_000)),
        *(_figure("list of 20", FCALL, 1000), _figure("list of 20", FCALL, 1000, 10_000)),
        *(_figure(selective, OURS, 1600), _figure(selective, OURS, 1000, 10_000)),
    )
    assert found == {
        "time of list of 20 ÷ with 1,000": (1.4, True),
        f"time of list of 20, {FCALL} ÷ with 1,000": (1.0, True),
        f"time of any selective list, most: {selective} ÷ with 1,000": (1.6, False),
    }


def test_values_have_limits() -> None:
    values = [Value(1000, "memory of the worker", 121, "MB"), Value(1000, "ready on the data", 59, "s")]
    found = _found(_figure("any", OURS, 1), values=values)
    assert found == {"memory of the worker": (121, False), "ready on the data": (59, True)}


def _filter(name: str, conversations: int = 1000, **numbers: Any) -> FilterFigure:
    return FilterFigure(conversations, name, 12, **numbers)


def _found_of_filters(*figures: FilterFigure) -> dict[str, tuple[float, bool]]:
    found = targets(Results(filters=list(figures)))
    return {target.text: (round(target.figure, 6), target.met) for target in found}


def test_filters_are_held_to_the_slowest_of_each_kind() -> None:
    names = [shape.name for shape in BROAD]
    found = _found_of_filters(
        _filter(names[0], first_ms=30, postgres_ms=10, longest_ms=3, again_ms=1),
        _filter(names[1], first_ms=40, postgres_ms=40, longest_ms=21, again_ms=2),
        _filter("another", first_ms=50, postgres_ms=1, longest_ms=2, again_ms=4),
    )
    assert found == {
        "filters that are refused": (0, True),
        f"longest Redis command of a first answer; most: {names[1]}": (21, False),
        f"first answer to a broad filter ÷ PostgreSQL; most: {names[0]}": (3, False),
        "first answer; most: another": (50, True),
        "Redis of an answer again, messages coming in; most: another": (4, False),
    }


def test_filters_that_are_refused_count_and_have_no_times() -> None:
    found = _found_of_filters(_filter(BROAD[0].name, refused="too broad", postgres_ms=10, longest_ms=3))
    assert found == {
        "filters that are refused": (1, False),
        f"longest Redis command of a first answer; most: {BROAD[0].name}": (3, True),
    }


def test_in_a_large_inbox_a_first_answer_is_held_to_a_time_alone() -> None:
    found = _found_of_filters(_filter(BROAD[0].name, 1_000_000, first_ms=3001, postgres_ms=1))
    assert found == {"filters that are refused": (0, True), f"first answer; most: {BROAD[0].name}": (3001, False)}


def test_the_table_of_filters() -> None:
    figures = [
        _filter("a filter", first_ms=30, postgres_ms=10, longest_ms=3, redis_ms=4, again_ms=1),
        FilterFigure(1000, "another", longest_ms=0.5, redis_ms=0.5, refused="it is too broad"),
    ]
    text = tables(Results(filters=figures), [])
    assert "## 1,000 conversations\n\n### Filters\n\n|" in text
    assert "| a filter | 12 | 30.00 | 10.00 | 3.00 | 3.00 | 4.00 | 1.00 |\n" in text
    assert "| another |  | refused: it is too broad |  |  | 0.50 | 0.50 |  |\n" in text
    assert "calls/s" not in text
    assert "Memory" not in text


def test_the_tables() -> None:
    figures = [_figure("get", OURS, 600), _figure("get", FLOOR, 1000)]
    results = Results({"Machine": "2 cores"}, figures, [Value(1000, "memory", 5, "bytes")])
    text = tables(results, targets(results))
    assert "1 of 1 targets met." in text
    assert "| get ÷ floor | 1,000 | 0.60 | ≥ 0.55 | met |\n" in text
    assert "| get | service | 600 | 100 | 1.00 | 2.00 |  |\n" in text
    assert "|  | floor | 1,000 | 100 | 1.00 | 2.00 | 0.60 |\n" in text
    # They do not run into each other.
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    assert len(rules) == 3
    assert all(lines[rule - 2] == "" for rule in rules)
