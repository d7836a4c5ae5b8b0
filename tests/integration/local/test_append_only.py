"""Damage of the append-only file: what a failing machine left behind is cut off, all else is said and left alone."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from conversations.local.append_only import AppendOnlyFile, DamagedFileError
from conversations.local.engines import EngineError, RedisEngine, find_redis, private_directory
from conversations.local.processes import Child, ChildDiedError, start_child
from conversations.local.redis import redis_command, start_redis

BASE, CHANGES, LIST = "appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"
TRANSACTIONS = 40


@pytest.fixture(scope="module")
def engine() -> RedisEngine:
    return find_redis()


@pytest.fixture(scope="module")
def written(engine: RedisEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Redis that ended by itself: a base of 10 keys, then transactions that set two keys each."""
    folder = tmp_path_factory.mktemp("written")
    with private_directory() as sockets:
        command = redis_command(engine, folder, sockets / "redis.sock", "everysec")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        retry = Retry(ConstantBackoff(0.02), 500)
        with redis.Redis(unix_socket_path=str(sockets / "redis.sock"), retry=retry) as client:
            for number in range(10):
                client.set(f"base:{number}", "x")
            client.bgrewriteaof()
            while (
                not (folder / "appendonlydir" / BASE).exists() or client.info("persistence")["aof_rewrite_in_progress"]
            ):
                pass
            for number in range(TRANSACTIONS):
                with client.pipeline(transaction=True) as pipeline:
                    pipeline.set(f"a:{number}", "x" * 50).set(f"b:{number}", "x" * 50).execute()
        process.terminate()
        assert process.wait() == 0
    AppendOnlyFile(folder, engine).record_shutdown()
    return folder


class Place:
    """A folder that a test may damage, and Redis on it."""

    def __init__(self, engine: RedisEngine, folder: Path, sockets: Path) -> None:
        self.folder = folder
        self.files = folder / "appendonlydir"
        self.changes = self.files / CHANGES
        self.file = AppendOnlyFile(folder, engine)
        self._engine, self._socket = engine, sockets / "redis.sock"
        self.told: list[str] = []
        self.may_differ: bool | None = None

    def run(self, use: Callable[["redis.Redis"], None] = lambda _: None) -> set[str]:
        """Start Redis, use it, end it; return the keys that it had at first."""
        return asyncio.run(self._run(use))

    def _tell(self, line: str) -> None:
        # On a busy machine Redis is met while it loads.
        if not line.startswith("redis is loading its data: "):
            self.told.append(line)

    async def _run(self, use: Callable[["redis.Redis"], None]) -> set[str]:
        command = redis_command(self._engine, self.folder, self._socket, "everysec")
        self.may_differ = self.file.prepare(self.told.append)

        async def launch() -> Child:
            return await start_child("redis", command, self.folder)

        url = f"unix://{self._socket}"
        child = await asyncio.wait_for(start_redis(launch, self.file, url, self._tell), 20)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            keys = {str(key) for key in client.keys("*")}
            use(client)
        await child.stop(5)
        if child.process.returncode == 0:
            self.file.record_shutdown()
        return keys

    def kept(self) -> list[bytes]:
        """What is kept of damaged files."""
        return [file.read_bytes() for file in sorted(self.folder.glob("damaged/*"))]


