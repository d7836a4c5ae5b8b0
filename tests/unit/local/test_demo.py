"""The demo inbox: what is in it, and that it loads once."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
import pytest
from google.protobuf import json_format

from conversations.local.demo import demo_events, load
from conversations.v1.conversation_service_pb2 import (
    ListConversationsRequest,
    ListConversationsResponse,
    PaginationData,
)
from conversations.v1.conversation_service_pb2_grpc import (
    ConversationServiceServicer,
    add_ConversationServiceServicer_to_server,
)
from conversations.v1.event_pb2 import Event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse, RejectedEvent
from conversations.v1.ingest_service_pb2_grpc import IngestServiceServicer, add_IngestServiceServicer_to_server

NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def of_kind(kind: str, now: datetime = NOW) -> list[dict[str, Any]]:
    return [event[kind] for event in demo_events(now) if kind in event]


def by_conversation() -> dict[str, list[dict[str, Any]]]:
    conversations: dict[str, list[dict[str, Any]]] = {}
    for message in of_kind("message"):
        conversations.setdefault(message["conversation_id"], []).append(message)
    return conversations


def unread_counts() -> dict[str, int]:
    read_at = {receipt["conversation_id"]: receipt["read_at"] for receipt in of_kind("read_receipt")}
    return {
        id: sum(message["from_contact"] and message["sent_at"] > read_at.get(id, "") for message in messages)
        for id, messages in by_conversation().items()
    }


def test_it_has_sixty_conversations_or_more_over_seven_sources_and_eight_channels() -> None:
    messages = of_kind("message")
    assert len(by_conversation()) >= 60
    assert {message["source"] for message in messages} == {
        "facebook",
        "instagram",
        "google",
        "viber",
        "chatplugin",
        "twilio.sms",
        "twilio.whatsapp",
    }
    assert len({message["channel_id"] for message in messages}) == len(of_kind("channel")) >= 8


def test_every_conversation_is_a_dialogue_of_its_own() -> None:
    assert {len(messages) for messages in by_conversation().values()} <= set(range(3, 10))
    texts = Counter(message["content"]["text"] for message in of_kind("message"))
    assert [text for text, times in texts.items() if times > 1] == []


def test_it_fits_into_one_request_of_valid_events() -> None:
    events = [json_format.ParseDict(event, Event()) for event in demo_events(NOW)]
    assert len(events) <= 1000
    assert {event.WhichOneof("event") for event in events} == {"channel", "tag", "message", "metadata", "read_receipt"}


@pytest.mark.parametrize("kind", ["channel", "tag", "message"])
def test_ids_are_unique_uuids(kind: str) -> None:
    ids = [event["id"] for event in of_kind(kind)]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not UUID.fullmatch(id)] == []


def test_what_is_referred_to_exists_and_fits() -> None:
    sources = {channel["id"]: channel["source"] for channel in of_kind("channel")}
    tags = {tag["id"] for tag in of_kind("tag")}
    conversations = by_conversation()
    assert all(sources[message["channel_id"]] == message["source"] for message in of_kind("message"))
    for change in of_kind("metadata"):
        assert change["id"] in conversations
        assert set(change["metadata"].get("tags", {})) <= tags
    used = {id for change in of_kind("metadata") for id in change["metadata"].get("tags", {})}
    assert used == tags


def test_it_is_the_same_every_time_and_only_moves_with_the_clock() -> None:
    assert demo_events(NOW) == demo_events(NOW)
    later = NOW + timedelta(days=3)

    def moved(text: str) -> str:
        return (datetime.fromisoformat(text) + timedelta(days=3)).isoformat(timespec="milliseconds")[:23] + "Z"

    expected = [message | {"sent_at": moved(message["sent_at"])} for message in of_kind("message")]
    assert of_kind("message", later) == expected


def test_times_are_those_of_the_last_weeks_and_the_newest_is_minutes_ago() -> None:
    last_times = [messages[-1]["sent_at"] for messages in by_conversation().values()]
    assert NOW - timedelta(minutes=10) < datetime.fromisoformat(max(last_times)) < NOW
    assert NOW - timedelta(weeks=8) < datetime.fromisoformat(min(last_times)) < NOW - timedelta(weeks=3)
    assert len(set(last_times)) == len(last_times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in last_times)


def test_messages_follow_one_another() -> None:
    for messages in by_conversation().values():
        times = [message["sent_at"] for message in messages]
        assert sorted(set(times)) == times


def test_some_are_unread_tagged_closed_and_without_a_name() -> None:
    changes = [change["metadata"] for change in of_kind("metadata")]
    names = [change["contact"]["display_name"] for change in changes if "contact" in change]
    states = Counter(change.get("state") for change in changes)
    assert Counter(unread_counts().values()) == {0: 51, 1: 10, 2: 3, 3: 1}
    assert states["OPEN"] > 10
    assert states["CLOSED"] > 10
    assert sum(name.endswith("Lovelace") for name in names) == 5
    assert sum(not name.isascii() for name in names) > 20
    assert len(by_conversation()) - len(names) > 5
    assert {key for change in changes for key in change.get("user_data", {})} >= {"erp", "crm", "city"}
    assert {message["delivery_state"] for message in of_kind("message")} == {"DELIVERED", "FAILED"}


@dataclass
class FakeServer(ConversationServiceServicer, IngestServiceServicer):
    total: int = 0
    """Conversations that exist before."""
    refused: bool = False
    events: list[Event] = field(default_factory=list)

    async def ListConversations(
        self, request: ListConversationsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListConversationsResponse:
        return ListConversationsResponse(pagination_data=PaginationData(total=self.total))

    async def IngestEvents(
        self, request: IngestEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> IngestEventsResponse:
        self.events += request.events
        rejected = [RejectedEvent(index=2, code="INVALID_ARGUMENT", message="no")] if self.refused else []
        return IngestEventsResponse(accepted=len(request.events) - len(rejected), rejected=rejected)


class TestLoad:
    @pytest.fixture
    def fake(self) -> FakeServer:
        return FakeServer()  # type: ignore[abstract]  # nobody calls the other methods

    @pytest.fixture
    async def target(self, fake: FakeServer) -> AsyncIterator[str]:
        server = grpc.aio.server()
        add_ConversationServiceServicer_to_server(fake, server)
        add_IngestServiceServicer_to_server(fake, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield f"127.0.0.1:{port}"
        await server.stop(None)

    async def test_an_empty_server_gets_everything(self, fake: FakeServer, target: str) -> None:
        assert await load(target) == len(by_conversation())
        newest = max(event.message.sent_at for event in fake.events)
        assert timedelta(0) < datetime.now(UTC) - datetime.fromisoformat(newest) < timedelta(minutes=10)

    async def test_a_server_with_conversations_is_left_alone(self, fake: FakeServer, target: str) -> None:
        fake.total = 1
        assert await load(target) == 0
        assert fake.events == []

    async def test_an_event_that_the_server_rejects_is_an_error(self, fake: FakeServer, target: str) -> None:
        fake.refused = True
        with pytest.raises(RuntimeError, match="rejects demo event 2: no"):
            await load(target)
