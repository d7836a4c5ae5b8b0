import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from conversations.local import redis as embedded
from conversations.local.engines import RedisEngine, find_redis, private_directory
from conversations.local.redis import keep_flushed, redis_command, wait_until_loaded

# While it loads, Redis looks at its clients once in 1024 commands, and a new one has several things to ask.
DOCUMENTS = 20_000


@pytest.fixture(scope="module")
def engine() -> RedisEngine:
    return find_redis()


@contextmanager
def running(
    engine: RedisEngine, directory: Path, *options: str, appendfsync: str = "everysec"
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run the embedded Redis on a folder; give its URL, which may not answer yet, and its process."""
    with ExitStack() as cleanup:
        socket = cleanup.enter_context(private_directory()) / "redis.sock"
        command = [*redis_command(engine, directory, socket, appendfsync), *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        cleanup.callback(process.wait)
        cleanup.callback(process.terminate)
        yield f"unix://{socket}", process


def connected(url: str) -> "redis.Redis":
    """Return a client that waits until Redis answers."""
    return redis.Redis.from_url(url, decode_responses=True, retry=Retry(ConstantBackoff(0.05), 200))


@pytest.mark.parametrize(("appendfsync", "policy"), [("everysec", "no"), ("always", "always")])
def test_data_is_kept_in_the_append_only_file(
    engine: RedisEngine, tmp_path: Path, appendfsync: str, policy: str
) -> None:
    with running(engine, tmp_path, appendfsync=appendfsync) as (url, _), connected(url) as client:
        wanted = {"appendonly": "yes", "appendfsync": policy, "save": "", "port": "0", "aof-use-rdb-preamble": "yes"}
        assert client.config_get(*wanted) == wanted
    assert (tmp_path / "appendonlydir").is_dir()


def test_no_acknowledged_change_is_lost_with_the_process(engine: RedisEngine, tmp_path: Path) -> None:
    with running(engine, tmp_path) as (url, process), connected(url) as client:
        for number in range(200):
            client.set(f"key:{number}", number)
        process.kill()
    with running(engine, tmp_path) as (url, _), connected(url) as client:
        assert client.dbsize() == 200


async def test_wait_lasts_until_all_is_loaded_and_tells_how_far_it_is(engine: RedisEngine, tmp_path: Path) -> None:
    with running(engine, tmp_path) as (url, _), connected(url) as client:
        untyped: Any = client
        untyped.execute_command("FT.CREATE index ON HASH PREFIX 1 doc: SCHEMA x TEXT")
        with client.pipeline(transaction=False) as pipeline:
            for number in range(DOCUMENTS):
                pipeline.hset(f"doc:{number}", "x", "word")
            pipeline.execute()
    told: list[str] = []
    with running(engine, tmp_path, "--key-load-delay", "20") as (url, _):
        await wait_until_loaded(url, told.append)
        with redis.Redis.from_url(url, decode_responses=True) as now:
            answer = now.ft("index").search("word")
    assert answer.total == DOCUMENTS
    assert told
    assert all(line.startswith("redis is loading its data: ") and line.endswith("%") for line in told)


async def test_file_is_flushed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
    file.parent.mkdir()
    file.write_text("data")
    flushed: list[int] = []
    monkeypatch.setattr(embedded, "_FLUSH_SECONDS", 0.01)
    failures = [OSError("disk full"), OSError("disk full")]

    def flush(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        flushed.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", flush)
    told: list[str] = []
    task = asyncio.create_task(keep_flushed(tmp_path, told.append))
    while len(flushed) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    assert set(flushed) == {file.stat().st_ino}
    assert told == ["redis' data cannot be flushed to the disk: disk full"]
