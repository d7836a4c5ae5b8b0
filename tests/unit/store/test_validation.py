"""Bytes that are not as the service writes them are told from those that are."""

import struct

import pytest
from google.protobuf.struct_pb2 import Value

from conversations.store.validation import (
    SoundAnswers,
    salvaged_conversation,
    salvaged_row,
    sound_channel,
    sound_conversation,
    sound_message,
    sound_messages,
    sound_page,
    sound_tag,
)
from conversations.v1 import channel_pb2, conversation_pb2, message_pb2, tag_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse
from conversations.v1.message_service_pb2 import ListMessagesResponse

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"


def conversation() -> conversation_pb2.Conversation:
    found = conversation_pb2.Conversation(id=ID, created_at="2019-01-07T09:01:44.000Z", last_message=message())
    found.channel.CopyFrom(channel())
    found.metadata.contact.display_name = "Ada"
    found.metadata.tags[ID] = ""
    found.metadata.user_data.update({"a": {"b": [1.5, None, True, "\U0001f98a"]}})
    return found


def message() -> message_pb2.Message:
    found = message_pb2.Message(id=ID, sent_at="2019-01-07T09:01:44.000Z", source="facebook", sender={}, metadata={})
    found.content.struct_value.update({"text": "Hello"})
    return found


def channel() -> channel_pb2.Channel:
    return channel_pb2.Channel(id=ID, source="facebook", metadata={})


def page(*conversations: conversation_pb2.Conversation) -> bytes:
    return ListConversationsResponse(data=conversations).SerializeToString()


def around(field: int, data: bytes) -> bytes:
    """A short length-delimited field."""
    assert len(data) < 128
    return bytes([8 * field + 2, len(data)]) + data


def with_content(content: bytes) -> bytes:
    """A message whose content is an object of these bytes."""
    found = message()
    found.ClearField("content")
    return found.SerializeToString() + around(2, around(5, content))


def with_last_message(data: bytes) -> bytes:
    found = conversation()
    found.ClearField("last_message")
    return found.SerializeToString() + around(5, data)


def number(value: bytes) -> bytes:
    """An entry whose value is a number of these 8 bytes."""
    return around(1, around(1, b"k") + around(2, b"\x11" + value))


ENTRY_WITHOUT_VALUE = around(1, around(1, b"k"))
ENTRY_WITHOUT_KEY = around(1, around(2, Value(bool_value=True).SerializeToString()))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(ENTRY_WITHOUT_VALUE, id="an entry without a value"),
        pytest.param(ENTRY_WITHOUT_KEY, id="an entry without a key"),
        pytest.param(around(1, around(1, b"k") + around(2, b"\x20\x01\x20\x01")), id="a value twice"),
        pytest.param(around(1, around(1, b"\xff") + around(2, b"\x20\x01")), id="not UTF-8"),
        pytest.param(number(6 * b"\0" + b"\xf8\x7f"), id="not a number"),
        pytest.param(number(6 * b"\xff" + b"\xff\xff"), id="not a number, all bits"),
        pytest.param(number(b"\n" + 5 * b"\0" + b"\xf0\x7f"), id="not a number, the least"),
        pytest.param(number(6 * b"\0" + b"\xf0\x7f"), id="infinite"),
        pytest.param(number(6 * b"\0" + b"\xf0\xff"), id="infinite below"),
        pytest.param(around(7, b""), id="an unknown field"),
    ],
)
def test_free_data_that_a_strict_reader_does_not_take(content: bytes) -> None:
    data = with_content(content)
    assert sound_message(data, ID) is None
    assert sound_messages(around(1, data)) is None
    assert sound_conversation(with_last_message(data)) is None


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324])
def test_free_data_of_this_shape_are_taken(value: float) -> None:
    content = number(struct.pack("<d", value))
    data = with_content(content)
    read = sound_message(data, ID)
    assert read is not None
    assert read.content.struct_value["k"] == value
    assert sound_messages(around(1, data)) is not None
    assert sound_conversation(with_last_message(data)) is not None


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"\x1a\x00", id="a field twice"),
        pytest.param(b"\x18\x01", id="another wire type"),
        pytest.param(b"\x7a\x00", id="an unknown field"),
        pytest.param(b"\xff", id="half a field"),
    ],
)
def test_fields_that_are_not_the_conversations(more: bytes) -> None:
    assert sound_conversation(conversation().SerializeToString() + more) is None


