"""The connection to Redis: from a URL to a client, from a call to its reply, from a Redis error to one of ours."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff

from conversations.errors import ConfigurationError, OutOfTimeError, StoreUnavailableError
from conversations.store.functions import Call, Steps

__all__ = ["Client", "connect", "translated_errors"]

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_MAX_PORT = 65535
_MAX_EXCHANGES = 64
_TURNS_TO_JOIN = 2
# Of one pipeline: nobody waits longer for others than these take.
_MAX_CALLS = 64

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
_NOT_NOW = re.compile(
    "^(MISCONF|NOREPLICAS|LOADING|CLUSTERDOWN|BUSY)\\b|no such index|unknown index|function not found", re.I
)


def connect(url: str, timeout_ms: int) -> "Client":
    """Return a client for a Redis URL; nothing is sent yet.

    Args:
        url: `redis://`, `rediss://` or `unix://` as redis-py reads them, or with several hosts
            `redis+sentinel://[user:password@]host:port,host:port/service` and
            `redis+cluster://[user:password@]host:port,host:port`; `rediss+...` for TLS.
        timeout_ms: The longest wait for a connection and for an answer.

    Raises:
        ConfigurationError: The URL is none of these. The text never quotes the URL, which may hold a password.
    """
    options: dict[str, Any] = {"socket_timeout": timeout_ms / 1000, "socket_connect_timeout": timeout_ms / 1000}
    scheme = url.split("://", 1)[0] if "://" in url else ""
    try:
        if scheme in ("redis", "rediss", "unix"):
            redis = Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 1), **options)
            if redis.connection_pool.connection_kwargs.get("db", 0):
                raise ConfigurationError(
                    "The Redis URL names a database other than 0, the only one that can be searched."
                )
            return Client(redis)
        if scheme in ("redis+sentinel", "rediss+sentinel"):
            return Client(_sentinel(urlsplit(url), options))
        if scheme in ("redis+cluster", "rediss+cluster"):
            return Client(_cluster(urlsplit(url), options))
    except (ValueError, TypeError):
        # Their texts quote the URL.
        raise ConfigurationError(
            "The Redis URL cannot be read: is a host missing, or a port not a number up to 65535? Special characters "
            "in a user or password are written as %XX."
        ) from None
    raise ConfigurationError(
        "The Redis URL has to start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://."
    )


_HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?")


def _hosts(split: SplitResult, default_port: int) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Take a URL of several hosts apart: addresses, then user, password and TLS."""
    if split.query or split.fragment:
        raise ValueError("options are not read")
    credentials, _, hosts = split.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    options: dict[str, Any] = {"ssl": True} if split.scheme.startswith("rediss") else {}
    if username:
        options["username"] = unquote(username)
    if password:
        options["password"] = unquote(password)
    addresses = []
    for host in hosts.split(","):
        match = _HOST.fullmatch(host)
        if match is None or int(match[2] or default_port) > _MAX_PORT:
            raise ValueError("not a host")
        addresses.append((match[1].strip("[]"), int(match[2] or default_port)))
    return addresses, options


def _sentinel(split: SplitResult, options: dict[str, Any]) -> "Redis":
    hosts, credentials = _hosts(split, 26379)
    service, _, db = unquote(split.path.strip("/")).partition("/")
    if not service:
        raise ConfigurationError(
            "A Sentinel URL ends with the name of the service, as in redis+sentinel://host:26379/mymaster."
        )
    if db not in ("", "0"):
        raise ConfigurationError("The Redis URL names a database other than 0, the only one that can be searched.")
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        hosts, sentinel_kwargs=options | {"ssl": credentials.get("ssl", False)}
    )
    master: Redis = sentinel.master_for(service, db=0, **credentials, **options)
    return master


def _cluster(split: SplitResult, options: dict[str, Any]) -> "RedisCluster":
    hosts, credentials = _hosts(split, 6379)
    if split.path.strip("/") not in ("", "0"):
        raise ConfigurationError("A Redis Cluster has no databases but 0.")
    return RedisCluster(startup_nodes=[ClusterNode(*host) for host in hosts], **credentials, **options)


@dataclass(slots=True)
class _Request:
    """Calls of one caller, who may have gone."""

    calls: Sequence[Call]
    answered: "asyncio.Future[list[Any]]"

    def answer(self, replies: list[Any]) -> None:
        error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if error is not None:
            self.fail(error)
        elif not self.answered.done():
            self.answered.set_result(replies)

    def fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


