"""Incoming events, validated and converted to what the store applies."""

from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from conversations.errors import InvalidFieldError
from conversations.servicers.requests import (
    check_free_data,
    check_name,
    check_text,
    read_color,
    read_id,
    read_source,
    read_time,
)
from conversations.store import (
    EVERY_TAG,
    Change,
    ConversationPatch,
    MarkRead,
    PatchChannel,
    PatchConversation,
    PatchMessage,
    PutChannel,
    PutMessage,
    PutTag,
    to_json,
)
from conversations.times import format_time
from conversations.v1 import channel_pb2, event_pb2, message_pb2, tag_pb2

__all__ = ["MAX_DISPLAY_NAME", "MAX_TAG_NAME", "read_event"]

MAX_DISPLAY_NAME = 1024
"""Maximum characters of a contact's name."""

MAX_TAG_NAME = 256
"""Maximum characters of a tag's name."""

_NO_CONTENT = Value(struct_value=Struct())


def read_event(event: event_pb2.Event) -> Change:
    """Return the change that an event makes; unknown fields, as of a later version, are dropped.

    Raises:
        InvalidFieldError: It isn't valid.
    """
    # If stored, they would count as damage: stored data is compared with what the service writes.
    event.DiscardUnknownFields()
    match event.WhichOneof("event"):
        case "channel":
            return PutChannel(_channel(event.channel))
        case "tag":
            return PutTag(_tag(event.tag))
        case "message":
            return _message(event.message)
        case "metadata":
            return _metadata(event.metadata)
        case "read_receipt":
            receipt = event.read_receipt
            return MarkRead(
                read_id(receipt.conversation_id, "read_receipt.conversation_id"),
                read_time(receipt.read_at, "read_receipt.read_at"),
            )
        case _:
            raise InvalidFieldError("event", "has to be one of channel, tag, message, metadata, read_receipt")


def _channel(channel: channel_pb2.Channel) -> channel_pb2.Channel:
    checked = channel_pb2.Channel()
    checked.CopyFrom(channel)
    checked.id = read_id(channel.id, "channel.id")
    checked.source = read_source(channel.source, "channel.source")
    check_text(channel.source_channel_id, "channel.source_channel_id")
    check_free_data(channel.metadata, "channel.metadata")
    return checked


def _tag(tag: tag_pb2.Tag) -> tag_pb2.Tag:
    check_name(tag.name, "tag.name", MAX_TAG_NAME)
    return tag_pb2.Tag(id=read_id(tag.id, "tag.id"), name=tag.name, color=read_color(tag.color, "tag.color"))


def _message(event: event_pb2.MessageEvent) -> PutMessage:
    sent_at_ms = read_time(event.sent_at, "message.sent_at")
    content = event.content if event.content.WhichOneof("kind") else _NO_CONTENT
    check_free_data(content, "message.content")
    check_free_data(event.metadata, "message.metadata")
    for name in ("id", "name", "avatar_url"):
        check_text(getattr(event.sender, name), f"message.sender.{name}")
    delivery_state = event.delivery_state or message_pb2.Message.DELIVERED
    if delivery_state not in message_pb2.Message.DeliveryState.values():
        raise InvalidFieldError("message.delivery_state", "has to be PENDING, FAILED or DELIVERED")
    message = message_pb2.Message(
        id=read_id(event.id, "message.id"),
        content=content,
        delivery_state=delivery_state,
        state=delivery_state,
        from_contact=event.from_contact,
        sent_at=format_time(sent_at_ms),
        source=read_source(event.source, "message.source"),
        sender=event.sender,
        metadata=event.metadata,
    )
    return PutMessage(
        id=message.id,
        conversation_id=read_id(event.conversation_id, "message.conversation_id"),
        channel_id=read_id(event.channel_id, "message.channel_id"),
        source=message.source,
        sent_at_ms=sent_at_ms,
        message=message,
    )


def _metadata(event: event_pb2.MetadataEvent) -> Change:
    id = read_id(event.id, "metadata.id")
    # In a conversation the free-form part is `user_data`, which is one level down.
    check_free_data(event.metadata, "metadata.metadata", level=0 if event.subject == "conversation" else 1)
    patch = to_json(event.metadata)
    match event.subject:
        case "conversation":
            return PatchConversation(id, _conversation_patch(patch))
        case "message":
            return PatchMessage(id, patch)
        case "channel":
            return PatchChannel(id, patch)
        case _:
            raise InvalidFieldError("metadata.subject", "has to be conversation, message or channel")


def _conversation_patch(patch: dict[str, Any]) -> ConversationPatch:
    """Split a conversation's metadata: tags and state are stored separately."""
    _check_object(patch, "contact")
    _check_object(patch, "user_data")
    contact = patch.get("contact") or {}
    for name in ("display_name", "avatar_url"):
        if not isinstance(contact.get(name, ""), str | None):
            raise InvalidFieldError(f"metadata.metadata.contact.{name}", "has to be text or null")
        check_text(contact.get(name) or "", f"metadata.metadata.contact.{name}")
    if contact.get("display_name") is not None:
        check_name(contact["display_name"], "metadata.metadata.contact.display_name", MAX_DISPLAY_NAME)
    state = ""
    if "state" in patch:
        match patch["state"]:
            case None:
                state = "-"
            # In any case, like enums in JSON.
            case str(word) if word.upper() in ("OPEN", "CLOSED"):
                state = word.upper()
            case _:
                raise InvalidFieldError("metadata.metadata.state", "has to be OPEN, CLOSED or null")
    _check_object(patch, "tags")
    added, removed = [], [EVERY_TAG] if patch.get("tags", {}) is None else []
    for tag, value in (patch.get("tags") or {}).items():
        id = read_id(tag, "metadata.metadata.tags")
        if value is None:
            removed.append(id)
        elif value == "":
            added.append(id)
        else:
            raise InvalidFieldError("metadata.metadata.tags", "has to have an empty text, or null, for each tag's id")
    if "unread_count" in patch:
        raise InvalidFieldError(
            "metadata.metadata.unread_count", "is counted by the service: send messages and receipts instead"
        )
    document = {key: value for key, value in patch.items() if key not in ("tags", "state")}
    return ConversationPatch(document, state, tuple(added), tuple(removed))


def _check_object(patch: dict[str, Any], key: str) -> None:
    if not isinstance(patch.get(key), dict | None):
        raise InvalidFieldError(f"metadata.metadata.{key}", "has to be an object or null")
