"""Why Redis cannot be reached, for the operator: with the address, which clients don't get to see."""

import os
import re
import socket
import ssl

from conversations.errors import StoreUnavailableError

__all__ = ["explain_outage"]

# Of redis-py: `Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379).`
_WHERE = re.compile(r"connecting to (?:unix socket: )?(.+?)\. ", re.DOTALL)


def explain_outage(error: StoreUnavailableError) -> str:
    """Return a sentence with the reason and Redis' address, without user or password."""
    where = _WHERE.search(str(error.__cause__))
    sentence = f"{error.message} at {where[1]}" if where else error.message
    why = _reason(error.__cause__)
    return f"{sentence}: {why}" if why else sentence


def _reason(error: BaseException | None) -> str | None:
    """Return the operating system's message, from the causes of an error of redis-py."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return error.strerror
        if isinstance(error, ssl.SSLError):
            return f"no TLS there ({str(error.reason).lower().replace('_', ' ')})"
        if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
            return os.strerror(error.errno)
        error = error.__cause__ or error.__context__
    return None
