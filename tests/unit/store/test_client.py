"""Redis URLs: what they say reaches the client, what is wrong is said without the password. Calls that go together."""

import asyncio
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis, RedisCluster, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from conversations.errors import ConfigurationError, OutOfTimeError, StoreUnavailableError
from conversations.store.client import Client, connect
from conversations.store.functions import Call

SECRET = "hunter2"


def options(url: str) -> dict[str, Any]:
    """Return what a client of one Redis connects with."""
    redis = connect(url, 1500).redis
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
    assert options(url) == {**expected, "socket_timeout": 1.5, "socket_connect_timeout": 1.5}


async def test_the_scheme_says_how_the_connection_is_made() -> None:
    assert connect("rediss://host", 1000).redis.connection_pool.connection_class is SSLConnection
    assert connect("unix:///x", 1000).redis.connection_pool.connection_class is UnixDomainSocketConnection


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
        ("redis+sentinel://:pass@a/main", [("a", 26379)], "main", {"db": 0, "password": "pass"}),
        ("redis+sentinel://[::1]:7000,[fe80::1]:7001/main", [("::1", 7000), ("fe80::1", 7001)], "main", {"db": 0}),
        ("redis+sentinel://[::1],b/main", [("::1", 26379), ("b", 26379)], "main", {"db": 0}),
    ],
)
async def test_urls_of_sentinels(
    url: str, hosts: list[tuple[str, int]], service: str, expected: dict[str, Any]
) -> None:
    redis = connect(url, 1500).redis
    pool = redis.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == service
    assert pool.is_master
    sentinels = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(sentinel["host"], sentinel["port"]) for sentinel in sentinels] == hosts
    assert all(sentinel["socket_timeout"] == 1.5 for sentinel in sentinels)
    found = {name: pool.connection_kwargs.get(name) for name in ("db", "username", "password")}
    assert found == {"username": None, "password": None, **expected}
    assert pool.connection_kwargs["socket_timeout"] == 1.5


async def test_sentinels_over_tls() -> None:
    pool = connect("rediss+sentinel://host/main", 1000).redis.connection_pool
    assert issubclass(pool.connection_class, SSLConnection)
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_class is SSLConnection


@pytest.mark.parametrize(
    ("url", "hosts", "expected"),
    [
        ("redis+cluster://host", [("host", 6379)], {}),
        ("redis+cluster://a:7000,b:7001/0", [("a", 7000), ("b", 7001)], {}),
        ("redis+cluster://user:p%40ss@a,b", [("a", 6379), ("b", 6379)], {"username": "user", "password": "p@ss"}),
        ("redis+cluster://[::1]:7000,[::2]:7001", [("::1", 7000), ("::2", 7001)], {}),
        ("redis+cluster://[::1]", [("::1", 6379)], {}),
        ("redis+cluster://a:7000,[::1]:7001", [("a", 7000), ("::1", 7001)], {}),
    ],
)
async def test_urls_of_clusters(url: str, hosts: list[tuple[str, int]], expected: dict[str, Any]) -> None:
    cluster = connect(url, 1500).redis
    assert isinstance(cluster, RedisCluster)
    nodes = cluster.nodes_manager.startup_nodes.values()
    assert [(node.host, node.port) for node in nodes] == hosts
    kwargs = cluster.connection_kwargs
    found = {name: kwargs[name] for name in ("username", "password") if kwargs.get(name) is not None}
    assert found == expected
    assert kwargs["socket_timeout"] == 1.5


async def test_a_cluster_over_tls() -> None:
    cluster = connect("rediss+cluster://host", 1000).redis
    assert cluster.connection_kwargs["connection_class"] is SSLConnection


START = "The Redis URL has to start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://."
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
        ("redis+cluster://", UNREADABLE),
        ("redis+cluster://:7000", UNREADABLE),
        ("redis+cluster://host/1", "A Redis Cluster has no databases but 0."),
        ("redis://host:99999", UNREADABLE),
        ("redis://host/1", DATABASE),
        ("redis+sentinel://host/main/1", DATABASE),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(url, 1000)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:port",
        "redis+sentinel://host:port/main",
        "redis+cluster://host:port",
        "redis+cluster://host:99999",
        "redis+sentinel://host/main/zero",
        "redis+cluster://[::1",
        "redis+cluster://host?socket_timeout=3",
        "redis+sentinel://host/main?socket_timeout=3",
        "",
        "redis",
        "host:6379",
    ],
)
def test_whatever_is_wrong_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        connect(url, 1000)


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
        pytest.param(f"redis+cluster://user:{SECRET}/x@host", id="a slash in the password of a cluster"),
        pytest.param(f"redis+cluster://user:{SECRET}@host/1", id="a database of a cluster"),
        pytest.param(f"redis+sentinel://user:{SECRET}@host", id="no service"),
        pytest.param(f"redis+sentinel://user:{SECRET}#x@host/main", id="a hash in the password of sentinels"),
        pytest.param(f"redis+sentinel://user:{SECRET}@host/main/x", id="a bad database"),
        pytest.param(f"redis+sentinel://user:{SECRET}@[host/main", id="a bracket"),
    ],
)
def test_no_error_tells_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(url, 1000)
    assert SECRET not in caught.value.message


