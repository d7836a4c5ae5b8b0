"""The table of fields: what a filter may ask of a conversation, and how each field is stored and indexed.

A field is a row here. The index schema, the tables of the Lua functions, how filters are bound, written and explained,
and the answer of `/filters.fields` all follow from the rows. A new field also needs code that writes it, and a message
that shows it.
"""

from dataclasses import dataclass, replace
from enum import Enum

from conversations import terms

__all__ = [
    "DEFAULT_FIELDS",
    "DISPLAY_NAME",
    "FIELDS",
    "ID",
    "ID_START_KEY",
    "METADATA",
    "METADATA_PREFIX",
    "STATE",
    "TAG_IDS",
    "TERMS_KEY",
    "Field",
    "FieldKind",
    "has_column",
    "metadata_field",
    "stored_fields",
]

TERMS_KEY = "x"
"""Key of the index terms of all text in a conversation's hash. It is one for all fields, because the same term in two
TEXT fields makes RediSearch 2.10 lose documents under negation."""

ID_START_KEY = "ih"
"""Key of the first 48 bits of its id as a number, for prefixes and ranges of ids."""

METADATA_PREFIX = "metadata."
"""Prefix of every metadata field's name; the dotted path of a leaf follows."""


class FieldKind(Enum):
    """What a field holds; it decides how filters may use the field."""

    TEXT = "text"
    """Words."""
    KEYWORD = "keyword"
    """One word."""
    NUMBER = "number"
    """A whole number. Every conversation has one: a NUMERIC field of the index refuses an empty value."""
    METADATA = "metadata"
    """The words of one leaf of the metadata."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a conversation."""

    name: str
    kind: FieldKind
    key: str
    """Key in the conversation's hash: TERMS_KEY for words that are index terms, otherwise its own."""
    example: str
    """A filter that uses it."""
    description: str
    """One sentence for a person."""
    aliases: tuple[str, ...] = ()
    is_time: bool = False
    """Whether its number is a time in milliseconds since 1970 UTC, which may also be given as a date."""
    has_column: bool = False
    """Whether its values are kept in a column too, so that those of all conversations can be compared fast."""
    has_many: bool = False
    """Whether a conversation may have several values; they are stored separated by commas."""
    ignores_case: bool = False
    """Whether the stored value may have upper case; in the index and the column it is in lower case."""
    exists: str | None = None
    """Index term of every conversation that has a value; None if all have one."""
    prefix: str = ""
    """Prefix of its index terms."""

    @property
    def is_tag(self) -> bool:
        """Whether its values are indexed as tags, unchanged, rather than as index terms or a number."""
        return self.key != TERMS_KEY and self.kind is not FieldKind.NUMBER


ID = Field("id", FieldKind.KEYWORD, "id", "id:a688d36c-a85e-44af-bc02-4248c2c97622", "The id of the conversation.")
DISPLAY_NAME = Field(
    "display_name",
    FieldKind.TEXT,
    TERMS_KEY,
    'display_name:"ada lovelace"',
    "The name of the contact.",
    ("displayName",),
    exists=terms.NAME_EXISTS,
    prefix=terms.NAME_PREFIX,
)
STATE = Field(
    "state",
    FieldKind.KEYWORD,
    "st",
    "state:open",
    "`open` or `closed`; nothing where no state is set.",
    ignores_case=True,
    has_column=True,
    exists=terms.metadata_exists("state"),
)
TAG_IDS = Field(
    "tag_ids",
    FieldKind.TEXT,
    "tg",
    "tag_ids:f339c325-8614-43cb-a70a-e83d81bf56fc",
    "The ids of the tags.",
    ("tagIds", "metadata.tags"),
    has_many=True,
    has_column=True,
    exists=terms.TAGS_EXIST,
)
METADATA = Field(
    f"{METADATA_PREFIX}<path>",
    FieldKind.METADATA,
    TERMS_KEY,
    "metadata.user_data.erp.id:abc",
    "A leaf of the metadata document, the keys on the way to it joined by dots.",
)

FIELDS = (
    ID,
    Field(
        "channel_id",
        FieldKind.KEYWORD,
        "ch",
        "channel_id:318efa04-7cc1-4200-988e-50699d0dd6e3",
        "The id of the channel that the conversation came by.",
        ("channelId",),
        has_column=True,
    ),
    Field(
        "source",
        FieldKind.KEYWORD,
        "src",
        "source:twilio.*",
        "The kind of channel, such as `facebook`.",
        ignores_case=True,
        has_column=True,
    ),
    STATE,
    DISPLAY_NAME,
    TAG_IDS,
    Field(
        "created_at",
        FieldKind.NUMBER,
        "ca",
        "created_at:[2019-01-01 TO 2019-06-30]",
        "When the earliest message was sent: a date, a time, or milliseconds since 1970 UTC.",
        ("createdAt",),
        is_time=True,
        has_column=True,
    ),
    Field(
        "last_message_at",
        FieldKind.NUMBER,
        "lm",
        'last_message_at:["2019-06-30T12:00:00Z" TO *]',
        "When the latest message was sent: a date, a time, or milliseconds since 1970 UTC.",
        ("lastMessageAt",),
        is_time=True,
        has_column=True,
    ),
    Field(
        "unread_count",
        FieldKind.NUMBER,
        "un",
        "unread_count:[2 TO *]",
        "How many messages of the contact are later than the last read.",
        ("unreadCount", "unread_message_count", "unreadMessageCount", "metadata.unread_count"),
        has_column=True,
    ),
    METADATA,
)
"""Every field, in the order in which people want to read them."""

DEFAULT_FIELDS = (ID, DISPLAY_NAME)
"""Where a word without a field is searched."""


def metadata_field(name: str) -> Field:
    """Return the field of a metadata leaf, by its full name, METADATA_PREFIX included."""
    path = name.removeprefix(METADATA_PREFIX)
    return replace(METADATA, name=name, exists=terms.metadata_exists(path), prefix=terms.metadata_prefix(path))


def has_column(field: Field) -> bool:
    """Return whether the words or values of a field are kept in a column: see lua/lib/columns.lua."""
    # The state is a leaf of the metadata too, but stored by itself.
    is_state = field.name == f"{METADATA_PREFIX}{STATE.name}"
    return field is ID or field.has_column or (field.key == TERMS_KEY and not is_state)


def stored_fields() -> tuple[Field, ...]:
    """Return the fields that have their own key in a conversation's hash."""
    return tuple(field for field in FIELDS if field.key != TERMS_KEY)
