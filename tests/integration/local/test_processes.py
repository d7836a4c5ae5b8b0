import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conversations.local.processes import ChildDiedError, start_child

PARENT = """
import asyncio, sys
from pathlib import Path
from conversations.local.processes import start_child
async def main():
    child = await start_child("sleeper", ["/bin/sleep", "60"], Path(sys.argv[1]))
    print(child.process.pid, flush=True)
    await child.process.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("echo one; echo two >&2; exit 3", "ended with status 3; the end of {log}:\n    one\n    two\n"),
        ("exit 0", "ended with status 0"),
        ("kill -KILL $$", "was killed by SIGKILL"),
    ],
)
async def test_death_says_how_and_the_last_words(tmp_path: Path, script: str, end: str) -> None:
    child = await start_child("some worker", ["/bin/sh", "-c", script], tmp_path)
    with pytest.raises(ChildDiedError) as died:
        await child.watch()
    told = end.format(log=tmp_path / "some-worker.log")
    assert str(died.value) == f"some worker (process {child.process.pid}) {told}"


async def test_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        child = await start_child("echo", ["/bin/echo", word], tmp_path)
        await child.process.wait()
    assert (tmp_path / "echo.log").read_text() == "second\n"
    assert (tmp_path / "echo.log.1").read_text() == "first\n"


async def test_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    child = await start_child("deaf", ["/bin/sh", "-c", script], tmp_path)
    while "deaf" not in child.log.read_text():
        await asyncio.sleep(0.01)
    await child.stop(0.2)
    assert child.process.returncode == -signal.SIGKILL


async def test_how_a_child_ended_is_known_however_often_it_is_told_to(tmp_path: Path) -> None:
    child = await start_child(
        "quick", ["/bin/sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"], tmp_path
    )
    while "up" not in child.log.read_text():
        await asyncio.sleep(0.01)
    child.terminate()
    # It has ended, and nobody has noticed yet.
    time.sleep(0.3)  # noqa: ASYNC251
    child.terminate()
    await child.stop(1)
    assert child.process.returncode == 7


async def test_the_last_word_is_the_last_line_without_the_time(tmp_path: Path) -> None:
    lines = "2026-01-02 03:04:05,678 WARNING conversations.server: waiting for Redis: gone"
    child = await start_child("worker 1", ["/bin/echo", f"first\n{lines}\n"], tmp_path)
    await child.process.wait()
    assert child.last_log_line() == "waiting for Redis: gone"
    child.log.unlink()
    assert child.last_log_line() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
