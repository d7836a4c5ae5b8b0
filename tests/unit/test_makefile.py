"""The Makefile: what `make run` passes on, and when it rebuilds .venv. Python is a script here."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Makes a "virtual environment" whose Python is this script again, and notes what it was called for.
PYTHON = """\
#!/bin/sh
echo "$*" >> {calls}
case "$*" in
    *print*) echo "Python {version}" ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *requirements-run.txt) exit $(cat {folder}/pip-status 2>/dev/null || echo 0) ;;
    *--version*|-c*) exit 0 ;;
esac
"""
MADE = "-m venv .venv"


class Checkout:
    """A folder with what the Makefile needs, and Pythons that do nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "work tree"
        self.calls = folder / "calls"
        (self.home / "protos").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "requirements-run.txt", "requirements-dev.txt"):
            shutil.copy(ROOT / name, self.home)
        for version in ("3.11", "3.12"):
            self.add_python(version)

    def add_python(self, version: str) -> None:
        self.write(self.folder / f"python{version}", version)

    def write(self, program: Path, version: str) -> None:
        program.unlink(missing_ok=True)
        program.write_text(PYTHON.format(calls=self.calls, folder=self.folder, version=version))
        program.chmod(0o755)

    def make(self, *arguments: str) -> list[str]:
        """Run make, which need not succeed; return what Python was called for."""
        self.calls.unlink(missing_ok=True)
        path = f"{self.folder}:/usr/bin:/bin"
        (self.folder / "python3").unlink(missing_ok=True)
        (self.folder / "python3").symlink_to(self.folder / "python3.11")
        subprocess.run(
            ["make", *arguments], cwd=self.home, env={"PATH": path}, capture_output=True, text=True, check=False
        )
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [call for call in calls if not call.startswith("-c")]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path)
    calls = made.make(".venv/.tools-installed")
    assert calls[0] == MADE
    assert [call.split()[-1] for call in calls[1:]] == ["requirements-run.txt", ".", "requirements-dev.txt"]
    return made


def installed(checkout: Checkout, *arguments: str) -> list[str]:
    return checkout.make(".venv/.installed", *arguments)


def test_what_is_whole_stays(checkout: Checkout) -> None:
    assert installed(checkout) == []
    assert installed(checkout, "PYTHON=python3.11") == []
    assert checkout.make(".venv/.tools-installed") == []


def without_mark(checkout: Checkout) -> None:
    (checkout.home / ".venv/.installed").unlink()


def with_an_empty_mark(checkout: Checkout) -> None:
    (checkout.home / ".venv/.installed").write_text("")


def without_python(checkout: Checkout) -> None:
    (checkout.home / ".venv/bin/python").unlink()


def with_a_python_that_is_gone(checkout: Checkout) -> None:
    without_python(checkout)
    (checkout.home / ".venv/bin/python").symlink_to("/nowhere/python3.11")


def with_a_python_of_another_version(checkout: Checkout) -> None:
    checkout.write(checkout.home / ".venv/bin/python", "3.12")


def in_a_folder_that_was_moved(checkout: Checkout) -> None:
    checkout.home = checkout.home.rename(checkout.folder / "elsewhere")


def as_a_link_to_nowhere(checkout: Checkout) -> None:
    shutil.rmtree(checkout.home / ".venv")
    (checkout.home / ".venv").symlink_to("/nowhere")


def interrupted_while_packages_came(checkout: Checkout) -> None:
    (checkout.folder / "pip-status").write_text("130")
    (checkout.home / "requirements-run.txt").write_text("# changed\n")
    calls = installed(checkout)
    assert len(calls) == 1
    assert MADE not in calls
    (checkout.folder / "pip-status").unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        without_mark,
        with_an_empty_mark,
        without_python,
        with_a_python_that_is_gone,
        with_a_python_of_another_version,
        in_a_folder_that_was_moved,
        as_a_link_to_nowhere,
        interrupted_while_packages_came,
    ],
)
def test_what_is_not_whole_is_made_anew(checkout: Checkout, spoil: Callable[[Checkout], None]) -> None:
    spoil(checkout)
    calls = checkout.make(".venv/.tools-installed")
    assert calls[0] == MADE
    assert len(calls) == 4
    assert installed(checkout) == []


def test_another_python_that_is_named_makes_it_anew_and_then_stays(checkout: Checkout) -> None:
    assert installed(checkout, "PYTHON=python3.12")[0] == MADE
    assert installed(checkout, "PYTHON=python3.12") == []
    assert installed(checkout) == []


def test_a_python_that_is_not_there_changes_nothing(checkout: Checkout) -> None:
    assert installed(checkout, "PYTHON=python2.7") == []
    assert installed(checkout) == []


def test_new_packages_are_installed_into_what_is_whole(checkout: Checkout) -> None:
    (checkout.home / "requirements-run.txt").write_text("# changed\n")
    calls = installed(checkout)
    assert len(calls) == 2
    assert MADE not in calls


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], ""),
        (["HTTP_PORT=8081"], "--http-port 8081"),
        (["HTTP_PORT=0", "GRPC_PORT=0"], "--http-port 0 --grpc-port 0"),
        (["WORKERS=2", "DATA_DIR=/tmp/a b"], "--workers 2 --data-dir /tmp/a b"),
    ],
)
def test_make_run_passes_on_what_it_is_told(checkout: Checkout, arguments: list[str], options: str) -> None:
    program = checkout.home / ".venv/bin/conversations"
    program.write_text('#!/bin/sh\necho "told: $*"\n')
    program.chmod(0o755)
    command = ["make", "--old-file=setup", "run", *arguments]
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=checkout.home, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2].rstrip() == f"told: up --demo {options}".rstrip()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-run.txt", "requirements-dev.txt"])
def test_a_lock_file_has_versions_and_hashes_and_nothing_else(lock: str) -> None:
    entry = re.compile(r"[a-z0-9-]+==\S+( ; [^\\]+)? \\(\n {4}--hash=sha256:[0-9a-f]{64}( \\)?)+\n")
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    assert entry.sub("", text) == ""


def versions(lock: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / lock).read_text(), re.MULTILINE))


def test_what_runs_is_a_part_of_what_is_tested() -> None:
    assert versions("requirements.txt") < versions("requirements-run.txt") < versions("requirements-dev.txt")
    names = {entry.split("==")[0] for entry in versions("requirements-run.txt")}
    assert names.isdisjoint({"mypy", "ruff", "pytest", "hypothesis", "uv"})
