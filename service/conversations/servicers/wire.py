"""Protobuf bytes put together from serialised parts: parsing them only to serialise again would cost most of a list."""

from google.protobuf.message import DecodeError

from conversations.errors import InvalidFieldError

__all__ = ["page_bytes", "split_items"]

_ITEM = 1 << 3 | 2
_MAX_OTHERS = 100


def page_bytes(items: bytes, pagination_data: bytes) -> bytes:
    """Return a response message with a serialised message in field 2.

    Args:
        items: Any number of fields 1, serialised.
        pagination_data: Of field 2.

    Source:
        https://protobuf.dev/programming-guides/encoding/
    """
    return b"".join((items, b"\x12", _varint(len(pagination_data)), pagination_data))


def split_items(data: bytes, most: int) -> list[bytes]:
    """Return the serialised items of a message whose field 1 is a repeated message; other fields are passed over.

    Args:
        data: The message, serialised.
        most: As many items as it may have.

    Raises:
        DecodeError: It is no message, or field 1 of it no message.
        InvalidFieldError: It has more items, or a great many fields beside them.
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
                raise DecodeError("a group, or no field")
        if at + size > len(data):
            raise DecodeError("a field is cut off")
        if tag == _ITEM:
            if len(items) == most:
                raise InvalidFieldError("events", f"may have {most} at most")
            items.append(data[at : at + size])
        elif tag >> 3 <= 1:
            raise DecodeError("field 1 is of another type, or a field has the number 0")
        else:
            others += 1
            if others > _MAX_OTHERS:
                raise DecodeError("too many unknown fields")
        at += size
    return items


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place behind it."""
    number = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise DecodeError("a number is cut off, or has more than ten bytes")


def _varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)
