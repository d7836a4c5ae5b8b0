"""Times: RFC 3339 text outside, milliseconds since 1970 UTC inside."""

import re
import time
from datetime import UTC, datetime, timedelta

__all__ = ["format_time", "now_ms", "parse_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII)


def now_ms() -> int:
    """Return the current time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def parse_time(text: str) -> int:
    """Return the milliseconds of an RFC 3339 time; finer fractions are truncated, a leap second is the next second.

    Raises:
        ValueError: It is not an RFC 3339 time of the years 1 to 9999.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    date, minute, second, fraction, zone = match.groups()
    leap = second == "60"
    try:
        zone = "+00:00" if zone in "Zz" else zone
        moment = datetime.fromisoformat(f"{date}T{minute}:{'59' if leap else second}{zone}")
    except ValueError:
        raise ValueError("not an RFC 3339 time") from None
    ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    ms += 1000 if leap else int((fraction or "")[:3].ljust(3, "0"))
    if not _MIN_MS <= ms <= _MAX_MS:
        raise ValueError("not a time in the years 1 to 9999 in UTC")
    return ms


def format_time(ms: int) -> str:
    """Return milliseconds as UTC with exactly three fraction digits: `2019-01-07T09:01:44.000Z`."""
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{ms % 1000:03d}Z"


_MIN_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_MAX_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
