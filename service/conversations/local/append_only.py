"""The append-only file of the embedded Redis: whether it is as Redis left it, and how it is repaired.

It is a folder: a base (a snapshot, with a checksum), the changes since then, and a manifest that lists both. Redis 8.2
handles damage like this:

    truncated changes, trailing zeros            refused, see below
    a bit flipped in the changes                 refused if the format breaks (12 of 100); otherwise loads other data
    a bit flipped in the base, or it is truncated          refused
    a listed file is missing, the manifest is invalid      refused
    no manifest                                  silently starts EMPTY, and overwrites an existing base

So a checksum of each file is recorded when Redis stops, and compared before it starts.

Truncated changes are left by a machine that failed. With `aof-load-truncated yes` Redis cuts them after the last
complete command, even in the middle of a transaction: what is acknowledged after that becomes part of it, and is lost
with it at the next start. So it is `no` here, and the file is cut after the last complete transaction; a copy is kept.
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
_MANIFEST = "appendonly.aof.manifest"
_BASE = re.compile(r"appendonly\.aof\.(\d+)\.base\.(rdb|aof)")
_CHANGES = re.compile(r"appendonly\.aof\.(\d+)\.incr\.aof")
_LISTED = re.compile(r"^file (\S+) seq \d+ type ([bhi])\b", re.MULTILINE)

# Redis' last log lines when it does not start with its file.
_CUT = re.compile(r"Unexpected end of file reading the append only file (?P<file>\S+?)\.? ")
_BROKEN = re.compile(
    r"(?:Bad file format|Unknown command '(?P<command>.*)') reading the append only file (?P<file>\S+?)[:.]?(?:\s|$)"
)
_BROKEN_BASE = re.compile(r"Wrong RDB checksum|Internal error in RDB|RDB CRC error")
_BROKEN_MANIFEST = "FATAL AOF MANIFEST FILE ERROR"

_PIECE_BYTES = 1024 * 1024

_TRANSACTION_START = b"*1\r\n$5\r\nMULTI\r\n"
_TRANSACTION_END = b"*1\r\n$4\r\nEXEC\r\n"
# The header of a command after another one.
_COMMAND = re.compile(rb"\r\n\*\d+\r\n\$\d+\r\n")


class DamagedFileError(EngineError):
    """Raised when Redis cannot start with its append-only file; says what to do."""


@dataclass(frozen=True, slots=True)
class _Checksum:
    """Size and checksum of a file."""

    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class AppendOnlyFile:
    """The append-only file in the folder of an embedded Redis."""

    directory: Path
    """Redis' folder."""
    engine: RedisEngine
    differences: list[str] = field(default_factory=list)
    """Found by `prepare`: a sentence for each file that differs from what Redis left."""
    _checksums: dict[str, _Checksum] = field(default_factory=dict)
    """By file name, up to where the file has been read."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _folder(self) -> Path:
        return self.directory / _FOLDER

    @property
    def _record(self) -> Path:
        """Records the files' checksums when Redis has stopped; only their names while it runs."""
        return self.directory / "last-end.json"

    def prepare(self, report: Callable[[str], None]) -> bool:
        """Check the files before Redis starts.

        Args:
            report: Called with what was wrong and is repaired, and with what is lost.

        Returns:
            Whether they may differ from what Redis left: then the data should be checked.

        Raises:
            DamagedFileError: Redis would not start with them, or would start empty.
        """
        self._checksums.clear()
        self.differences.clear()
        recorded = self._read_record()
        files = self._files()
        if not files:
            if recorded:
                raise DamagedFileError(
                    f"the data is gone: {self._folder} is empty, but had {_names(recorded)}. Restore it, or remove "
                    f"{self._record} to start empty."
                )
            return False
        if _MANIFEST not in files or not files[_MANIFEST].size:
            self._rebuild_manifest(files, report)
        listed = _LISTED.findall((self._folder / _MANIFEST).read_text(errors="replace"))
        for name, kind in listed:
            if kind != "h" and name not in files:
                raise DamagedFileError(
                    f"{self._folder / name} is missing, a part of the append-only file: restore it, from a backup if "
                    "necessary. Nothing was changed."
                )
        for name, left in recorded.items():
            found = files.get(name, left)
            if name == _MANIFEST or left is None or found is None or left == found:
                continue
            if found.size < left.size:
                gone = f"{left.size - found.size:,} bytes of {left.size:,} are gone"
                report(f"{name} is shorter than Redis left it: {gone}, and what they held is lost")
            else:
                self.differences.append(_difference(self._folder / name, left, found))
        self._write_record(dict.fromkeys(files, None))
        return recorded != files

    def update_checksums(self) -> None:
        """Read what was written since the last time, so that little is left to read at the end."""
        self._files()

    def record_shutdown(self) -> None:
        """Record a clean shutdown of Redis, with everything written."""
        self._write_record(dict(self._files()))

    def repair(self, log: Path) -> str:
        """Cut off an incomplete end, as a failing machine leaves it, and return what was cut off.

        Args:
            log: Log of a Redis that did not start.

        Returns:
            A sentence; empty if the file isn't why Redis did not start.

        Raises:
            DamagedFileError: The file is damaged in another way.
        """
        words = log.read_text(errors="replace")
        if _BROKEN_MANIFEST in words:
            raise DamagedFileError(
                f"{self._folder / _MANIFEST}, the list of the append-only file's parts, cannot be read: restore a "
                "sound copy, or remove it if each part exists once, and it is rebuilt. Nothing was changed."
            )
        found = _CUT.search(words) or _BROKEN.search(words)
        if found is None and not _BROKEN_BASE.search(words):
            return ""
        if found is None or _CHANGES.fullmatch(found["file"]) is None:
            raise DamagedFileError(
                f"the base of the append-only file is damaged, {self._base()}: restore a sound copy of the whole "
                f"folder {self._folder} from a backup; later changes cannot be read without it. Nothing was changed."
            )
        file = self._folder / found["file"]
        end = self._sound_length(file, found.groupdict().get("command"))
        copy = self._back_up(file)
        size, zeros = file.stat().st_size, _trailing_zeros(file)
        # Of a truncated file Redis says that it ends unexpectedly, and nothing else unless there are trailing zeros.
        if not (zeros or _CUT.search(words)) or not _is_torn(file, end):
            raise DamagedFileError(self._advice(file, end, copy))
        with file.open("r+b") as open_file:
            open_file.truncate(end)
            os.fsync(open_file.fileno())
        self._checksums.pop(file.name, None)
        how = f"in {zeros:,} bytes of zeros" if zeros else "in the middle of a change"
        return (
            f"the append-only file ended {how}: the last {size - end:,} bytes of {size:,}, an incomplete write, were "
            f"cut off; a copy of the original {file.name} is kept as {copy}"
        )

    def _advice(self, file: Path, end: int, copy: Path) -> str:
        size = file.stat().st_size
        cut = shlex.join([sys.executable, "-c", f"import os; os.truncate({str(file)!r}, {end})"])
        return (
            f"the append-only file is damaged: {file} can be read up to byte {end:,} of {size:,}, and Redis does not "
            f"start with it. Nothing was changed; a copy is kept as {copy}. Restore a sound copy from a backup; or "
            f"discard the {size - end:,} bytes from there on with {cut}, and start again."
        )

    def _sound_length(self, file: Path, unknown_command: str | None) -> int:
        """Return the length of a file's complete transactions before any command that Redis does not know."""
        # The server is also the checker, depending on the name it is called by.
        ended = subprocess.run(
            ["redis-check-aof", str(file)],
            executable=self.engine.server,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = re.search(rb"ok_up_to=(\d+)", ended.stdout)
        if found is None:
            raise DamagedFileError(f"the append-only file {file} is damaged, and cannot be examined")
        end = int(found[1])
        if unknown_command is not None and end:
            with _mapped(file) as data:
                place = data.find(f"\r\n{unknown_command}\r\n".encode(errors="replace"), 0, end)
                end = data.rfind(_TRANSACTION_END, 0, place) + len(_TRANSACTION_END) if place >= 0 else end
        return end

    def _back_up(self, file: Path) -> Path:
        """Keep a copy of a damaged file next to the folder; return its path. The same file is kept once."""
        kept = self.directory / "damaged" / f"{file.name}.{file.stat().st_mtime_ns}"
        if not kept.exists():
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            part = kept.with_suffix(".part")
            shutil.copy2(file, part)
            with part.open("rb") as copy:
                os.fsync(copy.fileno())
            part.rename(kept)
        return kept

    def _rebuild_manifest(self, files: dict[str, _Checksum], report: Callable[[str], None]) -> None:
        """Rebuild the manifest, if the files allow only one."""
        bases = [name for name in files if _BASE.fullmatch(name)]
        numbers = sorted(int(match[1]) for name in files if (match := _CHANGES.fullmatch(name)))
        is_one_row = numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        if len(bases) != 1 or not is_one_row:
            raise DamagedFileError(
                f"{self._folder / _MANIFEST}, the list of the append-only file's parts, is gone, and it is ambiguous: "
                f"{_names(files)}. Restore it, or leave only files that belong together. Nothing was changed."
            )
        base = _BASE.fullmatch(bases[0])
        assert base is not None
        lines = [f"file {bases[0]} seq {base[1]} type b"]
        lines += [f"file appendonly.aof.{number}.incr.aof seq {number} type i" for number in numbers]
        (self._folder / _MANIFEST).write_text("".join(f"{line}\n" for line in lines))
        report(f"the list of the append-only file's parts was gone, and was rebuilt: {_names(files)}")

    def _base(self) -> str:
        return ", ".join(str(self._folder / name) for name in self._files() if _BASE.fullmatch(name))

    def _files(self) -> dict[str, _Checksum]:
        """Return the size and checksum of each file, by name."""
        found: dict[str, _Checksum] = {}
        with self._lock:
            for file in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
                if file.name == _MANIFEST:
                    found[file.name] = _checksum(file, None)
                elif _BASE.fullmatch(file.name) or _CHANGES.fullmatch(file.name):
                    # Files only grow at their ends. A rewrite removes the files that it replaces.
                    with suppress(FileNotFoundError):
                        found[file.name] = self._checksums[file.name] = _checksum(file, self._checksums.get(file.name))
        return found

    def _read_record(self) -> dict[str, _Checksum | None]:
        try:
            recorded = json.loads(self._record.read_text())
            return {
                name: None if left is None else _Checksum(left["size"], left["crc32"])
                for name, left in recorded.items()
            }
        except (FileNotFoundError, ValueError, AttributeError, TypeError, KeyError):
            return {}

    def _write_record(self, files: dict[str, _Checksum | None]) -> None:
        part = self._record.with_suffix(".part")
        with part.open("w") as note:
            json.dump({name: left and asdict(left) for name, left in files.items()}, note)
            note.flush()
            os.fsync(note.fileno())
        part.rename(self._record)


def _names(files: Iterable[str]) -> str:
    return ", ".join(sorted(files))


def _checksum(file: Path, known: _Checksum | None) -> _Checksum:
    """Return the size and checksum of a file, given those of its beginning."""
    with file.open("rb") as open_file:
        if known is None or open_file.seek(0, os.SEEK_END) < known.size:
            known = _Checksum(0, 0)
        open_file.seek(known.size)
        size, crc32 = known.size, known.crc32
        while piece := open_file.read(_PIECE_BYTES):
            size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
    return _Checksum(size, crc32)


def _difference(file: Path, left: _Checksum, found: _Checksum) -> str:
    how = f"it had {left.size:,} bytes, and has {found.size:,}" if left.size != found.size else "it holds other bytes"
    return (
        f"{file} is not as Redis left it: {how}. Some data may be lost or altered: restore a sound copy if there is "
        "one. Inconsistencies are reported; what is stored only once, as most texts are, cannot be checked"
    )


@contextmanager
def _mapped(file: Path) -> Iterator[mmap.mmap]:
    with file.open("rb") as open_file, mmap.mmap(open_file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _is_torn(file: Path, end: int) -> bool:
    """Whether the rest of a file after a place is the beginning of one change, with or without trailing zeros.

    If it was damaged otherwise, it has the end of that or a later transaction, or another command.
    """
    if end >= file.stat().st_size:
        return False
    with _mapped(file) as data:
        if data[end : end + len(_TRANSACTION_START)] == _TRANSACTION_START:
            return data.find(b"\r\nEXEC\r\n", end) < 0
        return _COMMAND.search(data, end) is None


def _trailing_zeros(file: Path) -> int:
    """Return the number of trailing zero bytes of a file: blocks that were reserved but never written."""
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
