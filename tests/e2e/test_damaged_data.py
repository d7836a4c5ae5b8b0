"""What `up` says of data that are not as Redis left them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from tests.conftest import Stack, stop_stack
from tests.e2e.test_up import event, lives
from tests.rest import Rest

RunUp = Callable[..., Stack]


def ingest(stack: Stack, *numbers: int) -> None:
    with Rest(stack.http_url) as rest:
        assert rest.post("/events.ingest", {"events": [event(number) for number in numbers]}).json["rejected"] == []


def totals(stack: Stack, filters: str = "") -> tuple[int, int]:
    with Rest(stack.http_url) as rest:
        page = rest.post("/conversations.list", {"filters": filters}).json["pagination_data"]
        return page["total"], page["filtered_total"]


def changes(stack: Stack) -> Path:
    [file] = (stack.data_dir / "redis" / "appendonlydir").glob("*.incr.aof")
    return file


def wait_for(stack: Stack, sentence: str) -> str:
    """Return the line of stderr that has a sentence, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for line in stack.said.splitlines():
            if sentence in line:
                return line
        time.sleep(0.05)
    raise AssertionError(stack.said)


def test_nothing_is_said_after_a_proper_end(run_up: RunUp) -> None:
    for numbers in ((1, 2, 3), (4,)):
        stack = run_up()
        ingest(stack, *numbers)
        assert stop_stack(stack) == 0
        assert stack.said == ""


def test_after_another_end_the_data_are_checked(run_up: RunUp) -> None:
    stack = run_up()
    ingest(stack, 1, 2, 3)
    with redis.Redis.from_url(stack.redis_url) as client:
        pid = client.info("server")["process_id"]
    stack.process.kill()
    stack.process.wait()
    while lives(pid):
        time.sleep(0.02)
    stack = run_up()
    wait_for(stack, "the data was checked and is consistent")
    assert totals(stack) == (3, 3)


@pytest.mark.parametrize("time_changes", [True, False])
def test_another_text_is_not_taken_for_the_one_that_was_written(run_up: RunUp, time_changes: bool) -> None:
    """No other record has it: only the file can tell."""
    stack = run_up()
    ingest(stack, 1, 2, 3)
    stop_stack(stack)
    file, times = changes(stack), changes(stack).stat()
    file.write_bytes(file.read_bytes().replace(b"Hello", b"Jello"))
    if not time_changes:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    stack = run_up()
    assert f"{file} is not as Redis left it: it holds other bytes. Some data may be lost" in stack.said
    wait_for(stack, "the data was checked and is consistent")
    stop_stack(stack)
    assert run_up().said == ""


def test_data_that_do_not_hold_together_are_said_at_once(run_up: RunUp) -> None:
    """The key of a conversation has a flipped bit: it is in the list, and nowhere else."""
    stack = run_up()
    ingest(stack, 1, 2, 3)
    stop_stack(stack)
    data = changes(stack).read_bytes()
    key = b"conversation:{0}:00000000-0000-0000-0000-000000000002"
    place = data.rindex(key)
    changes(stack).write_bytes(data[:place] + b"b" + data[place + 1 :])
    stack = run_up()
    assert totals(stack) == (3, 3)
    assert totals(stack, "source:facebook") == (3, 2)
    wait_for(stack, "the data is inconsistent: partition 0: the list has 3 conversations, the index 2")
    wait_for(stack, "the data is inconsistent: 1 conversation has lost its record, but not its messages: 00000000-")
    repaired = subprocess.run(
        [sys.executable, "-m", "conversations", "doctor", "--repair", "--data-dir", str(stack.data_dir)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (repaired.returncode, repaired.stdout.splitlines()[-1]) == (0, "everything is as it should be now")
    assert totals(stack, "source:facebook") == (3, 3)


def test_what_was_cut_off_is_said(run_up: RunUp) -> None:
    stack = run_up()
    ingest(stack, 1, 2)
    stop_stack(stack)
    whole = changes(stack).read_bytes()
    changes(stack).write_bytes(whole[:-10])
    stack = run_up()
    said = wait_for(stack, "the append-only file ended in the middle of a change: the last ")
    kept = re.search(r"is kept as (\S+)", said)
    assert kept
    assert Path(kept[1]).read_bytes() == whole[:-10]
    wait_for(stack, "the data was checked")
    assert totals(stack, "source:facebook") == (1, 1)


def test_a_file_that_redis_refuses_is_an_error_that_says_what_to_do(run_up: RunUp) -> None:
    stack = run_up()
    ingest(stack, 1, 2)
    stop_stack(stack)
    data = changes(stack).read_bytes()
    place = data.index(b"\r\n$4\r\nHSET\r\n") + 2
    damaged = data[:place] + b"%" + data[place + 1 :]
    changes(stack).write_bytes(damaged)
    command = [sys.executable, "-m", "conversations", "up", "--http-port", "0", "--grpc-port", "0"]
    ended = subprocess.run(
        [*command, "--data-dir", str(stack.data_dir)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: the append-only file is damaged: {changes(stack)} can be read up to byte ")
    assert ended.stderr.count("\n") == 1
    assert changes(stack).read_bytes() == damaged


def test_a_lost_setup_is_written_again(run_up: RunUp) -> None:
    stack = run_up("--partitions", "4")
    ingest(stack, *range(1, 20))
    with redis.Redis.from_url(stack.redis_url) as client:
        client.delete("conversations:setup")
    assert stop_stack(stack, signal.SIGINT) == 0
    stack = run_up()
    assert totals(stack) == (19, 19)
    wait_for(stack, "repaired: 1 record of how Redis was set up cannot be read")
