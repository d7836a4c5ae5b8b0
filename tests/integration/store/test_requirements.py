"""What is wrong with a Redis is said in one sentence each, before anything is written to it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr
from tests.integration.store.conftest import OpenStore

from conversations.errors import ConfigurationError
from conversations.local.engines import RedisEngine, find_redis, throwaway_redis
from conversations.settings import Settings
from conversations.store import open_store
from conversations.store.client import Client

TIMEOUT = (
    "The search setting ON_TIMEOUT is return, not fail: a search that times out would return a part as if it were all; "
    "set it with `FT.CONFIG SET ON_TIMEOUT fail`, in Redis 8 `CONFIG SET search-on-timeout fail`, and in its startup "
    "options."
)
MINPREFIX = (
    "The search setting MINPREFIX is 2, not 1: prefixes of one character would find nothing; set it with `FT.CONFIG "
    "SET MINPREFIX 1`, in Redis 8 `CONFIG SET search-min-prefix 1`, and in its startup options."
)
EXPANSIONS = (
    "The search setting MAXPREFIXEXPANSIONS is 200, not 1000000: prefixes of many words would lose matches; set it "
    "with `FT.CONFIG SET MAXPREFIXEXPANSIONS 1000000`, in Redis 8 `CONFIG SET search-max-prefix-expansions 1000000`, "
    "and in its startup options."
)


@pytest.fixture(scope="module")
def engine() -> RedisEngine:
    return find_redis()


@contextmanager
def own_redis(directory: Path, *arguments: str) -> Iterator[str]:
    """Run a Redis with these arguments alone, and give its URL."""
    socket = directory / "r.sock"
    command = [arguments[0], "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory)]
    process = subprocess.Popen([*command, *arguments[1:]], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield f"unix://{socket}"
    finally:
        process.kill()
        process.wait()


async def complaint(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await open_store(Settings(redis_url=SecretStr(url)))
    return caught.value.message


def keys(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        size = client.dbsize()
        assert isinstance(size, int)
        return size


async def test_a_redis_without_search(engine: RedisEngine, tmp_path: Path) -> None:
    assert engine.module is not None, "search is built into this Redis: it cannot be left out"
    with own_redis(tmp_path, str(engine.server)) as url:
        assert await complaint(url) == (
            "Redis has no search module: use Redis 8 or Redis Stack, or load redisearch.so with --loadmodule."
        )
        assert keys(url) == 0


async def test_the_defaults_of_the_search_module(engine: RedisEngine, tmp_path: Path) -> None:
    assert engine.module is not None, "search is built into this Redis: its arguments have other names"
    with own_redis(tmp_path, str(engine.server), "--loadmodule", str(engine.module)) as url:
        assert await complaint(url) == f"{TIMEOUT} {MINPREFIX} {EXPANSIONS}"
        assert keys(url) == 0


@pytest.mark.parametrize(
    ("option", "value", "right", "sentence"),
    [
        ("ON_TIMEOUT", "return", "fail", TIMEOUT),
        ("MINPREFIX", "2", "1", MINPREFIX),
        ("MAXPREFIXEXPANSIONS", "200", "1000000", EXPANSIONS),
    ],
)
async def test_each_wrong_setting_is_said_alone(
    client: Client, redis_url: str, option: str, value: str, right: str, sentence: str
) -> None:
    await client.redis.execute_command("FT.CONFIG", "SET", option, value)
    try:
        assert await complaint(redis_url) == sentence
    finally:
        await client.redis.execute_command("FT.CONFIG", "SET", option, right)


async def test_more_expansions_than_needed_are_right(client: Client, opened: OpenStore) -> None:
    await client.redis.execute_command("FT.CONFIG", "SET", "MAXPREFIXEXPANSIONS", "2000000")
    try:
        await opened()
    finally:
        await client.redis.execute_command("FT.CONFIG", "SET", "MAXPREFIXEXPANSIONS", "1000000")


async def test_another_database_than_0(engine: RedisEngine) -> None:
    """Search indexes database 0 only: in another one no filter would find anything."""
    with throwaway_redis(engine) as url:
        assert "database" in await complaint(f"{url}?db=1")
    with throwaway_redis(engine) as url:
        store = await open_store(Settings(redis_url=SecretStr(url)))
        await store.close()
        assert "database" in await complaint(f"{url}?db=1")


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_wrong_password_is_not_waited_out(engine: RedisEngine, password: str) -> None:
    """It is not away: no waiting will help."""
    with throwaway_redis(engine) as url:
        with redis.Redis.from_url(url) as client:
            client.config_set("requirepass", "hunter2")
        message = await complaint(url.replace("unix://", f"unix://:{password}@") if password else url)
        assert "password" in message
        assert "hunter2" not in message


async def test_a_user_without_rights(engine: RedisEngine) -> None:
    with throwaway_redis(engine) as url:
        with redis.Redis.from_url(url) as client:
            client.acl_setuser("weak", enabled=True, passwords=["+pass"], keys=["*"], commands=["+info"])
        assert "\n" not in await complaint(url.replace("unix://", "unix://weak:pass@"))
