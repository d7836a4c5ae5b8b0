"""Protobuf bytes assembled from serialised parts: parsing and serialising them again would be most of a list's cost."""

from google.protobuf.message import DecodeError

from conversations.errors import InvalidFieldError

__all__ = ["page_bytes", "split_items"]

_ITEM = 1 << 3 | 2
_MAX_OTHERS = 100


def page_bytes(items: bytes, pagination_data: bytes) -> bytes:
    """Return a response message with a serialised message in field 2.

    Args:
        items: Any number of fields 1, serialised.
        pagination_data: The message of field 2, serialised.

    Source:
        https://protobuf.dev/programming-guides/encoding/
    """
    return b"".join((items, b"\x12", _varint(len(pagination_data)), pagination_data))


def split_items(data: bytes, max_items: int) -> list[bytes]:
    """Return the serialised items of a message whose field 1 is a repeated message; other fields are skipped.

    Args:
        data: The message, serialised.
        max_items: How many items it may have.

    Raises:
        DecodeError: It isn't a message, its field 1 isn't one, or it has a great many other fields.
        InvalidFieldError: It has more items.
    """
    items: list[bytes] = []
    at, others = 0, 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        match tag & 7:
            case 0:
                size, (_, end) = 0, _read_varint(data, at)
                at = end
            case 1:
                size = 8
            case 2:
                size, at = _read_varint(data, at)
            case 5:
                size = 4
            case _:
                raise DecodeError("a group, or not a field")
        if at + size > len(data):
            raise DecodeError("a field is truncated")
        if tag == _ITEM:
            if len(items) == max_items:
                raise InvalidFieldError("events", f"may have at most {max_items} items")
            items.append(data[at : at + size])
        elif tag >> 3 <= 1:
            raise DecodeError("field 1 has another type, or a field has the number 0")
        else:
            others += 1
            if others > _MAX_OTHERS:
                raise DecodeError("too many unknown fields")
        at += size
    return items


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    number = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise DecodeError("a number is truncated, or has more than ten bytes")


def _varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)
