"""Events: what the store gets of a valid one, and each kind of bad input with its text."""

from typing import Any

import pytest
from google.protobuf import json_format

from conversations.errors import InvalidFieldError
from conversations.servicers.events import read_event
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
from conversations.v1 import channel_pb2, event_pb2, message_pb2, tag_pb2

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
OTHER = "f339c325-8614-43cb-a70a-e83d81bf56fc"
CHANNEL = "318efa04-7cc1-4200-988e-50699d0dd6e3"
NO_UUID = "has to be a UUID, 8-4-4-4-12 hexadecimal digits"
MESSAGE: dict[str, Any] = {
    "id": ID.upper(),
    "conversation_id": OTHER.upper(),
    "channel_id": CHANNEL.upper(),
    "sender": {"id": "github:12345", "name": "John Doe"},
    "content": {"text": "Hello"},
    "from_contact": True,
    "delivery_state": "PENDING",
    "sent_at": "2019-01-07T10:01:44.1239+01:00",
    "source": "facebook",
    "metadata": {"k": 1},
}


def deep(levels: int) -> dict[str, Any]:
    return {} if levels == 1 else {"a": deep(levels - 1)}


def event(**fields: Any) -> event_pb2.Event:
    return json_format.ParseDict(fields, event_pb2.Event())


def read(**fields: Any) -> Change:
    return read_event(event(**fields))


def conversation(metadata: dict[str, Any]) -> Change:
    return read(metadata={"subject": "conversation", "id": ID, "metadata": metadata})


def test_a_message() -> None:
    change = read(message=MESSAGE)
    assert isinstance(change, PutMessage)
    assert (change.id, change.conversation_id, change.channel_id) == (ID, OTHER, CHANNEL)
    assert (change.source, change.sent_at_ms) == ("facebook", 1_546_851_704_123)
    assert json_format.MessageToDict(change.message, preserving_proto_field_name=True) == {
        "id": ID,
        "content": {"text": "Hello"},
        "delivery_state": "PENDING",
        "state": "PENDING",
        "from_contact": True,
        "sent_at": "2019-01-07T09:01:44.123Z",
        "source": "facebook",
        "sender": {"id": "github:12345", "name": "John Doe"},
        "metadata": {"k": 1},
    }


def test_a_message_with_only_what_is_required() -> None:
    required = ("id", "conversation_id", "channel_id", "sent_at", "source")
    change = read(message={name: MESSAGE[name] for name in required})
    assert isinstance(change, PutMessage)
    message = change.message
    assert message.delivery_state == message.state == message_pb2.Message.DELIVERED
    assert not message.from_contact
    # Answers always have these, maybe empty.
    assert message.HasField("content")
    assert message.HasField("sender")
    assert message.HasField("metadata")
    assert not message.sender.HasField("name")


@pytest.mark.parametrize(
    ("field", "value", "description"),
    [
        ("id", None, "is missing"),
        ("id", "x", NO_UUID),
        ("conversation_id", None, "is missing"),
        ("conversation_id", "x", NO_UUID),
        ("channel_id", None, "is missing"),
        ("channel_id", "x", NO_UUID),
        ("sent_at", None, "is missing"),
        ("sent_at", "now", "not an RFC 3339 time; an example: 2019-01-07T09:01:44.000Z"),
        ("source", None, "is missing"),
        ("source", "face book", "has to be 1 to 64 visible ASCII characters"),
        ("source", "x" * 65, "has to be 1 to 64 visible ASCII characters"),
        ("delivery_state", 4, "has to be PENDING, FAILED or DELIVERED"),
        ("delivery_state", -1, "has to be PENDING, FAILED or DELIVERED"),
        ("content", deep(21), "is nested too deeply: at most 20 levels"),
        ("content", {"a": "x" * 65536}, "is too large: at most 65536 bytes"),
        ("metadata", deep(21), "is nested too deeply: at most 20 levels"),
        ("metadata", {"a": "x" * 65536}, "is too large: at most 65536 bytes"),
    ],
)
def test_a_bad_message(field: str, value: Any, description: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read(message=MESSAGE | {field: value})
    assert caught.value.message == f"message.{field}: {description}"
    assert caught.value.field == f"message.{field}"


def test_a_message_with_a_number_that_is_not_finite() -> None:
    bad = event(message=MESSAGE)
    bad.message.content.struct_value["n"] = float("nan")
    with pytest.raises(InvalidFieldError, match=r"^message\.content: has a number that is not finite$"):
        read_event(bad)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sender", {"id": "x" * 200_000}),
        ("sender", {"name": "x" * 200_000}),
        ("sender", {"avatar_url": "x" * 200_000}),
    ],
)
def test_a_message_that_would_not_fit_beside_99_others_is_refused(field: str, value: Any) -> None:
    """A page of 100 has to fit into one answer: that is what the limits of free data are for."""
    with pytest.raises(InvalidFieldError):
        read(message=MESSAGE | {field: value})


