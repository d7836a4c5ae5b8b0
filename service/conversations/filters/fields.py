"""The fields that a filter may name."""

from dataclasses import dataclass
from enum import Enum

from rapidfuzz.distance import JaroWinkler

from conversations.errors import UnknownFieldError
from conversations.filters.parser import FieldName

__all__ = ["DEFAULT_FIELDS", "FIELDS", "METADATA_PREFIX", "TAG_IDS", "Field", "FieldKind", "find_field", "tag_of"]

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
    example: str
    """A filter that asks it."""
    description: str
    """One sentence for a person."""
    aliases: tuple[str, ...] = ()
    is_time: bool = False
    """Whether its number is a time in milliseconds since 1970 UTC, and may be given as a date."""


FIELDS = (
    Field("id", FieldKind.KEYWORD, "id:a688d36c-a85e-44af-bc02-4248c2c97622", "The id of the conversation."),
    Field(
        "channel_id",
        FieldKind.KEYWORD,
        "channel_id:318efa04-7cc1-4200-988e-50699d0dd6e3",
        "The id of the channel that the conversation came by.",
        ("channelId",),
    ),
    Field("source", FieldKind.KEYWORD, "source:twilio.*", "The kind of channel, such as `facebook`."),
    Field("state", FieldKind.KEYWORD, "state:open", "`open` or `closed`; nothing where no state is set."),
    Field(
        "display_name",
        FieldKind.TEXT,
        'display_name:"ada lovelace"',
        "The name of the contact.",
        ("displayName",),
    ),
    Field(
        "tag_ids",
        FieldKind.TEXT,
        "tag_ids:f339c325-8614-43cb-a70a-e83d81bf56fc",
        "The ids of the tags.",
        ("tagIds", "metadata.tags"),
    ),
    Field(
        "created_at",
        FieldKind.NUMBER,
        "created_at:[2019-01-01 TO 2019-06-30]",
        "When the earliest message was sent: a date, a time, or milliseconds since 1970 UTC.",
        ("createdAt",),
        is_time=True,
    ),
    Field(
        "last_message_at",
        FieldKind.NUMBER,
        'last_message_at:["2019-06-30T12:00:00Z" TO *]',
        "When the latest message was sent: a date, a time, or milliseconds since 1970 UTC.",
        ("lastMessageAt",),
        is_time=True,
    ),
    Field(
        "unread_count",
        FieldKind.NUMBER,
        "unread_count:[2 TO *]",
        "How many messages of the contact are later than the last read.",
        ("unreadCount", "unread_message_count", "unreadMessageCount", "metadata.unread_count"),
    ),
    Field(
        "metadata.<path>",
        FieldKind.METADATA,
        "metadata.user_data.erp.id:abc",
        "A leaf of the metadata document, the keys on the way to it joined by dots.",
    ),
)
"""Every field, in the order in which a person would want to read them."""

DEFAULT_FIELDS = (FIELDS[0], FIELDS[4])
"""Where a word without a field is searched: `id` and `display_name`."""

_BY_NAME = {name: field for field in FIELDS[:-1] for name in (field.name, *field.aliases)}


_TAG_PREFIX = "metadata.tags."
TAG_IDS = FIELDS[5]


def tag_of(field: Field) -> str | None:
    """Return the id of the tag whose place in the metadata a field is; None for any other field."""
    return field.name.removeprefix(_TAG_PREFIX).lower() if field.name.startswith(_TAG_PREFIX) else None


def find_field(name: FieldName) -> Field:
    """Return the field that a name or an alias stands for.

    Raises:
        UnknownFieldError: There is none.
    """
    field = _BY_NAME.get(name.text)
    if field is not None:
        return field
    if name.text.startswith(METADATA_PREFIX):
        pattern = FIELDS[-1]
        return Field(name.text, FieldKind.METADATA, pattern.example, pattern.description)
    raise _unknown_field(name)


def _unknown_field(name: FieldName) -> UnknownFieldError:
    nearest, is_near = _nearest(name.text)
    if name.text in ("http", "https"):
        hint = f'put an address in quotes: `"{name.text}://..."`'
    elif name.text in ("metadata", "user_data"):
        nearest, hint = FIELDS[-1].name, f"name a leaf below it, as in `{FIELDS[-1].example}`"
    elif name.text.isdigit():
        hint = f'put a time or another text with a colon in quotes: `"{name.text}:..."`'
    elif is_near:
        hint = f"did you mean `{nearest}`?"
    else:
        names = ", ".join(f"`{field.name}`" for field in FIELDS)
        hint = f"the fields are {names}; escape a colon that belongs to a word: `\\:`"
    message = f"at position {name.position}: there is no field `{name.text}`; {hint}"
    return UnknownFieldError(message, name.position, field=name.text, nearest=nearest)


def _nearest(name: str) -> tuple[str, bool]:
    """Return the field name most like another one, and whether it is likely to be meant."""
    for prefix in ("user_data.", "contact.", "tags."):
        if name.startswith(prefix):
            return METADATA_PREFIX + name, True
    likeness, known = max((_likeness(name.lower(), known.lower()), known) for known in _BY_NAME)
    return _BY_NAME[known].name, likeness >= 0.8


def _likeness(name: str, known: str) -> float:
    """Return 1 for the same name down to 0; a part of a name comes close to it."""
    likeness = JaroWinkler.normalized_similarity(name, known)
    return max(likeness, 0.9) if len(name) > 2 and name in known else likeness
