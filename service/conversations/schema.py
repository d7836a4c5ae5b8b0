"""The table of fields: what a filter may ask of a conversation, and how each field is stored and indexed.

A field is a row here. The schema of the index, the tables of the Lua functions, how filters are bound, written, costed
and explained, and what `/filters.fields` answers all follow from the rows. What is left for a new field is whatever
writes it, and the answer that shows it.
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
    "metadata_field",
    "stored_fields",
]

TERMS_KEY = "x"
"""Where a conversation's hash has the index terms of all text: the same term in two TEXT fields makes RediSearch 2.10
lose documents under negation."""

ID_START_KEY = "ih"
"""Where it has the first 48 bits of its id as a number, for prefixes and ranges of ids."""

METADATA_PREFIX = "metadata."
"""What the name of every metadata field starts with; the dotted path of a leaf follows."""


class FieldKind(Enum):
    """What a field holds, which says how it may be asked."""

    TEXT = "text"
    """Words."""
    KEYWORD = "keyword"
    """One word."""
    NUMBER = "number"
    """A whole number."""
    METADATA = "metadata"
    """The words of one leaf of the metadata."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a conversation."""

    name: str
    kind: FieldKind
    key: str
    """Field of the conversation's hash: TERMS_KEY for words that are index terms, otherwise its own."""
    example: str
    """A filter that asks it."""
    description: str
    """One sentence for a person."""
    aliases: tuple[str, ...] = ()
    is_time: bool = False
    """Whether its number is a time in milliseconds since 1970 UTC, and may be given as a date."""
    has_few_values: bool = False
    """Whether there are few different numbers, so that a range of them costs less."""
    has_many: bool = False
    """Whether a conversation may have several values; they are stored with commas between."""
    ignores_case: bool = False
    """Whether the stored value may have upper case; it is indexed, and stands in the dictionary, in lower case."""
    exists: str | None = None
    """Index term of every conversation that has a value; None where all have one."""
    prefix: str = ""
    """What its index terms begin with."""

    @property
    def is_tag(self) -> bool:
        """Whether its values are tags of the index, whole and as they are, rather than index terms or a number."""
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
    ),
    Field(
        "source",
        FieldKind.KEYWORD,
        "src",
        "source:twilio.*",
        "The kind of channel, such as `facebook`.",
        ignores_case=True,
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
    ),
    Field(
        "last_message_at",
        FieldKind.NUMBER,
        "lm",
        'last_message_at:["2019-06-30T12:00:00Z" TO *]',
        "When the latest message was sent: a date, a time, or milliseconds since 1970 UTC.",
        ("lastMessageAt",),
        is_time=True,
    ),
    Field(
        "unread_count",
        FieldKind.NUMBER,
        "un",
        "unread_count:[2 TO *]",
        "How many messages of the contact are later than the last read.",
        ("unreadCount", "unread_message_count", "unreadMessageCount", "metadata.unread_count"),
        has_few_values=True,
    ),
    METADATA,
)
"""Every field, in the order in which a person would want to read them."""

DEFAULT_FIELDS = (ID, DISPLAY_NAME)
"""Where a word without a field is searched."""


def metadata_field(name: str) -> Field:
    """Return the field of a leaf of the metadata, by its name, METADATA_PREFIX and all."""
    path = name.removeprefix(METADATA_PREFIX)
    return replace(METADATA, name=name, exists=terms.metadata_exists(path), prefix=terms.metadata_prefix(path))


def stored_fields() -> tuple[Field, ...]:
    """Return the fields that have a place of their own in a conversation's hash."""
    return tuple(field for field in FIELDS if field.key != TERMS_KEY)
