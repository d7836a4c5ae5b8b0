"""From the name in a filter to its field, or to the name that was probably meant."""

from rapidfuzz.distance import JaroWinkler

from conversations.errors import UnknownFieldError
from conversations.filters.language import FieldName
from conversations.schema import FIELDS, METADATA, METADATA_PREFIX, Field, metadata_field

__all__ = ["find_field", "tag_of"]

_BY_NAME = {name: field for field in FIELDS if field is not METADATA for name in (field.name, *field.aliases)}
_TAG_PREFIX = "metadata.tags."


def tag_of(field: Field) -> str | None:
    """Return the tag id of a `metadata.tags.<id>` field; None for any other field."""
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
        return metadata_field(name.text)
    raise _unknown_field(name)


def _unknown_field(name: FieldName) -> UnknownFieldError:
    nearest, is_near = _nearest(name.text)
    if name.text in ("http", "https"):
        hint = f'put an address in quotes: `"{name.text}://..."`'
    elif name.text in ("metadata", "user_data"):
        nearest, hint = METADATA.name, f"name a leaf below it, as in `{METADATA.example}`"
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
    """Return the field name most similar to another name, and whether it was probably meant."""
    for prefix in ("user_data.", "contact.", "tags."):
        if name.startswith(prefix):
            return METADATA_PREFIX + name, True
    likeness, known = max((_likeness(name.lower(), known.lower()), known) for known in _BY_NAME)
    return _BY_NAME[known].name, likeness >= 0.8


def _likeness(name: str, known: str) -> float:
    """Return the similarity of two names, from 0 to 1; a part of a name has at least 0.9."""
    likeness = JaroWinkler.normalized_similarity(name, known)
    return max(likeness, 0.9) if len(name) > 2 and name in known else likeness