@pytest.fixture
def place(engine: RedisEngine, written: Path, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "redis"
    shutil.copytree(written, folder)
    with private_directory() as sockets:
        yield Place(engine, folder, sockets)


def set_later(client: "redis.Redis") -> None:
    """Write a transaction."""
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set("later", "x")
        pipeline.execute()


def all_keys(transactions: int = TRANSACTIONS) -> set[str]:
    keys = {f"base:{number}" for number in range(10)}
    return keys | {f"{kind}:{number}" for kind in "ab" for number in range(transactions)}


def transactions_within(data: bytes) -> int:
    return data.count(b"*1\r\n$4\r\nEXEC\r\n")


def test_a_file_as_redis_left_it(place: Place) -> None:
    assert place.run() == all_keys()
    assert (place.told, place.may_differ, place.kept()) == ([], False, [])
    # Without its end noted, it may be another.
    (place.folder / "last-end.json").unlink()
    assert place.run() == all_keys()
    assert place.may_differ is True
    assert place.run() == all_keys()
    assert place.may_differ is False


@pytest.mark.parametrize("note", ["junk", "[1]", f'{{"{CHANGES}": "x"}}', f'{{"{CHANGES}": []}}'])
def test_a_note_that_cannot_be_read_is_none(place: Place, note: str) -> None:
    (place.folder / "last-end.json").write_text(note)
    assert place.run() == all_keys()
    assert (place.told, place.may_differ) == ([], True)


@pytest.mark.parametrize("time_changes", [True, False])
def test_other_bytes_that_redis_takes_are_told(place: Place, time_changes: bool) -> None:
    times = place.changes.stat()
    place.changes.write_bytes(place.changes.read_bytes().replace(b"x" * 50, b"x" * 49 + b"y", 1))
    if not time_changes:
        os.utime(place.changes, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert place.run(set_later) == all_keys()
    [sentence] = place.told
    assert sentence.startswith(f"{place.changes} is not as Redis left it: it holds other bytes. ")
    assert place.may_differ is True
    place.told.clear()
    assert place.run() == {*all_keys(), "later"}
    assert (place.told, place.may_differ) == ([], False)


def test_a_copy_of_the_same_bytes_is_the_same(place: Place) -> None:
    os.utime(place.changes, (1, 1))
    assert place.run() == all_keys()
    assert (place.told, place.may_differ) == ([], False)


def test_what_was_read_on_is_as_what_is_read_at_once(place: Place) -> None:
    """Also where the file was cut, or replaced, meanwhile."""

    def use(client: "redis.Redis") -> None:
        for number in range(3):
            client.set(f"more:{number}", "x" * 100)
            place.file.update_checksums()
        client.bgrewriteaof()
        while client.info("persistence")["aof_rewrite_in_progress"]:
            place.file.update_checksums()
        set_later(client)

    place.run(use)
    whole = AppendOnlyFile(place.folder, place.file.engine)
    assert whole.prepare(place.told.append) is False
    assert (place.told, whole.differences) == ([], [])


@pytest.mark.parametrize("zeros", [0, 1, 5000], ids=["cut", "and a zero", "and zeros"])
@pytest.mark.parametrize("share", [0.0, 0.0005, 0.31, 0.5, 0.777, 0.9995])
def test_cut_changes_are_cut_at_the_end_of_a_transaction(place: Place, share: float, zeros: int) -> None:
    """Nothing is half there, and what comes after is not lost with it."""
    whole = place.changes.read_bytes()
    cut = whole[: int(len(whole) * share)] + bytes(zeros)
    place.changes.write_bytes(cut)
    count = transactions_within(cut)
    assert place.run(set_later) == all_keys(count)
    assert place.may_differ is True
    lost = len(whole) - len(cut)
    if lost > 0:
        assert place.told.pop(0) == (
            f"{CHANGES} is shorter than Redis left it: {lost:,} bytes of {len(whole):,} are gone, and what they "
            "held is lost"
        )
    if len(cut) > 0:
        [sentence] = place.told
        how = f"in {zeros:,} bytes of zeros" if zeros else "in the middle of a change"
        found = re.fullmatch(
            f"the append-only file ended {how}: the last ([0-9,]+) bytes of {len(cut):,}, an incomplete write, "
            rf"were cut off; a copy of the original {CHANGES} is kept as (\S+)",
            sentence,
        )
        assert found
        assert Path(found[2]).read_bytes() == cut
        assert place.kept() == [cut]
    place.told.clear()
    assert place.run() == all_keys(count) | {"later"}
    assert (place.told, place.may_differ) == ([], False)


def test_changes_that_are_cut_between_two_transactions(place: Place) -> None:
    """Redis starts on them without a word."""
    whole = place.changes.read_bytes()
    end = whole.rindex(b"*1\r\n$5\r\nMULTI\r\n")
    place.changes.write_bytes(whole[:end])
    assert place.run() == all_keys(TRANSACTIONS - 1)
    assert place.told == [
        f"{CHANGES} is shorter than Redis left it: {len(whole) - end:,} bytes of {len(whole):,} are gone, and what "
        "they held is lost"
    ]
    assert place.may_differ is True
    place.told.clear()
    assert place.run() == all_keys(TRANSACTIONS - 1)
    assert place.told == []


def test_whole_changes_with_zeros_behind_them(place: Place) -> None:
    whole = place.changes.read_bytes()
    place.changes.write_bytes(whole + bytes(4096))
    assert place.run() == all_keys()
    assert "ended in 4,096 bytes of zeros: the last 4,096 bytes of" in place.told[0]
    assert place.changes.read_bytes() == whole


def damage_length(whole: bytes) -> bytes:
    """A length in the middle that reaches beyond the end."""
    place = whole.index(b"$50\r\n", len(whole) // 2)
    return whole[:place] + b"$99999999\r\n" + whole[place + 5 :]


def damage_format(whole: bytes) -> bytes:
    place = whole.index(b"$50\r\n", len(whole) // 2)
    return whole[:place] + b"%" + whole[place + 1 :]


def damage_command(whole: bytes) -> bytes:
    place = whole.index(b"\r\nSET\r\n", len(whole) // 2)
    return whole[:place] + b"\r\nSEU\r\n" + whole[place + 7 :]


def zeros_inside(whole: bytes) -> bytes:
    half = len(whole) // 2
    return whole[:half] + bytes(300) + whole[half + 300 :]


@pytest.mark.parametrize("damage", [damage_length, damage_format, damage_command, zeros_inside])
def test_changes_that_are_damaged_in_the_middle_are_left_alone(place: Place, damage: Callable[[bytes], bytes]) -> None:
    damaged = damage(place.changes.read_bytes())
    place.changes.write_bytes(damaged)
    for _ in range(2):
        with pytest.raises(DamagedFileError) as raised:
            place.run()
    assert place.changes.read_bytes() == damaged
    # The same file is kept once.
    assert place.kept() == [damaged]
    text = str(raised.value)
    found = re.search(r"can be read up to byte ([0-9,]+) of ([0-9,]+), and Redis does not start with it", text)
    assert found
    assert str(place.folder / "damaged") in text
    # What it says to do does it.
    command = re.search(r"from there on with (.*), and start again", text)
    assert command
    subprocess.run(command[1], shell=True, check=True)  # noqa: S602 - as a user does
    assert place.changes.stat().st_size == int(found[1].replace(",", ""))
    keys = place.run()
    assert keys == all_keys(transactions_within(place.changes.read_bytes()))
    assert len(keys) > 30
    assert place.may_differ is True


def set_ones(client: "redis.Redis") -> None:
    """Write changes that are one command each, and so no transactions."""
    for number in range(20):
        client.set(f"one:{number}", "x" * 50)


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        pytest.param(b"$50\r\n", b"$99999999\r\n", id="length"),
        pytest.param(b"$50\r\n", b"%50\r\n", id="format"),
        pytest.param(b"\r\nSET\r\n", b"\r\nSEU\r\n", id="command"),
    ],
)
def test_a_change_of_one_command_that_is_damaged_is_left_alone(place: Place, sound: bytes, broken: bytes) -> None:
    """Behind it there are others, which are no part of it."""
    place.run(set_ones)
    whole = place.changes.read_bytes()
    at = whole.index(sound, whole.index(b"one:9\r\n") - 30)
    damaged = whole[:at] + broken + whole[at + len(sound) :]
    place.changes.write_bytes(damaged)
    with pytest.raises(DamagedFileError):
        place.run()
    assert place.changes.read_bytes() == damaged


def test_a_change_of_one_command_that_is_cut_is_cut_off(place: Place) -> None:
    place.run(set_ones)
    whole = place.changes.read_bytes()
    at = whole.index(b"$50\r\n", whole.index(b"one:9\r\n"))
    place.changes.write_bytes(whole[: at + 9])
    assert {key for key in place.run() if key.startswith("one:")} == {f"one:{number}" for number in range(9)}
    assert "were cut off" in place.told[1]


@pytest.mark.parametrize("place_of_bit", [2, 50, -3])
def test_a_damaged_base_is_left_alone(place: Place, place_of_bit: int) -> None:
    base = place.files / BASE
    data = bytearray(base.read_bytes())
    data[place_of_bit] ^= 1
    base.write_bytes(bytes(data))
    with pytest.raises(DamagedFileError, match=f"the base of the append-only file is damaged, {base}: restore a"):
        place.run()
    assert base.read_bytes() == bytes(data)


def test_a_cut_base_is_left_alone(place: Place) -> None:
    base = place.files / BASE
    os.truncate(base, base.stat().st_size // 2)
    with pytest.raises(DamagedFileError, match="the base of the append-only file is damaged"):
        place.run()


@pytest.mark.parametrize("name", [BASE, CHANGES])
def test_a_missing_part_is_named(place: Place, name: str) -> None:
    (place.files / name).unlink()
    with pytest.raises(DamagedFileError, match=f"{name} is missing, a part of the append-only file"):
        place.run()


@pytest.mark.parametrize("content", [None, ""])
def test_a_lost_list_is_written_again(place: Place, content: str | None) -> None:
    """Redis would start empty, or not."""
    if content is None:
        (place.files / LIST).unlink()
    else:
        (place.files / LIST).write_text(content)
    assert place.run() == all_keys()
    assert place.told == [
        f"the list of the append-only file's parts was gone, and was rebuilt: {BASE}, {CHANGES}"
        + ("" if content is None else f", {LIST}")
    ]
    assert place.run() == all_keys()


def test_a_lost_list_of_several_parts_is_not_guessed(place: Place) -> None:
    (place.files / LIST).unlink()
    shutil.copy(place.files / BASE, place.files / "appendonly.aof.3.base.rdb")
    with pytest.raises(
        DamagedFileError, match="the list of the append-only file's parts, is gone, and it is ambiguous"
    ):
        place.run()


def test_a_list_that_cannot_be_read_is_left_alone(place: Place) -> None:
    (place.files / LIST).write_text("junk\n")
    with pytest.raises(DamagedFileError, match="the list of the append-only file's parts, cannot be read"):
        place.run()


def test_data_that_are_gone_are_not_begun_anew(place: Place) -> None:
    shutil.rmtree(place.files)
    for _ in range(2):
        with pytest.raises(DamagedFileError, match="the data is gone: .* is empty, but had appendonly.aof.2.base.rdb"):
            place.run()
    (place.folder / "last-end.json").unlink()
    assert place.run() == set()


def test_a_redis_that_ends_for_another_reason_says_so(place: Place) -> None:
    async def launch() -> Child:
        return await start_child("redis", [sys.executable, "-c", "exit('no such thing')"], place.folder)

    with pytest.raises(ChildDiedError, match="no such thing"):
        asyncio.run(start_redis(launch, place.file, "unix:///nowhere", place.told.append))


def test_it_is_an_error_of_the_engines() -> None:
    assert issubclass(DamagedFileError, EngineError)
