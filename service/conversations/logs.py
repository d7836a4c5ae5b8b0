"""Log filters for lines that would come with every call."""

import logging
from time import monotonic

__all__ = ["CallerErrorFilter", "OncePerInterval"]

_MAX_KEPT = 256


class CallerErrorFilter(logging.Filter):
    """Drops what gRPC's library logs as errors although callers cause it: headers that are not UTF-8, cancelled
    calls."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line passes."""
        return not str(record.msg).startswith(("Invalid encoding on ", "ExecuteBatchError raised in core"))


class OncePerInterval(logging.Filter):
    """Lets a line pass once per interval, with the number of equal lines left out since."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        # By text: when it last passed, and how many were left out since.
        self._passed: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line passes."""
        text, now = record.getMessage(), monotonic()
        passed, left_out = self._passed.get(text, (-self._seconds, 0))
        if now - passed < self._seconds:
            self._passed[text] = passed, left_out + 1
            return False
        self._passed.pop(text, None)
        if len(self._passed) >= _MAX_KEPT:
            del self._passed[next(iter(self._passed))]
        self._passed[text] = now, 0
        if left_out:
            record.msg, record.args = f"{text} ({left_out} more times)", None
        return True
