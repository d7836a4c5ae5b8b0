"""The whole service as plain Python: what every answer has to be after any events and mutations.

State is only what came in; everything shown is computed from it when asked for.
"""

import copy
import json
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["COLORS", "Model", "NotFoundError", "RejectedError", "canonical", "from_millis", "merge", "to_millis"]

Json = dict[str, Any]

COLORS = ("tag-red", "tag-blue", "tag-green", "tag-purple")
DELIVERY_STATES = ("PENDING", "FAILED", "DELIVERED")
SUBJECTS = ("conversation", "message", "channel")
MAX_LEVELS = 20
MAX_SOURCE_BYTES = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
END = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1) + 24 * 60 * 60 * 1000
UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class RejectedError(Exception):
    """The service has to answer INVALID_ARGUMENT."""


class NotFoundError(Exception):
    """The service has to answer NOT_FOUND."""


def to_millis(time: str) -> int:
    """Return an RFC 3339 time in milliseconds since 1970 UTC, cut to whole ones."""
    parts = TIME.fullmatch(time)
    if not parts:
        raise RejectedError(f"{time!r} is no time")
    day, clock, fraction, zone = parts.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        raise RejectedError(f"{time!r} is no time") from None
    millis = (moment - EPOCH) // timedelta(milliseconds=1) + int((fraction or "")[:3].ljust(3, "0"))
    if not FIRST <= millis < END:
        raise RejectedError(f"{time!r} is not in the years 1 to 9999 of UTC")
    return millis


def from_millis(millis: int) -> str:
    """Return a time as answers show it: UTC with exactly three fraction digits."""
    moment = EPOCH + timedelta(milliseconds=millis)
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{millis % 1000:03d}Z"


def merge(document: Any, change: Json) -> Json:
    """Return the document with a change on top: objects deeply, null removes, anything else replaces."""
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def merge_all(document: Json, changes: Iterable[Json]) -> Json:
    for change in changes:
        document = merge(document, change)
    return document


@dataclass
class Message:
    """A message as its last event said, and when it took its place among the others."""

    event: Json
    sent_at: int
    arrival: int


