"""Changes that valid events make: a class for each kind. ingest.py applies them."""

from dataclasses import dataclass, field

from conversations.store.merge import JsonObject
from conversations.v1 import channel_pb2, message_pb2, tag_pb2

__all__ = [
    "EVERY_TAG",
    "Change",
    "ConversationPatch",
    "MarkRead",
    "PatchChannel",
    "PatchConversation",
    "PatchMessage",
    "PutChannel",
    "PutMessage",
    "PutTag",
    "reads_first",
    "subject_of",
]

EVERY_TAG = "*"
"""Stands for all tags where tags are removed."""


@dataclass(frozen=True, slots=True)
class PutChannel:
    """Add a channel, or replace what its source said of it."""

    channel: channel_pb2.Channel


@dataclass(frozen=True, slots=True)
class PutTag:
    """Add a tag, or replace it."""

    tag: tag_pb2.Tag


@dataclass(frozen=True, slots=True)
class PutMessage:
    """Add a message, or replace what its source said of it."""

    id: str
    conversation_id: str
    channel_id: str
    source: str
    sent_at_ms: int
    message: message_pb2.Message
    """As it will be returned, with the event's metadata."""


@dataclass(frozen=True, slots=True)
class MarkRead:
    """Mark the messages of a conversation as read, up to a time."""

    conversation_id: str
    read_at_ms: int


@dataclass(frozen=True, slots=True)
class ConversationPatch:
    """Changes of a conversation's metadata."""

    document: JsonObject = field(default_factory=dict)
    """Patch of everything but tags and state."""
    state: str = ""
    """OPEN or CLOSED; `-` removes the state, empty keeps it."""
    added_tags: tuple[str, ...] = ()
    removed_tags: tuple[str, ...] = ()
    """Ids, or EVERY_TAG."""


@dataclass(frozen=True, slots=True)
class PatchConversation:
    """Change the metadata of a conversation."""

    id: str
    patch: ConversationPatch


@dataclass(frozen=True, slots=True)
class PatchMessage:
    """Change the metadata of a message."""

    id: str
    patch: JsonObject


@dataclass(frozen=True, slots=True)
class PatchChannel:
    """Change the metadata of a channel."""

    id: str
    patch: JsonObject


Change = PutChannel | PutTag | PutMessage | MarkRead | PatchConversation | PatchMessage | PatchChannel
"""A change of what is stored."""


def subject_of(change: Change) -> str:
    """Return the id of what changes: changes of one subject are applied in order."""
    match change:
        case PutChannel(channel):
            return channel.id
        case PutTag(tag):
            return tag.id
        case PutMessage() | MarkRead():
            return change.conversation_id
        case _:
            return change.id


def reads_first(change: Change) -> bool:
    """Return whether a change depends on the stored record, which is then read first."""
    return isinstance(change, PutChannel | PatchConversation | PatchMessage | PatchChannel)