@pytest.mark.parametrize("field", ["id", "channel", "created_at", "metadata", "last_message"])
def test_what_is_missing_is_damage(field: str) -> None:
    found = conversation()
    found.ClearField(field)
    assert sound_page(page(conversation(), found)) is None
    # Redis puts the id in front.
    assert field == "id" or sound_conversation(found.SerializeToString()) is None


def test_every_truncation_of_a_conversation_is_damage() -> None:
    data = conversation().SerializeToString()
    begin = len(ID) + 2 + len(channel().SerializeToString()) + 2
    assert [end for end in range(begin, len(data)) if sound_conversation(data[:end]) is not None] == []


def test_what_is_sound_is_the_same_when_it_was_read() -> None:
    found = conversation()
    data = found.SerializeToString()
    read = sound_conversation(data)
    assert read is not None
    assert conversation_pb2.Conversation.FromString(read) == found
    row = salvaged_row(page(found))
    assert row is not None
    assert ListConversationsResponse.FromString(row).data[0] == found
    listed = sound_messages(ListMessagesResponse(data=[message()] * 2).SerializeToString())
    assert listed is not None
    assert list(ListMessagesResponse.FromString(listed).data) == [message()] * 2


def test_a_text_that_looks_like_no_number_is_text() -> None:
    """What a quick look takes for one is read."""
    found = message()
    # The length of what follows is 0x7ff0 in the two bytes before.
    found.content.struct_value["k"] = "\x11" + "x" * 6 + "\U000f0000" * 9000
    found.content.struct_value["n"] = 1.7976931348623157e308
    assert sound_message(found.SerializeToString(), ID) == found


@pytest.mark.parametrize("damage", [b"junk", b"", b"\x10\x01"])
def test_a_channel_that_is_damaged_leaves_the_conversation_sound(damage: bytes) -> None:
    found = conversation()
    rest = conversation()
    rest.ClearField("id")
    rest.ClearField("channel")
    own = around(1, ID.encode())
    shown = salvaged_conversation(own + around(2, own + b"\xff" + damage) + rest.SerializeToString())
    assert shown is not None
    found.channel.CopyFrom(channel_pb2.Channel(id=ID, metadata={}))
    assert conversation_pb2.Conversation.FromString(shown) == found


def test_channels_and_tags_have_the_id_that_they_are_kept_under() -> None:
    tag = tag_pb2.Tag(id=ID, name="Urgent", color="tag-red")
    assert sound_tag(tag.SerializeToString(), ID) == tag
    assert sound_tag(tag.SerializeToString(), ID[::-1]) is None
    assert sound_tag(tag_pb2.Tag(id=ID, name="Urgent").SerializeToString(), ID) is None
    assert sound_channel(channel().SerializeToString(), ID) == channel()
    assert sound_channel(channel().SerializeToString(), ID[::-1]) is None
    assert sound_channel(b"", ID) is None


def test_pages_are_kept_as_long_as_they_stay_the_same() -> None:
    answers = SoundAnswers(max_bytes=10 * len(page(conversation())))
    data = page(conversation())
    first = answers.sound("one", data, sound_page)
    assert first is not None
    assert answers.sound("one", bytes(bytearray(data)), sound_page) is first
    assert answers.sound("one", data + b"\xff", sound_page) is None
    assert answers.sound("one", data, sound_page) is first
    other = conversation()
    other.metadata.unread_count = 7
    assert answers.sound("one", page(other), sound_page) != first
    # Not more than so many bytes are kept, the latest ones.
    for number in range(20):
        assert answers.sound(number, data, sound_page)
    assert answers.sound("one", bytes(bytearray(data)), sound_page) is not first
    assert answers.sound("empty", b"", sound_page) == b""
