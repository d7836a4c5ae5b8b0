"""What is asked for: each call as the service takes it, by gRPC, and as the peer takes it, in JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.corpus import CHANNELS, TAGS, Row, message_event
from google.protobuf.message import Message

from conversations.v1 import conversation_service_pb2 as conversation_service
from conversations.v1.ingest_service_pb2 import IngestEventsRequest

__all__ = ["ALL", "FILTERED", "INGEST", "PAGE_SIZE", "WITH_WRITES", "Call", "Shape"]
__all__ += ["get", "ingest", "list_page", "mark_read"]

PAGE_SIZE = 20
INGEST = "/conversations.v1.IngestService/IngestEvents"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, in both ways."""

    method: str
    """`/package.Service/Method`."""
    message: bytes
    """The request, serialised."""
    path: str
    """Of JSON."""
    body: dict[str, object]


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
    Shape("list by name prefix", "display_name:lov*", {"name_prefix": "lov"}),
    Shape("list by name suffix", "display_name:*lace", {"name_suffix": "lace"}),
    # Made up: six of the first 100,000 have it.
    Shape("list by rare name", "display_name:elpeson", {"name_prefix": "elpeson"}, selective=True),
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


def list_page(shape: Shape = ALL, *, cursor: str = "", peer_cursor: str = "") -> Call:
    """Return the call for a page; cursors are those of the service and of the peer."""
    # What is empty is not sent.
    filters, after = shape.filters or None, cursor or None
    request = conversation_service.ListConversationsRequest(filters=filters, cursor=after, page_size=PAGE_SIZE)
    body = {"page_size": PAGE_SIZE, **shape.clauses, **({"cursor": peer_cursor} if cursor else {})}
    return _call("ListConversations", request, "/conversations.list", body)


def get(id: str) -> Call:
    """Return the call for a conversation."""
    request = conversation_service.GetConversationRequest(conversation_id=id)
    return _call("GetConversation", request, "/conversations.info", {"conversation_id": id})


def mark_read(id: str) -> Call:
    """Return the call that says that a conversation was read."""
    request = conversation_service.MarkConversationReadRequest(conversation_id=id)
    return _call("MarkConversationRead", request, "/conversations.read", {"conversation_id": id})


def ingest(messages: Sequence[Row]) -> Call:
    """Return the call that brings messages."""
    documents = [
        {
            "id": row.message_id,
            "conversation_id": row.id,
            "channel_id": row.channel_id,
            "source": row.source,
            "sent_at": row.sent_at_ms,
            "from_contact": row.from_contact,
            "text": row.text,
        }
        for row in messages
    ]
    request = IngestEventsRequest(events=map(message_event, messages))
    return Call(INGEST, request.SerializeToString(), "/messages.ingest", {"messages": documents})


def _call(rpc: str, request: Message, path: str, body: dict[str, object]) -> Call:
    return Call(f"/conversations.v1.ConversationService/{rpc}", request.SerializeToString(), path, body)