@dataclass
class Model:
    """All state, keyed by lower-case ids."""

    messages: dict[str, dict[str, Message]] = field(default_factory=dict)
    """By conversation, then by message."""
    channels: dict[str, Json] = field(default_factory=dict)
    """Own documents, without changes."""
    tags: dict[str, Json] = field(default_factory=dict)
    known_channels: set[str] = field(default_factory=set)
    """Those of which an event came, not just messages."""
    dead_tags: set[str] = field(default_factory=set)
    """Deleted, and not brought back by an event since."""
    documents: dict[str, Json] = field(default_factory=dict)
    """Metadata of conversations, existing or awaited."""
    changes: dict[tuple[str, str], list[Json]] = field(default_factory=dict)
    """Changes of metadata by subject (message or channel) and id, in order of arrival."""
    read_at: dict[str, int] = field(default_factory=dict)
    arrivals: int = 0

    def ingest(self, event: Json) -> RejectedError | None:
        """Apply an event in the JSON of an event log, or return why it is rejected."""
        try:
            self._apply(event)
        except RejectedError as error:
            return error
        return None

    def _apply(self, event: Json) -> None:
        kinds: dict[str, Callable[[Json], None]] = {
            "channel": self._channel,
            "tag": self._tag,
            "message": self._message,
            "metadata": self._metadata,
            "read_receipt": self._read_receipt,
        }
        if len(event) != 1 or next(iter(event)) not in kinds:
            raise RejectedError("an event holds exactly one thing")
        kind, body = next(iter(event.items()))
        kinds[kind](body)

    def _channel(self, body: Json) -> None:
        id = uuid(body, "id")
        self.known_channels.add(id)
        self.channels[id] = {
            "id": id,
            "source": source_of(body),
            "source_channel_id": body.get("source_channel_id", ""),
            "connected": body.get("connected", False),
            "metadata": free(body, "metadata") or {},
        }

    def _tag(self, body: Json) -> None:
        id = uuid(body, "id")
        self.tags[id] = {"id": id, "name": tag_name(body.get("name")), "color": tag_color(body.get("color"))}
        self.dead_tags.discard(id)

    def _message(self, body: Json) -> None:
        id, conversation_id, channel_id = (uuid(body, key) for key in ("id", "conversation_id", "channel_id"))
        source, sent_at = source_of(body), to_millis(body.get("sent_at", ""))
        sender = body.get("sender") or {}
        state = body.get("delivery_state", "DELIVERED")
        shown = {
            "id": id,
            "content": {} if body.get("content") is None else free(body, "content"),
            "delivery_state": state if state in DELIVERY_STATES else "DELIVERED",
            "state": state if state in DELIVERY_STATES else "DELIVERED",
            "from_contact": body.get("from_contact", False),
            "sent_at": from_millis(sent_at),
            "source": source,
            "sender": {"id": "", **{key: value for key, value in sender.items() if value is not None}},
            "metadata": free(body, "metadata") or {},
        }
        known = self.messages.setdefault(conversation_id, {}).get(id)
        self.arrivals += 1
        arrival = known.arrival if known and known.sent_at == sent_at else self.arrivals
        self.messages[conversation_id][id] = Message({**shown, "channel_id": channel_id}, sent_at, arrival)
        self.channels.setdefault(
            channel_id,
            {"id": channel_id, "source": source, "source_channel_id": "", "connected": False, "metadata": {}},
        )

    def _metadata(self, body: Json) -> None:
        subject, id = body.get("subject"), uuid(body, "id")
        if subject not in SUBJECTS:
            raise RejectedError(f"unknown subject {subject!r}")
        if subject == "conversation":
            if "unread_count" in body.get("metadata", {}):
                raise RejectedError("unread_count is counted")
            # Each key of a conversation's metadata is a document of its own.
            change = {key: free({"": value}, "") for key, value in body.get("metadata", {}).items()}
            self._change_conversation(id, checked(change))
        else:
            self.changes.setdefault((subject, id), []).append(free(body, "metadata") or {})

    def _change_conversation(self, id: str, change: Json) -> None:
        tags = change.get("tags")
        if tags:
            change = {**change, "tags": {tag: v for tag, v in tags.items() if v is None or tag not in self.dead_tags}}
        self.documents[id] = merge(self.documents.get(id), change)

    def _read_receipt(self, body: Json) -> None:
        id, read_at = uuid(body, "conversation_id"), to_millis(body.get("read_at", ""))
        latest = max((message.sent_at for message in self.messages.get(id, {}).values()), default=0)
        read_at = min(read_at, max(int(time.time() * 1000), latest))
        self.read_at[id] = max(self.read_at.get(id, read_at), read_at)

    def read(self, conversation_id: str, now_ms: int) -> None:
        id = self._existing(conversation_id)
        self.read_at[id] = max(self.read_at.get(id, now_ms), now_ms, self._ordered(id)[-1].sent_at)

    def tag(self, conversation_id: str, tag_id: str) -> None:
        id, tag = self._existing_pair(conversation_id, tag_id)
        self.documents[id] = merge(self.documents.get(id), {"tags": {tag: ""}})

    def untag(self, conversation_id: str, tag_id: str) -> None:
        id, tag = self._existing_pair(conversation_id, tag_id)
        self.documents[id] = merge(self.documents.get(id), {"tags": {tag: None}})

    def set_state(self, conversation_id: str, state: str) -> None:
        if state not in ("OPEN", "CLOSED"):
            raise RejectedError(f"unknown state {state}")
        id = self._existing(conversation_id)
        self.documents[id] = merge(self.documents.get(id), {"state": state})

    def remove_state(self, conversation_id: str) -> None:
        id = self._existing(conversation_id)
        self.documents[id] = merge(self.documents.get(id), {"state": None})

    def update_contact(self, conversation_id: str, display_name: str) -> None:
        if not has_visible(display_name) or len(display_name) > 1024:
            raise RejectedError("blank or long display_name")
        id = self._existing(conversation_id)
        self.documents[id] = merge(self.documents.get(id), {"contact": {"display_name": display_name}})

    def upsert(self, subject: str, id: str, data: Json | None) -> None:
        key = uuid({"id": id}, "id")
        if subject not in SUBJECTS or data is None:
            raise RejectedError("bad upsert")
        change = {"user_data": free({"": data}, "")}
        if subject != "conversation":
            free({"": change}, "")
        if subject == "conversation":
            self._existing(key)
            self.documents[key] = merge(self.documents.get(key), change)
            return
        if subject == "channel" and key not in self.channels:
            raise NotFoundError("no such channel")
        if subject == "message" and not any(key in messages for messages in self.messages.values()):
            raise NotFoundError("no such message")
        self.changes.setdefault((subject, key), []).append(change)

    def create_tag(self, id: str, name: str, color: str) -> Json:
        """Create a tag with the id that the service chose."""
        self.tags[id] = {"id": id, "name": tag_name(name), "color": tag_color(color)}
        return self.tags[id]

    def update_tag(self, tag_id: str, name: str | None, color: str | None) -> None:
        change = {}
        if name is not None:
            change["name"] = tag_name(name)
        if color is not None:
            change["color"] = tag_color(color)
        id = self._existing_tag(tag_id)
        self.tags[id] = {**self.tags[id], **change}

    def delete_tag(self, tag_id: str) -> None:
        id = self._existing_tag(tag_id)
        del self.tags[id]
        self.dead_tags.add(id)
        for conversation_id, document in self.documents.items():
            if id in document.get("tags", {}):
                self.documents[conversation_id] = merge(document, {"tags": {id: None}})

    def ids(self) -> list[str]:
        """Return the ids of all conversations, as a list has them."""
        return sorted(self.messages, key=lambda id: (self._ordered(id)[-1].sent_at, id), reverse=True)

    def conversation(self, conversation_id: str) -> Json:
        id = self._existing(conversation_id)
        facts, last = self.facts(id), self._ordered(id)[-1]
        document = facts["metadata"]
        contact = {"display_name": facts["display_name"]}
        if "avatar_url" in document.get("contact", {}):
            contact["avatar_url"] = document["contact"]["avatar_url"]
        metadata = {"contact": contact, "tags": document.get("tags", {}), "unread_count": facts["unread_count"]}
        metadata |= {key: document[key] for key in ("state", "user_data") if key in document}
        return {
            "id": id,
            "channel": self.channel(last.event["channel_id"]),
            "created_at": from_millis(facts["created_at"]),
            "metadata": metadata,
            "last_message": self._shown(last),
        }

    def facts(self, conversation_id: str) -> Json:
        """Return what filters are about: times in milliseconds, and the whole metadata document."""
        ordered = self._ordered(conversation_id)
        source, document = ordered[-1].event["source"], self.documents.get(conversation_id, {})
        if ordered[-1].event["channel_id"] in self.known_channels:
            source = self.channels[ordered[-1].event["channel_id"]]["source"]
        return {
            "id": conversation_id,
            "channel_id": ordered[-1].event["channel_id"],
            "source": source,
            "metadata": document,
            "display_name": document.get("contact", {}).get("display_name", default_name(source, conversation_id)),
            "created_at": ordered[0].sent_at,
            "last_message_at": ordered[-1].sent_at,
            "unread_count": sum(self._unread(conversation_id, message) for message in ordered),
        }

    def pages(self, ids: Iterable[str], page_size: int | None = None) -> Iterator[Json]:
        """Yield the pages of a list of these conversations, each without cursors."""
        size = min(page_size or 20, 100)
        rows, total = list(ids), {"total": len(self.messages), "badge_unread_count": self.badge()}
        for start in range(0, max(len(rows), 1), size):
            data = [self.conversation(id) for id in rows[start : start + size]]
            yield {"data": data, "pagination_data": {"filtered_total": len(rows), **total}}

    def badge(self) -> int:
        return sum(self.facts(id)["unread_count"] > 0 for id in self.messages)

    def messages_of(self, conversation_id: str) -> list[Json]:
        """Return all messages of a conversation, the oldest first."""
        return [self._shown(message) for message in self._ordered(self._existing(conversation_id))]

    def channel(self, channel_id: str) -> Json:
        id = uuid({"id": channel_id}, "id")
        if id not in self.channels:
            raise NotFoundError("no such channel")
        own = self.channels[id]
        metadata = merge_all(own["metadata"], self.changes.get(("channel", id), ()))
        if not has_visible(metadata.get("name")):
            metadata = {**metadata, "name": default_name(own["source"], id)}
        return {**own, "metadata": metadata}

    def list_channels(self) -> list[Json]:
        rows = sorted(self.channels.values(), key=lambda channel: (channel["source"], channel["id"]))
        return [self.channel(channel["id"]) for channel in rows]

    def list_tags(self) -> list[Json]:
        return sorted(self.tags.values(), key=lambda tag: (tag["name"], tag["id"]))

    def _ordered(self, conversation_id: str) -> list[Message]:
        messages = self.messages[conversation_id].values()
        return sorted(messages, key=lambda message: (message.sent_at, message.arrival))

    def _shown(self, message: Message) -> Json:
        shown = {key: value for key, value in message.event.items() if key != "channel_id"}
        changes = self.changes.get(("message", shown["id"]), ())
        return {**shown, "metadata": merge_all(shown["metadata"], changes)}

    def _unread(self, conversation_id: str, message: Message) -> bool:
        read_at = self.read_at.get(conversation_id)
        return message.event["from_contact"] and (read_at is None or message.sent_at > read_at)

    def _existing(self, conversation_id: str) -> str:
        id = uuid({"conversation_id": conversation_id}, "conversation_id")
        if id not in self.messages:
            raise NotFoundError("no such conversation")
        return id

    def _existing_pair(self, conversation_id: str, tag_id: str) -> tuple[str, str]:
        uuid({"tag_id": tag_id}, "tag_id")
        return self._existing(conversation_id), self._existing_tag(tag_id)

    def _existing_tag(self, tag_id: str) -> str:
        id = uuid({"tag_id": tag_id}, "tag_id")
        if id not in self.tags:
            raise NotFoundError("no such tag")
        return id


