"""Lines that would come with every call, told now and then."""

import logging
from time import monotonic

__all__ = ["NotOfCallers", "OncePerInterval"]

_MAX_KEPT = 256


class NotOfCallers(logging.Filter):
    """Keeps out what gRPC's library logs of callers as errors: a header that is not UTF-8, and who did not wait."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line passes."""
        return not str(record.msg).startswith(("Invalid encoding on ", "ExecuteBatchError raised in core"))


class OncePerInterval(logging.Filter):
    """Lets a line pass once in an interval, and tells how many like it were left out since."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        # By text: when it passed last, and how many have not since.
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
