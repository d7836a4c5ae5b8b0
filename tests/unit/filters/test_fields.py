"""The table of fields, and help for those that are not in it."""

import pytest

from conversations.errors import UnknownFieldError
from conversations.filters import compile_filter, explain
from conversations.filters.fields import find_field
from conversations.filters.language import FieldName
from conversations.schema import FIELDS, Field, FieldKind


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_example_is_a_filter_of_the_field(field: Field) -> None:
    explanation = explain(compile_filter(field.example))
    assert explanation.type == field.kind.value
    assert explanation.field == field.name or field.kind is FieldKind.METADATA


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("displayName", "display_name"),
        ("channelId", "channel_id"),
        ("createdAt", "created_at"),
        ("tagIds", "tag_ids"),
        ("lastMessageAt", "last_message_at"),
        ("unreadCount", "unread_count"),
        ("unread_message_count", "unread_count"),
        ("unreadMessageCount", "unread_count"),
        ("id", "id"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert find_field(FieldName(alias, 0)).name == name


def test_any_path_below_metadata() -> None:
    field = find_field(FieldName("metadata.Any path:é.x", 0))
    assert (field.name, field.kind) == ("metadata.Any path:é.x", FieldKind.METADATA)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Display_Name", "display_name"),
        ("displayname", "display_name"),
        ("name", "display_name"),
        ("tags", "tag_ids"),
        ("tag_id", "tag_ids"),
        ("unread", "unread_count"),
        ("channel", "channel_id"),
        ("sorce", "source"),
        ("created", "created_at"),
        ("state ", "state"),
        ("user_data.erp.id", "metadata.user_data.erp.id"),
        ("contact.display_name", "metadata.contact.display_name"),
        ("metadata", "metadata.<path>"),
    ],
)
def test_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownFieldError) as caught:
        find_field(FieldName(name, 7))
    assert caught.value.metadata == {"position": "7", "field": name, "nearest": nearest}
