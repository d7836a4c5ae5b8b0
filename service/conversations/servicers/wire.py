"""Protobuf bytes put together from serialised parts: parsing them only to serialise again would cost most of a list."""

from collections.abc import Iterator

from google.protobuf.message import DecodeError

__all__ = ["page_bytes", "split_items"]


def page_bytes(items: bytes, pagination_data: bytes) -> bytes:
    """Return a response message with a serialised message in field 2.

    Args:
        items: Any number of fields 1, serialised.
        pagination_data: Of field 2.

    Source:
        https://protobuf.dev/programming-guides/encoding/
    """
    return b"".join((items, b"\x12", _varint(len(pagination_data)), pagination_data))


def split_items(data: bytes) -> Iterator[bytes]:
    """Yield the serialised items of a message that has nothing but a repeated message in field 1.

    Raises:
        DecodeError: It has something else.
    """
    at = 0
    while at < len(data):
        if data[at] != 0x0A:
            raise DecodeError("not field 1")
        size, shift = 0, 0
        while True:
            at += 1
            if at >= len(data) or shift > 28:
                raise DecodeError("a length is cut off")
            size |= (data[at] & 0x7F) << shift
            shift += 7
            if data[at] < 0x80:
                break
        at += 1 + size
        if at > len(data):
            raise DecodeError("an item is cut off")
        yield data[at - size : at]


def _varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)
