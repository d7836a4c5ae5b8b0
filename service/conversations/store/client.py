"""The connection to Redis: from a URL to a client, from a call to its reply, from a Redis error to one of ours."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff

from conversations.errors import ConfigurationError, OutOfTimeError, StoreUnavailableError
from conversations.store.functions import Call, Steps

__all__ = ["Client", "connect"]

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_UNAVAILABLE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
    OSError,
)


# Errors of a Redis that will answer again: it is loading, cannot write, or lost functions or index, which come back.
_NOT_NOW = re.compile("^(MISCONF|NOREPLICAS|LOADING|CLUSTERDOWN)|no such index|unknown index|function not found", re.I)


def connect(url: str, timeout_ms: int) -> "Client":
    """Return a client for a Redis URL; nothing is sent yet.

    Args:
        url: `redis://`, `rediss://` or `unix://` as redis-py reads them, or with several hosts
            `redis+sentinel://[user:password@]host:port,host:port/service[/db]` and
            `redis+cluster://[user:password@]host:port,host:port`; `rediss+...` for TLS.
        timeout_ms: The longest wait for a connection and for an answer.

    Raises:
        ConfigurationError: The URL is none of these.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_ms / 1000,
        "socket_connect_timeout": timeout_ms / 1000,
        "health_check_interval": 0,
    }
    scheme = url.split("://", 1)[0]
    try:
        if scheme in ("redis", "rediss", "unix"):
            return Client(Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 1), **options))
        if scheme in ("redis+sentinel", "rediss+sentinel"):
            return Client(_sentinel(url, options))
        if scheme in ("redis+cluster", "rediss+cluster"):
            return Client(_cluster(url, options))
    except ValueError as error:
        raise ConfigurationError(f"the Redis URL cannot be read: {error}") from error
    raise ConfigurationError(
        f"the Redis URL starts with {scheme!r}; it has to start with redis://, rediss://, unix://, "
        "redis+sentinel:// or redis+cluster://"
    )


def _parts(url: str) -> tuple[list[tuple[str, int]], dict[str, Any], list[str]]:
    """Split a URL of several hosts into hosts, connection options and path."""
    split = urlsplit(url)
    credentials, _, hosts = split.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    options: dict[str, Any] = dict(parse_qsl(split.query))
    if username:
        options["username"] = unquote(username)
    if password:
        options["password"] = unquote(password)
    if split.scheme.startswith("rediss"):
        options["ssl"] = True
    default_port = 26379 if "sentinel" in split.scheme else 6379
    addresses = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":") if ":" in host else (host, "", "")
        if not name:
            raise ValueError("a host is missing")
        addresses.append((name.strip("[]"), int(port) if port else default_port))
    return addresses, options, [unquote(part) for part in split.path.split("/") if part]


def _sentinel(url: str, options: dict[str, Any]) -> "Redis":
    hosts, credentials, path = _parts(url)
    if not path:
        raise ValueError("a Sentinel URL ends with the name of the service: redis+sentinel://host:26379/mymaster")
    db = int(path[1]) if len(path) > 1 else 0
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        hosts, sentinel_kwargs=options | {"ssl": credentials.get("ssl", False)}
    )
    master: Redis = sentinel.master_for(path[0], db=db, **credentials, **options)
    return master


def _cluster(url: str, options: dict[str, Any]) -> "RedisCluster":
    hosts, credentials, path = _parts(url)
    if path and path != ["0"]:
        raise ValueError("a Redis Cluster has no databases but 0")
    options = {name: value for name, value in options.items() if name != "health_check_interval"}
    return RedisCluster(startup_nodes=[ClusterNode(*host) for host in hosts], **credentials, **options)


class Client:
    """Sends function calls. A caller that goes away never leaves an exchange with Redis half done."""

    def __init__(self, redis: "Redis | RedisCluster") -> None:
        self.redis: Any = redis

    async def call(self, call: Call) -> Any:
        """Return the reply of one call.

        Raises:
            StoreUnavailableError: Redis cannot be reached, is loading or takes no writes.
            OutOfTimeError: The search inside the call ran out of time.
        """
        return await self.guard(self.redis.execute_command(*call.command()))

    async def run(self, steps: Steps[_T]) -> _T:
        """Return the outcome of one task."""
        try:
            call = next(steps)
            while True:
                call = steps.send(await self.call(call))
        except StopIteration as stop:
            outcome: _T = stop.value
            return outcome

    async def run_all(self, lanes: Sequence[Steps[None]]) -> None:
        """Run tasks side by side: each round sends the next call of every task in one pipeline."""
        pending = [(lane, None) for lane in lanes]
        while pending:
            waiting, calls = [], []
            for lane, reply in pending:
                try:
                    calls.append(lane.send(reply))
                    waiting.append(lane)
                except StopIteration:
                    pass
            pending = list(zip(waiting, await self._pipeline(calls), strict=True))

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Return the replies of several calls, in one round trip where there are many."""
        if len(calls) == 1:
            return [await self.call(calls[0])]
        return await self._pipeline(calls)

    async def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        if not calls:
            return []
        pipeline = self.redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command())
        replies: list[Any] = await self.guard(pipeline.execute())
        return replies

    async def guard(self, exchange: Awaitable[_T]) -> _T:
        """Wait for an exchange, shielded from the caller's end, and translate what Redis says of errors."""
        task = asyncio.ensure_future(exchange)
        # Nobody asks for the outcome when the caller has gone; asyncio would log an error that was not looked at.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(task)
        except _UNAVAILABLE as error:
            logger.warning("redis is unavailable: %s: %s", type(error).__name__, error)
            raise StoreUnavailableError("the store is unavailable for now") from error
        except exceptions.ResponseError as error:
            text = str(error)
            if "Timeout limit was reached" in text:
                raise OutOfTimeError("the search ran out of time") from error
            if _NOT_NOW.search(text):
                logger.warning("redis refuses: %s", text)
                raise StoreUnavailableError("the store is unavailable for now") from error
            raise

    async def close(self) -> None:
        """Close all connections."""
        await self.redis.aclose()
