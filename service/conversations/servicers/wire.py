"""Protobuf bytes put together from serialised parts: parsing them only to serialise again would cost most of a list."""

from collections.abc import Iterable

__all__ = ["page_bytes"]


def page_bytes(items: Iterable[bytes], pagination_data: bytes) -> bytes:
    """Return a response message with serialised items in field 1 and a serialised message in field 2.

    Source:
        https://protobuf.dev/programming-guides/encoding/
    """
    parts: list[bytes] = []
    for item in items:
        parts += (b"\x0a", _varint(len(item)), item)
    parts += (b"\x12", _varint(len(pagination_data)), pagination_data)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)