@dataclass(slots=True)
class _Lane:
    """Requests that wait, and who sends them, one pipeline after the other."""

    waiting: deque[_Request] = field(default_factory=deque)
    sender: asyncio.Task[None] | None = None

    def take(self) -> list[_Request]:
        """Return what goes into the next pipeline: not all of a crowd, or nobody gets an answer in time."""
        taken: list[_Request] = []
        calls = 0
        while self.waiting and calls < _MAX_CALLS:
            request = self.waiting.popleft()
            if not request.answered.done():
                taken.append(request)
                calls += len(request.calls)
        return taken


class Client:
    """Sends function calls. A caller that goes away never leaves an exchange with Redis half done.

    Calls that come while others are on their way leave together, in one pipeline. Redis does one thing at a time
    anyway, and redis-py takes 120 microseconds of CPU for a call on its own, 25 for each of a dozen.
    """

    def __init__(self, redis: "Redis | RedisCluster") -> None:
        self.redis: Any = redis
        self._slots = asyncio.Semaphore(_MAX_EXCHANGES)
        # Where Redis makes writes wait, as in a failover, reads go on.
        self._reads, self._writes = _Lane(), _Lane()

    async def call(self, call: Call) -> Any:
        """Return the reply of one call.

        Raises:
            StoreUnavailableError: Redis cannot be reached, is loading or takes no writes.
            OutOfTimeError: The search inside the call ran out of time.
        """
        return (await self.call_all([call]))[0]

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Return the replies of several calls, of one round trip."""
        if not calls:
            return []
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        lane = self._reads if all(call.is_read for call in calls) else self._writes
        lane.waiting.append(_Request(calls, answered))
        if lane.sender is None:
            lane.sender = asyncio.create_task(self._send(lane))
        with translated_errors():
            return await answered

    async def _send(self, lane: _Lane) -> None:
        requests: list[_Request] = []
        try:
            while lane.waiting:
                # Requests that have arrived too, but whose turn has not come, get one to join.
                for _ in range(_TURNS_TO_JOIN):
                    await asyncio.sleep(0)
                requests = lane.take()
                try:
                    pipeline = self.redis.pipeline(transaction=False)
                    for request in requests:
                        for call in request.calls:
                            pipeline.execute_command(*call.command())
                    replies = await pipeline.execute(raise_on_error=False) if requests else []
                except Exception as error:
                    for request in requests:
                        request.fail(error)
                else:
                    for request in requests:
                        request.answer(replies[: len(request.calls)])
                        del replies[: len(request.calls)]
        finally:
            # Cancelled, as when the loop ends: nobody waits for ever.
            lane.sender = None
            for request in [*requests, *lane.waiting]:
                request.answered.cancel()

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
        """Run tasks side by side: each round sends the next call of every task, many in one pipeline."""
        pending = [(lane, None) for lane in lanes]
        while pending:
            waiting, calls = [], []
            for lane, reply in pending:
                try:
                    calls.append(lane.send(reply))
                    waiting.append(lane)
                except StopIteration:
                    pass
            replies: list[Any] = []
            for start in range(0, len(calls), _MAX_CALLS):
                replies += await self.call_all(calls[start : start + _MAX_CALLS])
            pending = list(zip(waiting, replies, strict=True))

    async def guard(self, exchange: Coroutine[Any, Any, _T]) -> _T:
        """Wait for another exchange, shielded from the caller's end, and translate what Redis says of errors."""
        try:
            await self._slots.acquire()
        except BaseException:
            exchange.close()
            raise
        task = asyncio.ensure_future(exchange)
        task.add_done_callback(self._end_exchange)
        with translated_errors():
            return await asyncio.shield(task)

    def _end_exchange(self, exchange: "asyncio.Future[Any]") -> None:
        self._slots.release()
        if not exchange.cancelled():
            # Nobody asks for the outcome when the caller has gone; asyncio would log an error that was not looked at.
            exchange.exception()

    async def close(self) -> None:
        """Close all connections."""
        await self.redis.aclose()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn an error of Redis into one of ours."""
    try:
        yield
    except _UNAVAILABLE as error:
        if _is_refused(error):
            raise ConfigurationError("Redis refuses the user or password of its URL.") from error
        logger.warning("redis is unavailable: %s: %s", type(error).__name__, error)
        raise StoreUnavailableError("the store is unavailable for now") from error
    except exceptions.NoPermissionError as error:
        raise ConfigurationError(f"Redis gives the user of its URL too few rights: {error}") from error
    except exceptions.ResponseError as error:
        text = str(error)
        if "Timeout limit was reached" in text:
            raise OutOfTimeError("the search ran out of time") from error
        if _NOT_NOW.search(text):
            logger.warning("redis refuses: %s", text)
            raise StoreUnavailableError("the store is unavailable for now") from error
        raise


def _is_refused(error: BaseException | None) -> bool:
    """Whether a failed login is behind an error: redis-py tells of one as of a lost connection."""
    while error is not None:
        if isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