def test_a_channel() -> None:
    channel = {"id": CHANNEL.upper(), "source": "facebook", "source_channel_id": "fb", "connected": True}
    change = read(channel=channel | {"metadata": {"name": "Page"}})
    assert isinstance(change, PutChannel)
    assert (change.channel.id, change.channel.source, change.channel.source_channel_id) == (CHANNEL, "facebook", "fb")
    assert change.channel.connected
    assert to_json(change.channel.metadata) == {"name": "Page"}


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({}, "channel.id: is missing"),
        ({"id": "x"}, f"channel.id: {NO_UUID}"),
        ({"id": ID}, "channel.source: is missing"),
        ({"id": ID, "source": "é"}, "channel.source: has to be 1 to 64 visible ASCII characters"),
        (
            {"id": ID, "source": "x", "metadata": deep(21)},
            "channel.metadata: is nested too deeply: at most 20 levels",
        ),
        (
            {"id": ID, "source": "x", "metadata": {"a": "x" * 65536}},
            "channel.metadata: is too large: at most 65536 bytes",
        ),
    ],
)
def test_a_bad_channel(channel: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read(channel=channel)
    assert caught.value.message == message


def test_a_channel_that_would_not_fit_into_every_row_of_a_list_is_refused() -> None:
    with pytest.raises(InvalidFieldError):
        read(channel={"id": ID, "source": "x", "source_channel_id": "x" * 200_000})


def test_the_event_that_came_is_not_changed() -> None:
    upper = event(channel={"id": ID.upper(), "source": "x"})
    read_event(upper)
    assert upper.channel.id == ID.upper()


def test_a_tag() -> None:
    tag = tag_pb2.Tag(id=ID, name=" Urgent ", color="tag-red")
    assert read(tag={"id": ID.upper(), "name": " Urgent ", "color": "tag-red"}) == PutTag(tag)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "tag.id: is missing"),
        ({"id": "x"}, f"tag.id: {NO_UUID}"),
        ({"name": ""}, "tag.name: must not be blank"),
        ({"name": " \u3000"}, "tag.name: must not be blank"),
        ({"name": "x" * 257}, "tag.name: may have at most 256 characters"),
        ({"color": ""}, "tag.color: has to be one of tag-red, tag-blue, tag-green, tag-purple"),
        ({"color": "red"}, "tag.color: has to be one of tag-red, tag-blue, tag-green, tag-purple"),
    ],
)
def test_a_bad_tag(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read(tag={"id": ID, "name": "Urgent", "color": "tag-red"} | change)
    assert caught.value.message == message


def test_a_read_receipt() -> None:
    receipt = {"conversation_id": ID.upper(), "read_at": "1970-01-01T00:00:01Z"}
    assert read(read_receipt=receipt) == MarkRead(ID, 1000)


@pytest.mark.parametrize(
    ("receipt", "message"),
    [
        ({}, "read_receipt.conversation_id: is missing"),
        ({"conversation_id": "x"}, f"read_receipt.conversation_id: {NO_UUID}"),
        ({"conversation_id": ID}, "read_receipt.read_at: is missing"),
        (
            {"conversation_id": ID, "read_at": "1"},
            "read_receipt.read_at: not an RFC 3339 time; an example: 2019-01-07T09:01:44.000Z",
        ),
    ],
)
def test_a_bad_read_receipt(receipt: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read(read_receipt=receipt)
    assert caught.value.message == message


def test_an_event_of_nothing() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_event(event_pb2.Event())
    assert caught.value.message == "event: has to be one of channel, tag, message, metadata, read_receipt"


@pytest.mark.parametrize(
    ("metadata", "patch"),
    [
        pytest.param({}, ConversationPatch(), id="nothing"),
        pytest.param({"user_data": {"a": None}}, ConversationPatch({"user_data": {"a": None}}), id="user data"),
        pytest.param({"user_data": None}, ConversationPatch({"user_data": None}), id="no user data"),
        pytest.param({"other": [1, "x"]}, ConversationPatch({"other": [1, "x"]}), id="any other key"),
        pytest.param(
            {"contact": {"display_name": "Ada", "avatar_url": ""}},
            ConversationPatch({"contact": {"display_name": "Ada", "avatar_url": ""}}),
            id="contact",
        ),
        pytest.param(
            {"contact": {"display_name": None, "avatar_url": None, "phone": 1}},
            ConversationPatch({"contact": {"display_name": None, "avatar_url": None, "phone": 1}}),
            id="a contact's parts removed",
        ),
        pytest.param({"contact": None}, ConversationPatch({"contact": None}), id="no contact"),
        pytest.param({"state": "OPEN"}, ConversationPatch(state="OPEN"), id="open"),
        pytest.param({"state": "CLOSED"}, ConversationPatch(state="CLOSED"), id="closed"),
        pytest.param({"state": "closed"}, ConversationPatch(state="CLOSED"), id="in any case"),
        pytest.param({"state": None}, ConversationPatch(state="-"), id="no state"),
        pytest.param({"tags": {OTHER.upper(): ""}}, ConversationPatch(added_tags=(OTHER,)), id="a tag"),
        pytest.param({"tags": {OTHER: None}}, ConversationPatch(removed_tags=(OTHER,)), id="a tag removed"),
        pytest.param({"tags": None}, ConversationPatch(removed_tags=(EVERY_TAG,)), id="all tags removed"),
        pytest.param({"tags": {}}, ConversationPatch(), id="no change of tags"),
        pytest.param(
            {"a": 1, "state": "OPEN", "tags": {ID: None}},
            ConversationPatch({"a": 1}, "OPEN", (), (ID,)),
            id="several at once",
        ),
    ],
)
def test_a_conversations_metadata_is_taken_apart(metadata: dict[str, Any], patch: ConversationPatch) -> None:
    assert conversation(metadata) == PatchConversation(ID, patch)


@pytest.mark.parametrize(("subject", "kind"), [("message", PatchMessage), ("channel", PatchChannel)])
def test_metadata_of_others_stays_whole(subject: str, kind: type[PatchMessage | PatchChannel]) -> None:
    data = {"user_data": {"a": None}, "state": 7, "tags": "x"}
    assert read(metadata={"subject": subject, "id": ID.upper(), "metadata": data}) == kind(ID, data)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"contact": "Ada"}, "contact: has to be an object or null"),
        ({"contact": []}, "contact: has to be an object or null"),
        ({"user_data": 7}, "user_data: has to be an object or null"),
        ({"tags": [OTHER]}, "tags: has to be an object or null"),
        ({"tags": ""}, "tags: has to be an object or null"),
        ({"tags": {"x": ""}}, f"tags: {NO_UUID}"),
        ({"tags": {"": ""}}, "tags: is missing"),
        ({"tags": {OTHER: "x"}}, "tags: has to have an empty text, or null, for each tag's id"),
        ({"tags": {OTHER: False}}, "tags: has to have an empty text, or null, for each tag's id"),
        ({"state": "-"}, "state: has to be OPEN, CLOSED or null"),
        ({"state": "done"}, "state: has to be OPEN, CLOSED or null"),
        ({"state": ""}, "state: has to be OPEN, CLOSED or null"),
        ({"state": 0}, "state: has to be OPEN, CLOSED or null"),
        ({"state": False}, "state: has to be OPEN, CLOSED or null"),
        ({"state": []}, "state: has to be OPEN, CLOSED or null"),
        ({"state": {}}, "state: has to be OPEN, CLOSED or null"),
        ({"contact": {"display_name": 7}}, "contact.display_name: has to be text or null"),
        ({"contact": {"display_name": ""}}, "contact.display_name: must not be blank"),
        ({"contact": {"display_name": "\u2003"}}, "contact.display_name: must not be blank"),
        ({"contact": {"display_name": "x" * 1025}}, "contact.display_name: may have at most 1024 characters"),
        ({"contact": {"avatar_url": {}}}, "contact.avatar_url: has to be text or null"),
    ],
)
def test_bad_metadata_of_a_conversation(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        conversation(metadata)
    assert caught.value.message == f"metadata.metadata.{message}"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "metadata.id: is missing"),
        ({"id": "x"}, f"metadata.id: {NO_UUID}"),
        ({"id": ID}, "metadata.subject: has to be conversation, message or channel"),
        ({"id": ID, "subject": "tag"}, "metadata.subject: has to be conversation, message or channel"),
        ({"id": ID, "subject": "Message"}, "metadata.subject: has to be conversation, message or channel"),
        (
            {"id": ID, "subject": "message", "metadata": deep(21)},
            "metadata.metadata: is nested too deeply: at most 20 levels",
        ),
        (
            {"id": ID, "subject": "channel", "metadata": {"a": "x" * 65536}},
            "metadata.metadata: is too large: at most 65536 bytes",
        ),
    ],
)
def test_a_bad_metadata_event(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read(metadata=metadata)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "path",
    [
        "channel",
        "channel.metadata",
        "message.sender",
        "message.content",
        "message.metadata",
        "message.content.fields[k]",
    ],
)
def test_unknown_fields_of_protobuf_are_not_stored(path: str) -> None:
    """Stored, they would count as damage: what is stored is compared with what the service writes."""
    event = event_pb2.Event()
    if path.startswith("channel"):
        event.channel.CopyFrom(channel_pb2.Channel(id=CHANNEL, source="facebook", metadata={"k": 1}))
    else:
        json_format.ParseDict({**MESSAGE, "content": {"k": 1}}, event.message)
    part: Any = event
    for name in path.removesuffix(".fields[k]").split("."):
        part = getattr(part, name)
    if path.endswith("[k]"):
        part = part.struct_value.fields["k"]
    part.MergeFromString(b"\xc2\x3e\x01x")  # field 1000
    change = read_event(event)
    assert isinstance(change, PutMessage | PutChannel)
    stored = change.message if isinstance(change, PutMessage) else change.channel
    assert b"\xc2\x3e" not in stored.SerializeToString()
