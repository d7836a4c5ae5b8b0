"""What is asked for: each call as the service takes it, by gRPC, and as the peer takes it, in JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.corpus import Row, message_event
from bench.shapes import ALL, Shape
from google.protobuf.message import Message

from conversations.v1 import conversation_service_pb2 as conversation_service
from conversations.v1.ingest_service_pb2 import IngestEventsRequest

__all__ = ["INGEST", "MESSAGES_PER_SECOND", "PAGE_SIZE", "Call", "get", "ingest", "list_page", "mark_read"]

PAGE_SIZE = 20
MESSAGES_PER_SECOND = 50
"""How many come in where messages do."""
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
