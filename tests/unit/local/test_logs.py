"""Logs stay small while their programs write them."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from conversations.local import logs
from conversations.local.logs import keep_small, older, rotate


def test_a_small_log_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    log.write_text("x" * 100)
    rotate(log, 100)
    assert log.read_text() == "x" * 100
    assert not older(log).exists()


def test_a_large_log_becomes_the_older_one_and_its_program_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    with log.open("a") as program:
        for part in ("first", "second", "third"):
            print(part * 50, file=program, flush=True)
            rotate(log, 100)
            print(f"after {part}", file=program, flush=True)
    assert log.read_text() == "after third\n"
    assert older(log).read_text() == "after second\n" + "third" * 50 + "\n"


def test_a_log_that_is_gone_is_none(tmp_path: Path) -> None:
    rotate(tmp_path / "redis.log", 100)


def test_a_log_that_cannot_be_kept_is_cut_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    log.write_text("x" * 101)
    older(log).mkdir()
    with pytest.raises(OSError, match="directory"):
        rotate(log, 100)
    assert log.read_text() == ""


async def test_all_logs_of_a_folder_are_kept_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_CHECK_SECONDS", 0.01)
    (tmp_path / "a.log").write_text("a" * 101)
    (tmp_path / "b.log").write_text("b" * 99)
    older(tmp_path / "c.log").mkdir()
    looks = asyncio.Semaphore(0)

    def rotate_one_that_grows(log: Path, max_bytes: int) -> None:
        if log.name == "c.log":
            log.write_text("c" * 101)
            loop.call_soon_threadsafe(looks.release)
        rotate(log, max_bytes)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(logs, "rotate", rotate_one_that_grows)
    (tmp_path / "c.log").touch()
    told: list[str] = []
    task = asyncio.create_task(keep_small(tmp_path, 100, told.append))
    for _ in range(5):
        await asyncio.wait_for(looks.acquire(), 5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (tmp_path / "a.log").read_text() == ""
    assert (tmp_path / "b.log").read_text() == "b" * 99
    [problem] = told
    assert problem.startswith(f"{tmp_path}/c.log was truncated, and its content is lost: ")
