"""Redis URLs: from text to a client of redis-py."""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff

from conversations.errors import ConfigurationError

__all__ = ["open_redis"]

_MAX_PORT = 65535


def open_redis(url: str, connect_seconds: float, answer_seconds: float | None) -> "Redis":
    """Return a client for a Redis URL; nothing is sent yet.

    Args:
        url: `redis://`, `rediss://` or `unix://` as in redis-py, or with several hosts
            `redis+sentinel://[user:password@]host:port,host:port/service`; `rediss+sentinel` for TLS.
        connect_seconds: Maximum wait for a connection.
        answer_seconds: Maximum wait for an answer; None if the caller limits it.

    Raises:
        ConfigurationError: The URL is invalid. The message never quotes the URL, which may contain a password.
    """
    options: dict[str, Any] = {"socket_timeout": answer_seconds, "socket_connect_timeout": connect_seconds}
    scheme = url.split("://", 1)[0] if "://" in url else ""
    try:
        if scheme in ("redis", "rediss", "unix"):
            redis = Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 1), **options)
            _check_options(redis)
            if redis.connection_pool.connection_kwargs.get("db", 0):
                raise ConfigurationError(
                    "The Redis URL names a database other than 0, the only one that can be searched."
                )
            return redis
        if scheme in ("redis+sentinel", "rediss+sentinel"):
            return _sentinel(urlsplit(url), options)
    except (ValueError, TypeError):
        # Their messages quote the URL.
        raise ConfigurationError(
            "The Redis URL cannot be read: is a host missing, or a port not a number up to 65535? Special characters "
            "in a user or password are written as %XX."
        ) from None
    raise ConfigurationError(
        "The Redis URL has to start with redis://, rediss://, unix:// or redis+sentinel://."
        + (" Redis Cluster is not supported." if "cluster" in scheme else "")
    )


def _check_options(redis: "Redis") -> None:
    try:
        redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError:
        raise ConfigurationError("The Redis URL has an unknown option after its `?`.") from None


_HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?")


def _hosts(split: SplitResult, default_port: int) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Split a URL with several hosts into addresses, and user, password and TLS."""
    if split.query or split.fragment:
        raise ValueError("options are not supported")
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
