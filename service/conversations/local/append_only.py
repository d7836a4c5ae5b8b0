"""The append-only file of the embedded Redis: whether it is as Redis left it, and what becomes of it when it is not.

It is a folder: a base (a snapshot, with a checksum), the changes since then, and a list of both. Of damage Redis 8.2
does this:

    changes cut, zeros at their end   refused, see below
    a bit flipped in the changes      refused where the format breaks (12 of 100); otherwise loaded, with other data
    a bit flipped in the base, or it is cut                refused
    a file of the list is missing, the list is no list     refused
    no list                           starts EMPTY without a word, and writes its base over one that is there

So a checksum of each file is noted when Redis ends, and compared before it starts.

Cut changes are those of a machine that failed. With `aof-load-truncated yes` Redis cuts them behind the last whole
command, be that in the middle of a transaction: what is acknowledged after that is part of it, and is lost with it at
the next start. So it is `no` here, and the file is cut at the end of the last whole transaction, when a copy is kept.
"""

import json
import mmap
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from conversations.local.engines import EngineError, RedisEngine

__all__ = ["AppendOnlyFile", "DamagedFileError"]

_FOLDER = "appendonlydir"
_LIST = "appendonly.aof.manifest"
_BASE = re.compile(r"appendonly\.aof\.(\d+)\.base\.(rdb|aof)")
_CHANGES = re.compile(r"appendonly\.aof\.(\d+)\.incr\.aof")
_LISTED = re.compile(r"^file (\S+) seq \d+ type ([bhi])\b", re.MULTILINE)

# What Redis says last when it does not start on its file.
_CUT = re.compile(r"Unexpected end of file reading the append only file (?P<file>\S+?)\.? ")
_BROKEN = re.compile(
    r"(?:Bad file format|Unknown command '(?P<command>.*)') reading the append only file (?P<file>\S+?)[:.]?(?:\s|$)"
)
_BROKEN_BASE = re.compile(r"Wrong RDB checksum|Internal error in RDB|RDB CRC error")
_BROKEN_LIST = "FATAL AOF MANIFEST FILE ERROR"

_PIECE_BYTES = 1024 * 1024

_BEGIN_OF_TRANSACTION = b"*1\r\n$5\r\nMULTI\r\n"
_END_OF_TRANSACTION = b"*1\r\n$4\r\nEXEC\r\n"
# The head of a command behind another one.
_COMMAND = re.compile(rb"\r\n\*\d+\r\n\$\d+\r\n")


