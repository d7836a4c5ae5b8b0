"""The lists that are asked for: filters, and what says the same to PostgreSQL."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.corpus import CHANNELS, TAGS

__all__ = ["ALL", "BROAD", "FILTERED", "PLAIN", "WITH_WRITES", "WORST", "Shape"]

_NOTES = "metadata.user_data.notes"
_TOTAL, _SEEN = "metadata.user_data.order_total", "metadata.user_data.last_seen"
_WORDS = "hello is my order lost the parcel was never here please call me back about this invoice thank you".split()


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of list."""

    name: str
    filters: str
    clauses: dict[str, object] = field(default_factory=dict)
    """The same for the peer."""
    selective: bool = False
    """It matches less than 1 % of the conversations, so ten times as many conversations should cost it little."""


def _days(first: str, end: str) -> dict[str, object]:
    first_ms, end_ms = (int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000) for day in (first, end))
    return {"created_from": first_ms, "created_to": end_ms - 1}


_CHANNEL, _TAG = CHANNELS[3][0], TAGS[5]

ALL = Shape("list of 20", "")
FILTERED = (
    Shape("list by state", "state:closed", {"state": "CLOSED"}),
    Shape("list by channel", f"channel_id:{_CHANNEL}", {"channel_id": _CHANNEL}),
    Shape("list by tag", f"tag_ids:{_TAG}", {"tag_id": _TAG}),
    Shape("list unread only", "unread_count:[1 TO *]", {"unread": True}),
    Shape("list by name prefix", "display_name:lov*", {"words_like": ["% lov%"]}),
    Shape("list by name suffix", "display_name:*lace", {"words_like": ["%lace %"]}),
    # Made up: five of the first 100,000 have it.
    Shape("list by rare name", "display_name:elpeson", {"words_like": ["% elpeson %"]}, selective=True),
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


def _shape(filters: str, **clauses: object) -> Shape:
    return Shape(f"`{filters}`", filters, clauses)


BROAD = (
    _shape("display_name:*a*", words_like=["%a%"]),
    _shape("display_name:*an*", words_like=["%an%"]),
    _shape("display_name:a*", words_like=["% a%"]),
    _shape(r"display_name:\+49*", words_like=["% +49%"]),
    _shape(r"display_name:\+4915*", words_like=["% +4915%"]),
    _shape("display_name:*12*", words_like=["%12%"]),
    _shape("-display_name:*a*", words_unlike="%a%"),
    _shape(f"{_TOTAL}:[100 TO 200]", order_total=("100", "200")),
    # No character of a time comes after ~.
    _shape(f"{_SEEN}:2020*", last_seen=("2020", "2020~")),
    _shape(f"{_SEEN}:[2020-10-01 TO 2020-11-01]", last_seen=("2020-10-01", "2020-11-01")),
    # Between a and c there are the words that begin with a or b, and c itself.
    _shape("display_name:[a TO c]", words_like=["% a%", "% b%", "% c %"]),
    _shape("display_name:?a*", words_like=["% _a%"]),
    _shape("display_name:*lovelace", words_like=["%lovelace %"]),
)
"""Filters whose pattern matches many words. They are held to PostgreSQL's time."""

PLAIN = (
    _shape("unread_count:[1 TO *]", unread=True),
    _shape("-source:facebook", not_source="facebook"),
    _shape("-display_name:anna", words_unlike="% anna %"),
    _shape("created_at:[2024-01-01 TO 2025-01-01}", **_days("2024-01-01", "2025-01-01")),
    _shape("source:whatsapp AND unread_count:[1 TO *]", source="whatsapp", unread=True),
    _shape("display_name:*a* AND unread_count:[1 TO *]", words_like=["%a%"], unread=True),
)
"""Views of an inbox."""

WORST = (
    Shape("four clauses", "state:open AND source:facebook AND unread_count:[1 TO *] AND created_at:[2024-01-01 TO *]"),
    Shape("every broad word", " OR ".join(f"{_NOTES}:{word}" for word in _WORDS)),
    Shape("every broad word absent, one by one", " OR ".join(f"(NOT {_NOTES}:{word})" for word in _WORDS)),
    Shape("ranges, 130 of them", " OR ".join(f"unread_count:[0 TO {n}]" for n in range(130))),
    Shape(
        "rare words absent, 60 of them",
        " OR ".join(f"(NOT display_name:{a}{b})" for a in "abcdef" for b in "ghijklmnop"),
    ),
    Shape(
        "broad or not rare, 60 of them",
        " AND ".join(f"({_NOTES}:{_WORDS[n % 19]} OR -display_name:x{n})" for n in range(60)),
    ),
    Shape("part of an address", "metadata.user_data.email:*123*"),
    Shape("all ids by their first letter", " OR ".join(f"id:{letter}*" for letter in "0123456789abcdef")),
    Shape("a range of ids", "id:[0 TO e]"),
    Shape("a fuzzy word", "display_name:karen~2"),
    Shape("a phrase", f'{_NOTES}:"order my"'),
    Shape("a loose phrase", f'{_NOTES}:"order my lost"~3'),
    Shape("a very loose phrase", f'{_NOTES}:"the the"~9'),
    Shape("a regular expression", "display_name:/[a-m].*[n-z]/"),
    Shape("a broad pattern and a narrow word", "display_name:*a* AND display_name:elpeson"),
    Shape("complements in complements", "NOT (NOT (state:closed AND NOT source:facebook) AND NOT unread_count:0)"),
)
"""Other filters that take long, of which there is no peer."""