async def failing(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Connection refused"),
        exceptions.TimeoutError("Timeout reading"),
        exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        exceptions.ClusterDownError("The cluster is down"),
        exceptions.MasterDownError("Link with MASTER is down"),
        exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
        ConnectionResetError("reset by peer"),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
        exceptions.ResponseError("LOADING Redis is loading script: list_conversations, on @user_function:1."),
        exceptions.ResponseError("BUSY Redis is busy running a script."),
        exceptions.ResponseError("conversations:{0}: no such index script: list_conversations, on @user_function:1."),
        exceptions.ResponseError("Function not found"),
    ],
    ids=str,
)
async def test_a_redis_that_cannot_answer_now_is_unavailable(error: Exception) -> None:
    client = Client(Redis())
    with pytest.raises(StoreUnavailableError) as caught:
        await client.guard(failing(error))
    assert caught.value.message == "the store is unavailable for now"
    assert caught.value.__cause__ is error


async def test_a_search_out_of_time_is_told_apart() -> None:
    client = Client(Redis())
    with pytest.raises(OutOfTimeError, match="^the search ran out of time$"):
        await client.guard(failing(exceptions.ResponseError("Timeout limit was reached script: list_conversations")))


async def test_a_defect_stays_what_it_is() -> None:
    client = Client(Redis())
    with pytest.raises(exceptions.ResponseError, match="Syntax error"):
        await client.guard(failing(exceptions.ResponseError("Syntax error at offset 3")))
    with pytest.raises(KeyError):
        await client.guard(failing(KeyError("x")))


class FakePipeline:
    def __init__(self, redis: "FakeRedis") -> None:
        self._redis = redis
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *words: Any) -> None:
        self._commands.append(words)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self._redis.pipelines.append(len(self._commands))
        await self._redis.answers.wait()
        if self._redis.lost:
            raise exceptions.ConnectionError("Connection reset")
        return [exceptions.ResponseError("bad") if words[1] == "bad" else words[1] for words in self._commands]


class FakeRedis:
    """Answers each call with the name of its function, once it is let."""

    def __init__(self) -> None:
        self.pipelines: list[int] = []
        self.answers = asyncio.Event()
        self.lost = False

    def pipeline(self, *, transaction: bool) -> FakePipeline:
        assert not transaction
        return FakePipeline(self)


async def ask(client: Client, *names: str) -> "asyncio.Task[list[Any]]":
    task = asyncio.create_task(client.call_all([Call(0, name) for name in names]))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_calls_that_wait_leave_together() -> None:
    redis = FakeRedis()
    client = Client(redis)  # type: ignore[arg-type]
    tasks = [await ask(client, *names) for names in (("a",), ("b", "c"), ("d",))]
    redis.answers.set()
    assert await asyncio.gather(*tasks) == [["a"], ["b", "c"], ["d"]]
    assert redis.pipelines == [1, 3]
    assert await client.call(Call(0, "e")) == "e"


async def test_reads_do_not_wait_for_writes() -> None:
    redis = FakeRedis()
    client = Client(redis)  # type: ignore[arg-type]
    tasks = [await ask(client, *names) for names in (("write",), ("get_it",), ("get_it", "write"), ("list_it",))]
    assert redis.pipelines == [1, 1]
    redis.answers.set()
    await asyncio.gather(*tasks)
    assert sorted(redis.pipelines[2:]) == [1, 2]


async def test_an_error_is_told_to_its_caller_only() -> None:
    redis = FakeRedis()
    client = Client(redis)  # type: ignore[arg-type]
    tasks = [await ask(client, *names) for names in (("x",), ("a", "bad"), ("b",))]
    redis.answers.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert (found[0], found[2]) == (["x"], ["b"])
    assert isinstance(found[1], exceptions.ResponseError)


async def test_a_caller_that_goes_leaves_the_others_their_answers() -> None:
    redis = FakeRedis()
    client = Client(redis)  # type: ignore[arg-type]
    tasks = [await ask(client, name) for name in "abc"]
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.sleep(0)
    redis.answers.set()
    assert await tasks[2] == ["c"]
    assert tasks[0].cancelled()


async def test_a_lost_connection_fails_those_who_wait_for_it_and_no_more() -> None:
    redis = FakeRedis()
    client = Client(redis)  # type: ignore[arg-type]
    tasks = [await ask(client, name) for name in "ab"]
    redis.lost = True
    redis.answers.set()
    for task in tasks:
        with pytest.raises(StoreUnavailableError):
            await task
    redis.lost = False
    assert await client.call(Call(0, "c")) == "c"


async def test_a_crowd_is_served_in_turn_and_who_has_gone_is_not() -> None:
    redis = FakeRedis()
    client = Client(redis)  # type: ignore[arg-type]
    tasks = [await ask(client, f"call {number}") for number in range(200)]
    for task in tasks[1:100]:
        task.cancel()
    await asyncio.sleep(0)
    redis.answers.set()
    assert await asyncio.gather(*tasks[100:]) == [[f"call {number}"] for number in range(100, 200)]
    assert redis.pipelines == [1, 64, 36]
