"""What the tests of both protocols send: events with ids of each test's own, and requests that have to be refused.

All tests share one store: lists are asked for the conversations of one test by their channel.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from conversations.v1 import (  # noqa: F401 - their descriptors are looked up by name
    channel_service_pb2,
    conversation_service_pb2,
    ingest_service_pb2,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
)

__all__ = [
    "BAD_IDS",
    "DOMAIN",
    "ERROR_INFO",
    "ID_FIELDS",
    "METHODS",
    "REFUSED",
    "UNKNOWN",
    "Ids",
    "Refused",
    "at",
    "id_cases",
    "message",
    "metadata",
    "nested",
    "request_message",
]

Json = dict[str, Any]

DOMAIN = "conversations.v1"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

METHODS = {
    "/conversations.list": "ConversationService/ListConversations",
    "/conversations.info": "ConversationService/GetConversation",
    "/conversations.read": "ConversationService/MarkConversationRead",
    "/conversations.tag": "ConversationService/TagConversation",
    "/conversations.untag": "ConversationService/UntagConversation",
    "/conversations.setState": "ConversationService/SetConversationState",
    "/conversations.removeState": "ConversationService/RemoveConversationState",
    "/conversations.updateContact": "ConversationService/UpdateContact",
    "/messages.list": "MessageService/ListMessages",
    "/tags.create": "TagService/CreateTag",
    "/tags.update": "TagService/UpdateTag",
    "/tags.delete": "TagService/DeleteTag",
    "/tags.list": "TagService/ListTags",
    "/channels.list": "ChannelService/ListChannels",
    "/channels.info": "ChannelService/GetChannel",
    "/metadata.upsert": "MetadataService/UpsertMetadata",
    "/events.ingest": "IngestService/IngestEvents",
    "/filters.explain": "FilterService/ExplainFilter",
    "/filters.fields": "FilterService/ListFilterFields",
}
"""The gRPC method of each path, without the package."""


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids by name: the same in each run, and others in each scope."""

    scope: str

    def __call__(self, name: object) -> str:
        return str(uuid5(NAMESPACE_URL, f"{self.scope} {name}"))

    @property
    def own(self) -> str:
        """Filter for the conversations whose messages came by this scope's channel."""
        return f"channel_id:{self('channel')}"


def at(seconds: float) -> str:
    """Return a time so many seconds after a moment in 2021, as answers show it."""
    moment = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def message(ids: Ids, conversation: object, name: object, seconds: float = 0, **changes: Any) -> Json:
    """A message of the contact in a conversation; both are named."""
    facts = {
        "id": ids(f"message {name}"),
        "conversation_id": ids(conversation),
        "channel_id": ids("channel"),
        "sender": {"id": "sender"},
        "content": {"text": "Hello"},
        "from_contact": True,
        "delivery_state": "DELIVERED",
        "sent_at": at(seconds),
        "source": "facebook",
        "metadata": {},
    }
    return {"message": facts | changes}


def metadata(subject: str, id: str, **patch: Any) -> Json:
    """A change of metadata."""
    return {"metadata": {"subject": subject, "id": id, "metadata": patch}}


def nested(levels: int) -> Json:
    """Return objects in objects, so many levels in all."""
    document: Json = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


