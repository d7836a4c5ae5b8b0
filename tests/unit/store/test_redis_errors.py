"""What Redis says of itself, and what callers are told."""

import pytest
from redis import exceptions

from conversations.errors import ConfigurationError, OutOfTimeError, StoreUnavailableError
from conversations.store.redis_errors import translated_errors


def told(error: Exception) -> Exception:
    """Return what becomes of an error."""
    try:
        with translated_errors():
            raise error
    except Exception as found:
        return found
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (exceptions.ConnectionError("Connection refused"), "Redis cannot be reached"),
        (ConnectionResetError("reset by peer"), "Redis cannot be reached"),
        (exceptions.TimeoutError("Timeout reading"), "Redis does not answer"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "Redis is loading its data"),
        (
            exceptions.ResponseError("LOADING Redis is loading script: list_conversations, on @user_function:1."),
            "Redis is loading its data",
        ),
        (
            exceptions.ReadOnlyError("You can't write against a read only replica."),
            "Redis is a replica and rejects writes",
        ),
        (
            exceptions.ReadOnlyError("You can not run script with write flag on readonly replica."),
            "Redis is a replica and rejects writes",
        ),
        (
            exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
            "Redis is out of memory and rejects writes, except those that free memory",
        ),
        (
            exceptions.OutOfMemoryError("allow-oom flag is not set on the script, can not run it"),
            "Redis is out of memory and rejects writes, except those that free memory",
        ),
        (
            exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
            "Redis cannot write its append-only file and rejects writes: No space left on device",
        ),
        (
            exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable"),
            "Redis cannot write its snapshots and rejects writes",
        ),
        (
            exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
            "Redis has too few replicas and rejects writes",
        ),
        (exceptions.MasterDownError("Link with MASTER is down"), "Redis is a replica that has lost its master"),
        (exceptions.ResponseError("BUSY Redis is busy running a script."), "Redis is busy with a script"),
        (
            exceptions.ResponseError("conversations:{0}: no such index script: list_conversations, on @user_function"),
            "the index is missing, and is being built",
        ),
        (
            exceptions.ResponseError("Function not found"),
            "Redis lost the service's functions, which are being loaded again",
        ),
    ],
    ids=str,
)
def test_a_redis_that_cannot_do_it_now_is_unavailable_and_says_why(error: Exception, cause: str) -> None:
    found = told(error)
    assert isinstance(found, StoreUnavailableError)
    assert found.message == f"the store is unavailable: {cause}"
    assert found.__cause__ is error


def test_a_search_out_of_time_is_told_apart() -> None:
    found = told(exceptions.ResponseError("Timeout limit was reached script: list_conversations"))
    assert isinstance(found, OutOfTimeError)
    assert found.message == "the search ran out of time"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
        exceptions.ConnectionError("NOAUTH Authentication required."),
        exceptions.NoPermissionError("this user has no permissions to run the 'fcall' command"),
    ],
    ids=str,
)
def test_a_login_or_right_that_is_refused_is_a_matter_of_configuration(error: Exception) -> None:
    assert isinstance(told(error), ConfigurationError)


@pytest.mark.parametrize("error", [exceptions.ResponseError("Syntax error at offset 3"), KeyError("x")], ids=str)
def test_a_defect_stays_what_it_is(error: Exception) -> None:
    assert told(error) is error