class DamagedFileError(EngineError):
    """Raised when Redis cannot start on its append-only file; says what to do."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """What a file holds."""

    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class AppendOnlyFile:
    """The append-only file in the folder of an embedded Redis."""

    directory: Path
    """Redis' own folder."""
    engine: RedisEngine
    differences: list[str] = field(default_factory=list)
    """Found by `prepare`: a sentence for each file that is not as Redis left it."""
    _sums: dict[str, _Sum] = field(default_factory=dict)
    """By name, of the files as far as they have been read."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _folder(self) -> Path:
        return self.directory / _FOLDER

    @property
    def _note(self) -> Path:
        """What the files were like when Redis ended; only their names while it runs."""
        return self.directory / "last-end.json"

    def prepare(self, tell: Callable[[str], None]) -> bool:
        """Look at the files before Redis starts.

        Args:
            tell: Called with what was wrong and is mended, and with what is gone.

        Returns:
            Whether they may be other than Redis left them: then the data want to be checked.

        Raises:
            DamagedFileError: Redis would not start on them, or would start empty.
        """
        self._sums.clear()
        self.differences.clear()
        noted = self._read_note()
        files = self._files()
        if not files:
            if noted:
                raise DamagedFileError(
                    f"the data are gone: {self._folder} is empty, and had {_names(noted)}. Put it back, or remove "
                    f"{self._note} to start with nothing."
                )
            return False
        if _LIST not in files or not files[_LIST].size:
            self._write_list(files, tell)
        listed = _LISTED.findall((self._folder / _LIST).read_text(errors="replace"))
        for name, kind in listed:
            if kind != "h" and name not in files:
                raise DamagedFileError(
                    f"{self._folder / name} is missing, a part of the append-only file: put it back, from a backup if "
                    "need be. Nothing was changed."
                )
        for name, left in noted.items():
            found = files.get(name, left)
            if name == _LIST or left is None or found is None or left == found:
                continue
            if found.size < left.size:
                gone = f"{left.size - found.size:,} bytes of {left.size:,} are gone"
                tell(f"{name} is shorter than Redis left it: {gone}, and what was written in them is lost")
            else:
                self.differences.append(_difference(self._folder / name, left, found))
        self._write_note(dict.fromkeys(files, None))
        return noted != files

    def read_on(self) -> None:
        """Read what was written since the last time, so that at the end there is little left to read."""
        self._files()

    def note_end(self) -> None:
        """Note that Redis ended by itself, with all that it had to write written."""
        self._write_note(dict(self._files()))

    def mend(self, log: Path) -> str:
        """Cut off what a failing machine did not write in whole, and return what was cut off.

        Args:
            log: Of a Redis that did not start.

        Returns:
            A sentence; empty where the file is not what kept Redis from starting.

        Raises:
            DamagedFileError: The file is damaged in another way.
        """
        words = log.read_text(errors="replace")
        if _BROKEN_LIST in words:
            raise DamagedFileError(
                f"{self._folder / _LIST}, the list of the append-only file's parts, cannot be read: put back a sound "
                "copy, or remove it where each part is there once, and it is written again. Nothing was changed."
            )
        found = _CUT.search(words) or _BROKEN.search(words)
        if found is None and not _BROKEN_BASE.search(words):
            return ""
        if found is None or _CHANGES.fullmatch(found["file"]) is None:
            raise DamagedFileError(
                f"the base of the append-only file is damaged, {self._base()}: put back a sound copy of the whole "
                f"folder {self._folder} from a backup; what changed since then cannot be read without it. Nothing was "
                "changed."
            )
        file = self._folder / found["file"]
        end = self._sound_length(file, found.groupdict().get("command"))
        copy = self._keep(file)
        size, zeros = file.stat().st_size, _zeros_at_the_end(file)
        # Of a file that is cut Redis says that it ends, and nothing else unless there are zeros behind.
        if not (zeros or _CUT.search(words)) or not _is_torn(file, end):
            raise DamagedFileError(self._advice(file, end, copy))
        with file.open("r+b") as open_file:
            open_file.truncate(end)
            os.fsync(open_file.fileno())
        self._sums.pop(file.name, None)
        how = f"in {zeros:,} bytes of zeros" if zeros else "in the middle of a change"
        return (
            f"the append-only file ended {how}: the last {size - end:,} bytes of {size:,} were cut off, which is what "
            f"was being written when it ended; {file.name} as it was is kept as {copy}"
        )

    def _advice(self, file: Path, end: int, copy: Path) -> str:
        size = file.stat().st_size
        cut = shlex.join([sys.executable, "-c", f"import os; os.truncate({str(file)!r}, {end})"])
        return (
            f"the append-only file is damaged: {file} can be read up to byte {end:,} of {size:,}, and Redis does not "
            f"start on it. Nothing was changed; a copy is kept as {copy}. Put back a sound copy from a backup; or go "
            f"on without the {size - end:,} bytes from there on, by {cut}, and start again."
        )

    def _sound_length(self, file: Path, unknown_command: str | None) -> int:
        """Return up to where a file has whole transactions, and before a command that Redis does not know."""
        # The server is the checker too, going by its name.
        ended = subprocess.run(
            ["redis-check-aof", str(file)],
            executable=self.engine.server,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = re.search(rb"ok_up_to=(\d+)", ended.stdout)
        if found is None:
            raise DamagedFileError(f"the append-only file {file} is damaged, and cannot be looked into")
        end = int(found[1])
        if unknown_command is not None and end:
            with _mapped(file) as data:
                place = data.find(f"\r\n{unknown_command}\r\n".encode(errors="replace"), 0, end)
                end = data.rfind(_END_OF_TRANSACTION, 0, place) + len(_END_OF_TRANSACTION) if place >= 0 else end
        return end

    def _keep(self, file: Path) -> Path:
        """Keep a copy of a damaged file beside the folder; return where. The same file is kept once."""
        kept = self.directory / "damaged" / f"{file.name}.{file.stat().st_mtime_ns}"
        if not kept.exists():
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            part = kept.with_suffix(".part")
            shutil.copy2(file, part)
            with part.open("rb") as copy:
                os.fsync(copy.fileno())
            part.rename(kept)
        return kept

    def _write_list(self, files: dict[str, _Sum], tell: Callable[[str], None]) -> None:
        """Write the list of parts anew, where there can be only one."""
        bases = [name for name in files if _BASE.fullmatch(name)]
        numbers = sorted(int(match[1]) for name in files if (match := _CHANGES.fullmatch(name)))
        is_one_row = numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        if len(bases) != 1 or not is_one_row:
            raise DamagedFileError(
                f"{self._folder / _LIST}, the list of the append-only file's parts, is gone, and of the parts there "
                f"are several: {_names(files)}. Put it back, or leave only what belongs together. Nothing was changed."
            )
        base = _BASE.fullmatch(bases[0])
        assert base is not None
        lines = [f"file {bases[0]} seq {base[1]} type b"]
        lines += [f"file appendonly.aof.{number}.incr.aof seq {number} type i" for number in numbers]
        (self._folder / _LIST).write_text("".join(f"{line}\n" for line in lines))
        tell(f"the list of the append-only file's parts was gone, and is written again: {_names(files)}")

    def _base(self) -> str:
        return ", ".join(str(self._folder / name) for name in self._files() if _BASE.fullmatch(name))

    def _files(self) -> dict[str, _Sum]:
        """Return what each file holds, by name."""
        found: dict[str, _Sum] = {}
        with self._lock:
            for file in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
                if file.name == _LIST:
                    found[file.name] = _read_on(file, None)
                elif _BASE.fullmatch(file.name) or _CHANGES.fullmatch(file.name):
                    # Nothing but their ends changes. A rewrite removes the files that it replaces.
                    with suppress(FileNotFoundError):
                        found[file.name] = self._sums[file.name] = _read_on(file, self._sums.get(file.name))
        return found

    def _read_note(self) -> dict[str, _Sum | None]:
        try:
            noted = json.loads(self._note.read_text())
            return {name: None if left is None else _Sum(left["size"], left["crc32"]) for name, left in noted.items()}
        except (FileNotFoundError, ValueError, AttributeError, TypeError, KeyError):
            return {}

    def _write_note(self, files: dict[str, _Sum | None]) -> None:
        part = self._note.with_suffix(".part")
        with part.open("w") as note:
            json.dump({name: left and asdict(left) for name, left in files.items()}, note)
            note.flush()
            os.fsync(note.fileno())
        part.rename(self._note)


def _names(files: Iterable[str]) -> str:
    return ", ".join(sorted(files))


def _read_on(file: Path, known: _Sum | None) -> _Sum:
    """Return what a file holds, given what the beginning of it holds."""
    with file.open("rb") as open_file:
        if known is None or open_file.seek(0, os.SEEK_END) < known.size:
            known = _Sum(0, 0)
        open_file.seek(known.size)
        size, crc32 = known.size, known.crc32
        while piece := open_file.read(_PIECE_BYTES):
            size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
    return _Sum(size, crc32)


def _difference(file: Path, left: _Sum, found: _Sum) -> str:
    how = f"it had {left.size:,} bytes, and has {found.size:,}" if left.size != found.size else "it holds other bytes"
    return (
        f"{file} is not as Redis left it: {how}. Some data may be lost, or others than were written: put back a sound "
        "copy if there is one. What no longer fits together is told; what stands in one place alone, as most texts do, "
        "cannot be checked"
    )


@contextmanager
def _mapped(file: Path) -> Iterator[mmap.mmap]:
    with file.open("rb") as open_file, mmap.mmap(open_file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _is_torn(file: Path, end: int) -> bool:
    """Whether what stands behind a place is the beginning of one change, with zeros behind it or not.

    Where it was damaged otherwise, the end of the transaction is there, or of a later one, or another command.
    """
    if end >= file.stat().st_size:
        return False
    with _mapped(file) as data:
        if data[end : end + len(_BEGIN_OF_TRANSACTION)] == _BEGIN_OF_TRANSACTION:
            return data.find(b"\r\nEXEC\r\n", end) < 0
        return _COMMAND.search(data, end) is None


def _zeros_at_the_end(file: Path) -> int:
    """Return how many bytes of zeros a file ends in: blocks that were reserved and never written."""
    size = file.stat().st_size
    with file.open("rb") as open_file:
        place = size
        while place > 0:
            start = max(place - 65536, 0)
            open_file.seek(start)
            rest = open_file.read(place - start).rstrip(b"\0")
            if rest:
                return size - start - len(rest)
            place = start
    return size
