"""Translates errors of Redis into those of the service."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from conversations.errors import ConfigurationError, OutOfTimeError, StoreUnavailableError
from conversations.logs import OncePerInterval

__all__ = ["translated_errors"]

logger = logging.getLogger(__name__)
# While Redis is away, every call fails.
logger.addFilter(OncePerInterval(30.0))

# Errors of Redis that are temporary, or reject writes, and their meaning.
_CAUSES = (
    (r"^OOM\b|when used memory", "Redis is out of memory and rejects writes, except those that free memory"),
    (r"^MISCONF .*AOF file: (?P<detail>.*)", "Redis cannot write its append-only file and rejects writes"),
    (r"^MISCONF", "Redis cannot write its snapshots and rejects writes"),
    (r"^NOREPLICAS", "Redis has too few replicas and rejects writes"),
    (r"^READONLY|read only replica|readonly replica", "Redis is a replica and rejects writes"),
    (r"^LOADING|loading the dataset", "Redis is loading its data"),
    (r"^BUSY\b", "Redis is busy with a script"),
    (r"^MASTERDOWN|link with master", "Redis is a replica that has lost its master"),
    (r"no such index|unknown index", "the index is missing, and is being built"),
    (r"function not found", "Redis lost the service's functions, which are being loaded again"),
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn an error of Redis into one of ours.

    Raises:
        StoreUnavailableError: Redis cannot be reached, or fails for the time being; the message says why.
        OutOfTimeError: A search ran out of time.
        ConfigurationError: Redis rejects the user or password, or the user lacks a right.
    """
    try:
        yield
    except exceptions.NoPermissionError as error:
        raise ConfigurationError(f"The user in the Redis URL has too few rights: {error}") from error
    except (exceptions.RedisError, OSError) as error:
        if _is_refused(error):
            raise ConfigurationError("Redis rejects the user or password in its URL.") from error
        if "Timeout limit was reached" in str(error):
            raise OutOfTimeError("the search ran out of time") from error
        cause = _cause(error)
        if cause is None:
            raise
        logger.warning("the store is unavailable: %s (%s)", cause, type(error).__name__)
        raise StoreUnavailableError(f"the store is unavailable: {cause}") from error


def _cause(error: Exception) -> str | None:
    """Return why Redis fails; None if the command was at fault."""
    text = str(error)
    # redis-py removes the first word of errors, and not every text repeats it.
    word = "OOM " if isinstance(error, exceptions.OutOfMemoryError) else ""
    for pattern, cause in _CAUSES:
        if found := re.search(pattern, word + text, re.IGNORECASE):
            detail = found.groupdict().get("detail")
            return f"{cause}: {detail}" if detail else cause
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "Redis does not answer"
    if isinstance(error, exceptions.InvalidResponse):
        return "what answers there is not Redis"
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "Redis cannot be reached"
    return None


def _is_refused(error: BaseException | None) -> bool:
    """Return whether a failed login caused an error: redis-py reports it as a lost connection."""
    while error is not None:
        if isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
