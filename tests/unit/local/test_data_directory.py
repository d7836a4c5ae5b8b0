import os
import subprocess
import sys
from pathlib import Path

import pytest

from conversations.local.data_directory import DirectoryInUseError, open_data_directory
from conversations.local.redis import running_url

HOLD = """
import sys
from pathlib import Path
from conversations.local.data_directory import open_data_directory
with open_data_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_process_is_kept_out_and_told_by_whom(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUseError) as refused, open_data_directory(tmp_path):
            pass
    assert str(refused.value) == (
        f"data directory {tmp_path} is in use by process {holder.pid}: stop it, or choose another --data-dir"
    )
    with open_data_directory(tmp_path):
        pass


def test_child_that_inherits_the_lock_holds_it_after_its_parent(tmp_path: Path) -> None:
    with open_data_directory(tmp_path) as directory:
        orphan = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[directory.lock])
        directory.add_holder(orphan.pid)
    with orphan, pytest.raises(DirectoryInUseError, match=f"by process {os.getpid()} and {orphan.pid}"):
        open_data_directory(tmp_path).__enter__()
    with open_data_directory(tmp_path):
        pass


def test_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    with open_data_directory(tmp_path / "a" / "b") as directory:
        assert directory.redis.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_url_is_there_while_redis_runs(tmp_path: Path) -> None:
    assert running_url(tmp_path) is None
    with open_data_directory(tmp_path) as directory, directory.announced_redis("unix:///somewhere"):
        assert running_url(tmp_path) == "unix:///somewhere"
    assert running_url(tmp_path) is None
