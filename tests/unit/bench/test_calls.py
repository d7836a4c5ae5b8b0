"""Calls in both ways."""

from bench.calls import ingest, list_page
from bench.corpus import rows
from bench.shapes import Shape

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.ingest_service_pb2 import IngestEventsRequest


def test_a_page_is_asked_for_in_both_ways() -> None:
    call = list_page(Shape("open", "state:open", {"state": "OPEN"}), cursor="ours", peer_cursor="theirs")
    request = ListConversationsRequest.FromString(call.message)
    assert (request.filters, request.cursor, request.page_size) == ("state:open", "ours", 20)
    assert call.body == {"state": "OPEN", "cursor": "theirs", "page_size": 20}


def test_messages_are_brought_in_both_ways() -> None:
    call = ingest(list(rows(3, user_data=False)))
    events = IngestEventsRequest.FromString(call.message).events
    documents = call.body["messages"]
    assert isinstance(documents, list)
    assert [(event.message.id, event.message.conversation_id) for event in events] == [
        (document["id"], document["conversation_id"]) for document in documents
    ]
    assert len(events) == 3