def request_message(path: str, body: Json) -> Message:
    """Return the request of a path's method with the fields of a JSON body."""
    service, method = METHODS[path].split("/")
    descriptor = descriptor_pool.Default().FindServiceByName(f"{DOMAIN}.{service}").methods_by_name[method]
    return json_format.ParseDict(body, message_factory.GetMessageClass(descriptor.input_type)())


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that has to be refused, and how."""

    path: str
    body: Json
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    violation: tuple[str, str] | None = None
    """Field and description."""

    @property
    def id(self) -> str:
        return f"{self.path[1:]} {self.message[:60]}"


def bad_field(path: str, body: Json, name: str, description: str, reason: str = "INVALID_FIELD") -> Refused:
    return Refused(path, body, reason, f"{name}: {description}", {"field": name}, (name, description))


def bad_filter(filters: str, reason: str, message: str, **facts: str) -> Refused:
    return Refused("/conversations.list", {"filters": filters}, reason, message, facts, ("filters", message))


NOBODY = "00000000-dead-4000-8000-000000000000"
"""An id that nothing has."""

_DATA = {"subject": "conversation", "data": {}}

ID_FIELDS: list[tuple[str, str, Json]] = [
    *((f"/conversations.{verb}", "conversation_id", {}) for verb in ("info", "read", "removeState")),
    *((f"/conversations.{verb}", "conversation_id", {"tag_id": NOBODY}) for verb in ("tag", "untag")),
    *((f"/conversations.{verb}", "tag_id", {"conversation_id": NOBODY}) for verb in ("tag", "untag")),
    ("/conversations.setState", "conversation_id", {"state": "OPEN"}),
    ("/conversations.updateContact", "conversation_id", {"display_name": "Ada"}),
    ("/messages.list", "conversation_id", {}),
    ("/tags.update", "id", {"name": "Urgent", "color": "tag-red"}),
    ("/tags.delete", "id", {}),
    ("/channels.info", "channel_id", {}),
    ("/metadata.upsert", "id", _DATA),
]
"""Each field that holds an id: path, field, and what else a request needs."""

BAD_IDS = [
    "x",
    NOBODY.replace("-", ""),
    NOBODY[:-1],
    NOBODY + "0",
    f"{{{NOBODY}}}",
    f"urn:uuid:{NOBODY}",
    f" {NOBODY}",
    f"{NOBODY}\n",
    "g" + NOBODY[1:],
    "０" + NOBODY[1:],
    NOBODY[:-1] + "\0",
    "*",
]


def id_cases() -> Iterator[Refused]:
    """Yield every id field with every kind of bad id."""
    for path, name, rest in ID_FIELDS:
        for missing in ({}, {name: None}, {name: ""}):
            yield bad_field(path, rest | missing, name, "is missing")
        for id in BAD_IDS:
            yield bad_field(path, rest | {name: id}, name, "has to be a UUID, 8-4-4-4-12 hexadecimal digits")


_NOT_FOUND: list[tuple[str, Json, str]] = [
    *((f"/conversations.{verb}", {}, "conversation") for verb in ("info", "read", "removeState")),
    ("/conversations.setState", {"state": "CLOSED"}, "conversation"),
    ("/conversations.updateContact", {"display_name": "Ada"}, "conversation"),
    ("/messages.list", {}, "conversation"),
    ("/conversations.tag", {"conversation_id": NOBODY}, "tag"),
    ("/conversations.untag", {"conversation_id": NOBODY}, "tag"),
    ("/tags.update", {"name": "Urgent"}, "tag"),
    ("/tags.delete", {}, "tag"),
    ("/channels.info", {}, "channel"),
    *(("/metadata.upsert", {"subject": kind, "data": {}}, kind) for kind in ("conversation", "message", "channel")),
]


def _unknown() -> Iterator[Refused]:
    fields = {(path, name.removesuffix("_id")): name for path, name, _ in ID_FIELDS}
    for path, rest, kind in _NOT_FOUND:
        name = fields.get((path, kind), "id")
        message = f"no {kind} has the id {NOBODY}"
        # Asked for in upper case, named in lower case.
        yield Refused(path, rest | {name: NOBODY.upper()}, f"{kind.upper()}_NOT_FOUND", message, {"id": NOBODY})


UNKNOWN = list(_unknown())
"""Every call for something that is not there."""

_CONVERSATION = {"conversation_id": NOBODY}
_COLORS = "has to be one of tag-red, tag-blue, tag-green, tag-purple"
_SUBJECTS = "has to be conversation, message or channel"
_DAMAGED = "is damaged; use next_cursor or previous_cursor exactly as returned"
_DEEP = "is nested too deeply: at most 20 levels"
_BLANKS = ("", " ", "\t\r\n", "\u3000", " \u2003\u3000")


REFUSED = [
    *(
        bad_field(path, rest | {"page_size": size}, "page_size", "must not be negative")
        for path, rest in (("/conversations.list", {}), ("/messages.list", _CONVERSATION))
        for size in (-1, -(2**31))
    ),
    *(
        bad_field("/conversations.list", {"cursor": cursor}, "cursor", _DAMAGED, "INVALID_CURSOR")
        for cursor in ("x", "c", "cAAAA", "-1", "1.5", " 1", "٣", "a" * 5000)
    ),
    *(
        bad_field(
            "/conversations.list",
            {"cursor": cursor},
            "cursor",
            "an offset may be 100000 at most; follow next_cursor instead",
            "INVALID_CURSOR",
        )
        for cursor in ("100001", "9" * 400)
    ),
    *(
        bad_field("/conversations.setState", _CONVERSATION | state, "state", "has to be OPEN or CLOSED")
        for state in ({}, {"state": None}, {"state": 0}, {"state": 77}, {"state": -1}, {"state": "STATE_UNSPECIFIED"})
    ),
    *(
        bad_field(
            "/conversations.updateContact", _CONVERSATION | {"display_name": name}, "display_name", "must not be blank"
        )
        for name in _BLANKS
    ),
    bad_field("/conversations.updateContact", _CONVERSATION, "display_name", "must not be blank"),
    bad_field(
        "/conversations.updateContact",
        _CONVERSATION | {"display_name": "😀" * 1025},
        "display_name",
        "may have at most 1024 characters",
    ),
    *(bad_field("/tags.create", {"name": name, "color": "tag-red"}, "name", "must not be blank") for name in _BLANKS),
    bad_field("/tags.create", {"name": "x" * 257, "color": "tag-red"}, "name", "may have at most 256 characters"),
    *(
        bad_field(path, rest | {"color": color}, "color", _COLORS)
        for path, rest in (("/tags.create", {"name": "Urgent"}), ("/tags.update", {"id": NOBODY}))
        for color in ("", "red", "tag-yellow", "TAG-RED", "tag-red ")
    ),
    bad_field("/tags.create", {"name": "Urgent"}, "color", _COLORS),
    *(bad_field("/tags.update", {"id": NOBODY, "name": name}, "name", "must not be blank") for name in _BLANKS),
    *(
        bad_field("/metadata.upsert", {"subject": subject, "id": NOBODY, "data": {}}, "subject", _SUBJECTS)
        for subject in ("", "tag", "Conversation")
    ),
    bad_field("/metadata.upsert", {"id": NOBODY, "data": {}}, "subject", _SUBJECTS),
    bad_field("/metadata.upsert", {"subject": "channel", "id": NOBODY}, "data", "is missing"),
    *(
        bad_field("/metadata.upsert", {"subject": subject, "id": NOBODY, "data": nested(21)}, "data", _DEEP)
        for subject in ("conversation", "message", "channel")
    ),
    bad_field("/metadata.upsert", _DATA | {"id": NOBODY, "data": {"a": [nested(19)]}}, "data", _DEEP),
    bad_field(
        "/metadata.upsert",
        _DATA | {"id": NOBODY, "data": {"a": "x" * 70_000}},
        "data",
        "is too large: at most 65536 bytes",
    ),
    bad_field("/events.ingest", {"events": [{}] * 1001}, "events", "may have at most 1000 items"),
    bad_filter(
        "source:(",
        "FILTER_SYNTAX",
        "at position 8: something has to follow `(`, as in `source:facebook AND NOT state:open`",
        position="8",
    ),
    bad_filter(
        "😀 unread_count:x",
        "FILTER_VALUE",
        "at position 15: unread_count takes whole numbers, not `x`; for example `unread_count:[2 TO *]`",
        position="15",
        field="unread_count",
    ),
    bad_filter(
        "nick:Ada",
        "UNKNOWN_FIELD",
        "at position 0: there is no field `nick`; the fields are `id`, `channel_id`, `source`, `state`, "
        "`display_name`, `tag_ids`, `created_at`, `last_message_at`, `unread_count`, `metadata.<path>`; "
        "escape a colon that belongs to a word: `\\:`",
        position="0",
        field="nick",
        nearest="id",
    ),
    bad_filter(
        "é" * 2048 + "x",
        "FILTER_TOO_LARGE",
        "a filter has at most 4096 bytes; this one has more",
        position="0",
        limit="4096",
    ),
    bad_filter(
        "(" * 65 + "a" + ")" * 65,
        "FILTER_TOO_LARGE",
        "at position 64: a filter has at most 64 levels of parentheses; this one has more",
        position="64",
        limit="64",
    ),
    bad_filter(
        " ".join(["a"] * 257),
        "FILTER_TOO_LARGE",
        "at position 512: a filter has at most 256 words, phrases, patterns and ranges; this one has more",
        position="512",
        limit="256",
    ),
]
"""Requests that are wrong whatever the store holds."""
