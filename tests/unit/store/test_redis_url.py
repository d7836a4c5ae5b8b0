"""Redis URLs: what they say reaches the client, what is wrong is said without the password."""

from typing import Any

import pytest
from redis.asyncio import Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from conversations.errors import ConfigurationError
from conversations.store.redis_url import open_redis

SECRET = "hunter2"


def options(url: str) -> dict[str, Any]:
    """Return what a client of one Redis connects with."""
    redis = open_redis(url, 1.5, 2.5)
    assert isinstance(redis, Redis)
    kwargs: dict[str, Any] = redis.connection_pool.connection_kwargs
    names = ("host", "port", "path", "db", "username", "password", "socket_timeout", "socket_connect_timeout")
    return {name: kwargs[name] for name in names if name in kwargs}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {}),
        ("redis://host", {"host": "host"}),
        ("redis://host:7000/0", {"host": "host", "port": 7000, "db": 0}),
        ("redis://:p%40%2Fss@host", {"host": "host", "password": "p@/ss"}),
        ("redis://us%3Aer:pass@host", {"host": "host", "username": "us:er", "password": "pass"}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("rediss://user:pass@host:7000", {"host": "host", "port": 7000, "username": "user", "password": "pass"}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix://user:pass@/run/redis.sock", {"path": "/run/redis.sock", "username": "user", "password": "pass"}),
    ],
)
async def test_urls_of_one_redis(url: str, expected: dict[str, Any]) -> None:
    assert options(url) == {**expected, "socket_timeout": 2.5, "socket_connect_timeout": 1.5}


async def test_the_scheme_says_how_the_connection_is_made() -> None:
    assert open_redis("rediss://host", 1, 1).connection_pool.connection_class is SSLConnection
    assert open_redis("unix:///x", 1, 1).connection_pool.connection_class is UnixDomainSocketConnection


@pytest.mark.parametrize(
    ("url", "hosts", "service", "expected"),
    [
        ("redis+sentinel://host/main", [("host", 26379)], "main", {"db": 0}),
        ("redis+sentinel://a:1,b:2,c/main/0", [("a", 1), ("b", 2), ("c", 26379)], "main", {"db": 0}),
        (
            "redis+sentinel://user:p%40ss@a,b/my%20main",
            [("a", 26379), ("b", 26379)],
            "my main",
            {"db": 0, "username": "user", "password": "p@ss"},
        ),
        (
            "redis+sentinel://user:p:a@s@a/main",
            [("a", 26379)],
            "main",
            {"db": 0, "username": "user", "password": "p:a@s"},
        ),
        ("redis+sentinel://:pass@a/main", [("a", 26379)], "main", {"db": 0, "password": "pass"}),
        ("redis+sentinel://[::1]:7000,[fe80::1]:7001/main", [("::1", 7000), ("fe80::1", 7001)], "main", {"db": 0}),
        ("redis+sentinel://[::1],b/main", [("::1", 26379), ("b", 26379)], "main", {"db": 0}),
    ],
)
async def test_urls_of_sentinels(
    url: str, hosts: list[tuple[str, int]], service: str, expected: dict[str, Any]
) -> None:
    redis = open_redis(url, 1.5, 2.5)
    pool = redis.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == service
    assert pool.is_master
    sentinels = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(sentinel["host"], sentinel["port"]) for sentinel in sentinels] == hosts
    assert all(sentinel["socket_timeout"] == 2.5 for sentinel in sentinels)
    found = {name: pool.connection_kwargs.get(name) for name in ("db", "username", "password")}
    assert found == {"username": None, "password": None, **expected}
    assert pool.connection_kwargs["socket_timeout"] == 2.5


async def test_sentinels_over_tls() -> None:
    pool: Any = open_redis("rediss+sentinel://host/main", 1, 1).connection_pool
    assert issubclass(pool.connection_class, SSLConnection)
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_class is SSLConnection


START = "The Redis URL has to start with redis://, rediss://, unix:// or redis+sentinel://."
CLUSTER = f"{START} Redis Cluster is not supported."
SERVICE = "A Sentinel URL ends with the name of the service, as in redis+sentinel://host:26379/mymaster."
DATABASE = "The Redis URL names a database other than 0, the only one that can be searched."
UNREADABLE = (
    "The Redis URL cannot be read: is a host missing, or a port not a number up to 65535? Special characters in a user "
    "or password are written as %XX."
)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host", START),
        ("redis+tls://host", START),
        ("redis+sentinel://host", SERVICE),
        ("redis+sentinel://host/", SERVICE),
        ("redis+sentinel://,host/main", UNREADABLE),
        ("redis+sentinel:///main", UNREADABLE),
        ("redis+cluster://host", CLUSTER),
        ("rediss+cluster://a:7000,b:7001/0", CLUSTER),
        ("redis://host:99999", UNREADABLE),
        ("redis://host/1", DATABASE),
        ("redis+sentinel://host/main/1", DATABASE),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_redis(url, 1, 1)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:port",
        "redis+sentinel://host:port/main",
        "redis+sentinel://host/main/zero",
        "redis+sentinel://host/main?socket_timeout=3",
        "",
        "redis",
        "host:6379",
    ],
)
def test_whatever_is_wrong_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_redis(url, 1, 1)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"http://user:{SECRET}@host", id="another scheme"),
        pytest.param(f"redis:{SECRET}@host", id="no slashes"),
        pytest.param(f"user:{SECRET}@host:6379", id="no scheme"),
        pytest.param(SECRET, id="the password alone"),
        pytest.param(f"redis://user:{SECRET}/x@host", id="a slash in the password"),
        pytest.param(f"redis://user:{SECRET}#x@host", id="a hash in the password"),
        pytest.param(f"redis://user:{SECRET}?x@host", id="a question mark in the password"),
        pytest.param(f"redis://user:{SECRET}@host:port", id="a bad port"),
        pytest.param(f"redis+cluster://user:{SECRET}@host", id="a cluster"),
        pytest.param(f"redis+sentinel://user:{SECRET}@host", id="no service"),
        pytest.param(f"redis+sentinel://user:{SECRET}#x@host/main", id="a hash in the password of sentinels"),
        pytest.param(f"redis+sentinel://user:{SECRET}@host/main/x", id="a bad database"),
        pytest.param(f"redis+sentinel://user:{SECRET}@[host/main", id="a bracket"),
    ],
)
def test_no_error_tells_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_redis(url, 1, 1)
    assert SECRET not in caught.value.message
