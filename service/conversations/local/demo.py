"""A small demo inbox: the conversations of `demo.toml`, the newest some minutes old."""

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from uuid import UUID, uuid5

import grpc.aio
from google.protobuf import json_format

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.event_pb2 import Event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest
from conversations.v1.ingest_service_pb2_grpc import IngestServiceStub

__all__ = ["demo_events", "load"]

_NAMESPACE = UUID("6f1c3c1e-52a5-4c7e-9a0a-2f5d8d9b7e10")
_AGENTS = ["Mira", "Jonas", "Elif", "Tomasz"]
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

JsonEvent = dict[str, dict[str, Any]]
"""Proto3 JSON of an Event."""


async def load(target: str) -> int:
    """Send the demo events to a server, unless it has conversations already.

    Args:
        target: `host:port` of the server.

    Returns:
        How many conversations were loaded; 0 if the server had some already.

    Raises:
        grpc.aio.AioRpcError: The server does not answer.
    """
    async with grpc.aio.insecure_channel(target) as channel:
        page = await ConversationServiceStub(channel).ListConversations(ListConversationsRequest(page_size=1))
        if page.pagination_data.total:
            return 0
        events = [json_format.ParseDict(event, Event()) for event in demo_events(datetime.now(UTC))]
        answer = await IngestServiceStub(channel).IngestEvents(IngestEventsRequest(events=events))
    if answer.rejected:
        raise RuntimeError(f"the server rejects demo event {answer.rejected[0].index}: {answer.rejected[0].message}")
    return len({event.message.conversation_id for event in events if event.HasField("message")})


def demo_events(now: datetime) -> list[JsonEvent]:
    """Return the events of the demo inbox.

    Args:
        now: Time, with its zone, from which the conversations' ages count. Only times depend on it.
    """
    inbox = tomllib.loads(resources.files(__package__).joinpath("demo.toml").read_text("utf-8"))
    events = [_channel_event(key, channel) for key, channel in inbox["channels"].items()]
    events += [_tag_event(name, color) for name, color in inbox["tags"].items()]
    for number, conversation in enumerate(inbox["conversations"]):
        source = inbox["channels"][conversation["channel"]]["source"]
        events += _conversation_events(number, conversation, source, now)
    return events


def _id(kind: str, name: str) -> str:
    return str(uuid5(_NAMESPACE, f"{kind}/{name}"))


def _channel_event(key: str, channel: dict[str, Any]) -> JsonEvent:
    return {
        "channel": {
            "id": _id("channel", key),
            "source": channel["source"],
            "source_channel_id": channel["source_channel_id"],
            "connected": channel.get("connected", True),
            "metadata": {"name": channel["name"]},
        }
    }


def _tag_event(name: str, color: str) -> JsonEvent:
    return {"tag": {"id": _id("tag", name), "name": name, "color": color}}


def _conversation_events(number: int, conversation: dict[str, Any], source: str, now: datetime) -> Iterator[JsonEvent]:
    id = _id("conversation", str(number))
    messages = list(_messages(number, id, conversation, source, now))
    yield from ({"message": message} for message in messages)
    if metadata := _metadata(conversation):
        yield {"metadata": {"subject": "conversation", "id": id, "metadata": metadata}}
    if read_at := _read_at(messages, conversation.get("unread", 0)):
        yield {"read_receipt": {"conversation_id": id, "read_at": read_at}}


def _messages(
    number: int, conversation_id: str, conversation: dict[str, Any], source: str, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the messages of a dialogue, the oldest first."""
    lines = conversation["dialogue"].splitlines()
    contact = {"id": f"{source}:{conversation_id[:8]}"}
    if "name" in conversation:
        contact["name"] = conversation["name"]
    agent_name = _AGENTS[number % len(_AGENTS)]
    agent = {"id": f"agent:{agent_name.lower()}", "name": agent_name}
    ids = [_id("message", f"{number}/{position}") for position in range(len(lines))]
    for id, line, sent_at in zip(ids, lines, _times(ids, now - _age(conversation["ago"])), strict=True):
        mark, text = line[0], line[2:]
        yield {
            "id": id,
            "conversation_id": conversation_id,
            "channel_id": _id("channel", conversation["channel"]),
            "sender": contact if mark == ">" else agent,
            "content": {"text": text},
            "from_contact": mark == ">",
            "delivery_state": "FAILED" if mark == "!" else "DELIVERED",
            "sent_at": sent_at,
            "source": source,
        }


def _times(ids: list[str], last: datetime) -> list[str]:
    """Return a time for each message, up to half an hour apart; the gaps follow from the ids."""
    times = [last - timedelta(milliseconds=UUID(ids[-1]).int % 60_000)]
    for id in reversed(ids[1:]):
        times.append(times[-1] - timedelta(seconds=20 + UUID(id).int % 1800))
    return [time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") for time in reversed(times)]


def _age(text: str) -> timedelta:
    """Return the duration of a text such as `3m`, `5h` or `12d`."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def _metadata(conversation: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {key: conversation[key] for key in ("state", "user_data") if key in conversation}
    if "name" in conversation:
        metadata["contact"] = {"display_name": conversation["name"]}
    if "tags" in conversation:
        metadata["tags"] = {_id("tag", name): "" for name in conversation["tags"]}
    return metadata


def _read_at(messages: list[dict[str, Any]], unread: int) -> str | None:
    """Return the time of the last message before the unread ones; None if all are unread."""
    waiting = [position for position, message in enumerate(messages) if message["from_contact"]]
    read = messages[: waiting[-unread]] if unread else messages
    return str(read[-1]["sent_at"]) if read else None
