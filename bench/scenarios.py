"""What is asked for: each shape of list as a Lucene filter, and as the body that the FastAPI peers take."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.corpus import CHANNELS, TAGS

__all__ = ["FILTERED", "PAGE_SIZE", "WITH_WRITES", "Shape"]

PAGE_SIZE = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of filtered list."""

    name: str
    filters: str
    clauses: dict[str, object] = field(default_factory=dict)
    """The same for the peers."""
    selective: bool = False
    """It matches less than 1 % of the conversations, so ten times as many conversations should cost it little."""


def _ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def _days(first: str, end: str) -> dict[str, object]:
    return {"created_from": _ms(first), "created_to": _ms(end) - 1}


_CHANNEL, _TAG = CHANNELS[3][0], TAGS[5]

FILTERED = (
    Shape("list by state", "state:closed", {"state": "CLOSED"}),
    Shape("list by channel", f"channel_id:{_CHANNEL}", {"channel_id": _CHANNEL}),
    Shape("list by tag", f"tag_ids:{_TAG}", {"tag_id": _TAG}),
    Shape("list unread only", "unread_count:[1 TO *]", {"unread": True}),
    Shape("list by name prefix", "display_name:lov*", {"name_prefix": "lov"}),
    Shape("list by name suffix", "display_name:*lace", {"name_suffix": "lace"}),
    # One of 12,167 made-up last names.
    Shape("list by rare name", "display_name:engaton", {"name_prefix": "engaton"}, selective=True),
    Shape("list, two clauses", "state:open AND source:facebook", {"state": "OPEN", "source": "facebook"}),
    Shape(
        "list, four clauses",
        "state:open AND source:facebook AND unread_count:[1 TO *] AND created_at:[2024-01-01 TO 2025-01-01}",
        {"state": "OPEN", "source": "facebook", "unread": True, **_days("2024-01-01", "2025-01-01")},
        selective=True,
    ),
    Shape("list by a month", "created_at:[2024-03-01 TO 2024-04-01}", _days("2024-03-01", "2024-04-01")),
    Shape("list by a day", "created_at:[2024-03-05 TO 2024-03-06}", _days("2024-03-05", "2024-03-06"), selective=True),
)

WITH_WRITES = ("list by state", "list unread only", "list by name suffix", "list, four clauses")
"""The shapes that are measured again while messages come in."""
