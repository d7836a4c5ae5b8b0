"""What goes wrong with Redis, in the words of the service."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from conversations.errors import ConfigurationError, OutOfTimeError, StoreUnavailableError
from conversations.logs import OncePerInterval

__all__ = ["translated_errors"]

logger = logging.getLogger(__name__)
# Every call fails while Redis is away.
logger.addFilter(OncePerInterval(30.0))

# What Redis says while it will answer again later, or takes no writes, and what that means.
_CAUSES = (
    (r"^OOM\b|when used memory", "Redis is out of memory and takes no writes; what frees memory works"),
    (r"^MISCONF .*AOF file: (?P<detail>.*)", "Redis cannot write its append-only file and takes no writes"),
    (r"^MISCONF", "Redis cannot write its snapshots and takes no writes"),
    (r"^NOREPLICAS", "Redis has too few replicas and takes no writes"),
    (r"^READONLY|read only replica|readonly replica", "Redis is a replica and takes no writes"),
    (r"^LOADING|loading the dataset", "Redis is loading its data"),
    (r"^BUSY\b", "Redis is busy with a script"),
    (r"^MASTERDOWN|link with master", "Redis is a replica that has lost its master"),
    (r"no such index|unknown index", "the index is missing, and is being made"),
    (r"function not found", "Redis lost the functions of the service, and gets them again"),
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn an error of Redis into one of ours.

    Raises:
        StoreUnavailableError: Redis cannot be reached, or will do later what it does not do now; the message says why.
        OutOfTimeError: A search ran out of time.
        ConfigurationError: Redis refuses the user, the password or a right.
    """
    try:
        yield
    except exceptions.NoPermissionError as error:
        raise ConfigurationError(f"Redis gives the user of its URL too few rights: {error}") from error
    except (exceptions.RedisError, OSError) as error:
        if _is_refused(error):
            raise ConfigurationError("Redis refuses the user or password of its URL.") from error
        if "Timeout limit was reached" in str(error):
            raise OutOfTimeError("the search ran out of time") from error
        cause = _cause(error)
        if cause is None:
            raise
        logger.warning("the store is unavailable: %s (%s)", cause, type(error).__name__)
        raise StoreUnavailableError(f"the store is unavailable: {cause}") from error


def _cause(error: Exception) -> str | None:
    """Return why Redis does not do what it was asked; None where the question was wrong."""
    text = str(error)
    # redis-py takes the first word off, and not every text says it again.
    word = "OOM " if isinstance(error, exceptions.OutOfMemoryError) else ""
    for pattern, cause in _CAUSES:
        if found := re.search(pattern, word + text, re.IGNORECASE):
            detail = found.groupdict().get("detail")
            return f"{cause}: {detail}" if detail else cause
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "Redis does not answer"
    if isinstance(error, exceptions.InvalidResponse):
        return "what answers there is no Redis"
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "Redis cannot be reached"
    return None


def _is_refused(error: BaseException | None) -> bool:
    """Whether a failed login is behind an error: redis-py tells of one as of a lost connection."""
    while error is not None:
        if isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
