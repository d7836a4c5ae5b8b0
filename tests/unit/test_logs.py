"""A line that comes with every call is told now and then."""

import logging

import pytest

from conversations import logs
from conversations.logs import OncePerInterval


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(logs, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def logger(clock: list[float]) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addFilter(OncePerInterval(10.0))
    return logger


def test_a_line_is_told_once_and_then_with_how_many_there_were(
    logger: logging.Logger, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    logger.addHandler(caplog.handler)
    for seconds in (0, 1, 5, 4, 1, 30):
        clock[0] += seconds
        logger.warning("redis is %s", "away")
    logger.warning("another line")
    assert caplog.messages == [
        "redis is away",
        "redis is away (2 more times)",
        "redis is away (1 more times)",
        "another line",
    ]


def test_any_number_of_lines_takes_little_room(logger: logging.Logger) -> None:
    [rule] = logger.filters
    assert isinstance(rule, OncePerInterval)
    for number in range(10_000):
        logger.warning("line %d", number)
    assert len(rule._passed) <= 256


def test_headers_of_callers_are_no_errors(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.Logger("test")
    logger.addFilter(logs.CallerErrorFilter())
    logger.addHandler(caplog.handler)
    logger.error("Invalid encoding on %s", b"\xff")
    logger.error("Invalid encoding on b'\\xff'")
    logger.error("ExecuteBatchError raised in core by servicer method [/a/b]")
    logger.error("another")
    assert [record.getMessage() for record in caplog.records] == ["another"]