def default_name(source: str, conversation_id: str) -> str:
    part = source.split(".")[-1]
    return f"{part[:1].upper()}{part[1:]} {conversation_id[-5:]}"


def has_visible(text: object) -> bool:
    """Whether something of a text can be seen: more than separators, controls, formats, and letters without a shape."""
    if not isinstance(text, str):
        return False
    return any(unicodedata.category(c) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Cs") and not _ignored(c) for c in text)


def _ignored(c: str) -> bool:
    """Whether a letter, mark or sign has no shape."""
    return c in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" or "VARIATION SELECTOR" in unicodedata.name(c, "")


def uuid(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise RejectedError(f"{key}: {value!r} is no UUID")
    return value.lower()


def source_of(body: Json) -> str:
    source: str = body.get("source", "")
    if not source or re.search(r"\s", source) or len(source.encode()) > MAX_SOURCE_BYTES:
        raise RejectedError(f"source: {source!r}")
    return source


def tag_name(name: Any) -> str:
    if not has_visible(name) or len(name) > 256:
        raise RejectedError(f"name: {name!r}")
    return str(name)


def tag_color(color: Any) -> str:
    if color not in COLORS:
        raise RejectedError(f"color: {color!r}")
    return str(color)


def free(body: Json, key: str) -> Any:
    """Return a copy of free JSON, None if it is absent."""
    if levels(body.get(key)) > MAX_LEVELS:
        raise RejectedError(f"{key}: too deep, or a number that JSON does not have")
    return copy.deepcopy(body.get(key))


def levels(value: Any) -> int:
    """Return how deep a document is; one with a number that is not finite is deeper than allowed."""
    if isinstance(value, float) and value - value != 0:
        return MAX_LEVELS + 1
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max((levels(child) for child in children), default=0)


def checked(change: Json) -> Json:
    """Return a change of a conversation's metadata with its tag ids in lower case."""
    contact, tags = change.get("contact"), change.get("tags", {})
    if contact is not None:
        if not isinstance(contact, dict):
            raise RejectedError("contact is an object")
        if contact.get("display_name") is not None and not has_visible(contact["display_name"]):
            raise RejectedError("contact.display_name is a text that is not blank")
        if not isinstance(contact.get("avatar_url", ""), str | None):
            raise RejectedError("contact.avatar_url is a text")
    if not isinstance(tags, dict) or any(value not in ("", None) for value in tags.values()):
        raise RejectedError("tags are ids with an empty text")
    if change.get("state") not in ("OPEN", "CLOSED", None):
        raise RejectedError("state is OPEN or CLOSED")
    if not isinstance(change.get("user_data"), dict | None):
        raise RejectedError("user_data is an object")
    lowered = {uuid({"tag": tag}, "tag"): value for tag, value in tags.items()}
    return {**change, "tags": lowered} if "tags" in change else change


def canonical(document: Any) -> str:
    """Return JSON text that is the same for documents that are: keys sorted, whole numbers without a point."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(child) for key, child in value.items()}
        if isinstance(value, list):
            return [plain(child) for child in value]
        return int(value) if isinstance(value, float) and value == int(value) else value

    return json.dumps(plain(document), sort_keys=True, ensure_ascii=False)
