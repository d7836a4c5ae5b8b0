import shutil
from pathlib import Path
from typing import Any

import pytest
import redis

from conversations.local import engines
from conversations.local.engines import EngineError, RedisEngine, find_envoy, find_redis, throwaway_redis

NOWHERE = "/nonexistent"


def program(file: Path, script: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture(scope="module")
def wheels() -> RedisEngine:
    return find_redis(path=NOWHERE)


def test_search_is_set_so_that_no_match_is_lost(wheels: RedisEngine) -> None:
    with throwaway_redis(wheels) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        untyped: Any = client
        settings = untyped.execute_command("FT.CONFIG", "GET", "*")
        assert client.config_get("port") == {"port": "0"}
    wanted = {"MAXPREFIXEXPANSIONS": "1000000", "MINPREFIX": "1", "ON_TIMEOUT": "fail", "DEFAULT_DIALECT": "2"}
    assert {name: settings[name] for name in wanted} == wanted


def test_server_on_the_path_goes_before_the_wheels(tmp_path: Path, wheels: RedisEngine) -> None:
    on_path = program(tmp_path / "bin" / "redis-server", f'exec {wheels.server} "$@"')
    assert find_redis(path=str(on_path.parent)) == RedisEngine(on_path, wheels.module)


def test_module_beside_the_server_goes_before_the_wheels(tmp_path: Path, wheels: RedisEngine) -> None:
    assert wheels.module is not None
    beside = tmp_path / "lib" / "redis" / "modules" / "redisearch.so"
    beside.parent.mkdir(parents=True)
    shutil.copyfile(wheels.module, beside)  # without the executable bit, which Redis asks for
    on_path = program(tmp_path / "bin" / "redis-server", f'exec {wheels.server} "$@"')
    assert find_redis(path=str(on_path.parent)) == RedisEngine(on_path, beside)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param('echo "Redis server v=6.2.14 sha=0:0"', id="too old"),
        pytest.param("exit 1", id="silent"),
        pytest.param('echo "Redis server v=8.2.0"; case $1 in --version) ;; *) exit 1 ;; esac', id="does not start"),
        pytest.param("kill -SEGV $$", id="crashes"),
    ],
)
def test_server_on_the_path_that_does_not_work_is_passed_over(tmp_path: Path, wheels: RedisEngine, script: str) -> None:
    program(tmp_path / "bin" / "redis-server", script)
    assert find_redis(path=str(tmp_path / "bin")) == wheels


def test_refusal_names_all_that_was_tried_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = program(tmp_path / "bin" / "redis-server", 'echo "Redis server v=6.2.14 sha=0:0"')
    broken = program(tmp_path / "broken" / "redis-server", 'echo "libssl.so.1.1: not found" >&2; exit 127')
    monkeypatch.setattr(engines, "_redis_servers", lambda path: [old, broken])
    with pytest.raises(EngineError) as refused:
        find_redis()
    assert str(refused.value) == (
        "no working Redis with search was found:\n"
        f"  - {old}: it is version 6.2, older than 7.2\n"
        f"  - {broken}: libssl.so.1.1: not found\n"
        "Install Redis 8 with its search module, or name a running one with --redis-url."
    )


def test_server_without_search_is_refused(tmp_path: Path, wheels: RedisEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_redis_servers", lambda path: [wheels.server])
    monkeypatch.setattr(engines, "_search_modules", lambda server: [tmp_path / "none.so"])
    with pytest.raises(EngineError, match=r"search is not built in(.|\n)*none\.so"):
        find_redis()


def test_program_without_the_executable_bit_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = program(tmp_path / "envoy", "true")
    file.chmod(0o644)
    monkeypatch.setattr(engines, "_package_file", lambda package, name: file)
    assert find_envoy() == file
    assert file.stat().st_mode & 0o111


def test_envoy_that_is_nowhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_package_file", lambda package, name: None)
    with pytest.raises(EngineError, match="no Envoy found"):
        find_envoy(path=NOWHERE)
