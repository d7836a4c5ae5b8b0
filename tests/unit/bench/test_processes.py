"""CPU time of a tree of processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.processes import cpu_seconds, running, tree

_BUSY = "import time\nwhile time.process_time() < 0.2: pass"


def test_a_program_gets_variables_besides_those_of_this_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['PATH'] != '', os.environ['BENCH'])"]
    with running(command, log=tmp_path / "log", environment={"BENCH": "yes"}) as process:
        assert process.stdout is not None
        assert process.stdout.read().split() == ["True", "yes"]


def test_children_count_while_they_run_and_after_they_ended() -> None:
    before = cpu_seconds([os.getpid()])
    with subprocess.Popen([sys.executable, "-c", f"{_BUSY}\ninput()"], stdin=subprocess.PIPE) as child:
        assert child.pid in [process.pid for process in tree(os.getpid())]
        deadline = time.monotonic() + 20
        while cpu_seconds([os.getpid()]) - before < 0.2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert cpu_seconds([child.pid]) >= 0.1
        child.communicate(b"\n")
    assert tree(child.pid) == []
    assert cpu_seconds([os.getpid()]) - before >= 0.2
