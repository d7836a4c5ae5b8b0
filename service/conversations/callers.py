"""Callers, and fair turns between them."""

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["CALLER", "NOBODY", "Caller", "FairQueue"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a call comes from. Turns are shared between addresses first, then between the connections of one."""

    address: str
    connection: str
    """The address with its port."""


NOBODY = Caller("", "")
"""The service itself."""

CALLER: ContextVar[Caller] = ContextVar("caller", default=NOBODY)
"""The caller that the current task serves."""


class FairQueue(Generic[_T]):
    """Items of callers. Addresses take turns, then the connections of an address; of a connection the oldest item is
    first."""

    __slots__ = ("_addresses", "_size", "_sizes")

    def __init__(self) -> None:
        # In the order of turns.
        self._addresses: dict[str, dict[str, dict[_T, None]]] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[_T]:
        return (item for connections in self._addresses.values() for items in connections.values() for item in items)

    def push(self, caller: Caller, item: _T) -> None:
        """Append an item, which must not be in the queue yet."""
        connections = self._addresses.get(caller.address)
        if connections is None:
            connections = self._addresses[caller.address] = {}
            self._sizes[caller.address] = 0
        items = connections.get(caller.connection)
        if items is None:
            items = connections[caller.connection] = {}
        items[item] = None
        self._sizes[caller.address] += 1
        self._size += 1

    def pop(self) -> _T:
        """Remove and return the item whose turn it is.

        Raises:
            KeyError: There is none.
        """
        address = next(iter(self._addresses), None)
        if address is None:
            raise KeyError("the queue is empty")
        connections = self._addresses[address]
        connection = next(iter(connections))
        item = next(iter(connections[connection]))
        self._remove(address, connection, item)
        if connection in connections:
            connections[connection] = connections.pop(connection)
        if address in self._addresses:
            self._addresses[address] = self._addresses.pop(address)
        return item

    def remove(self, caller: Caller, item: _T) -> bool:
        """Remove an item; return whether it was there."""
        connections = self._addresses.get(caller.address)
        if connections is None or item not in connections.get(caller.connection, ()):
            return False
        self._remove(caller.address, caller.connection, item)
        return True

    def heaviest(self, caller: Caller = NOBODY) -> _T:
        """Return the newest item of the caller with the most; of `caller` if its share isn't smaller than the others'.

        Raises:
            ValueError: There is none.
        """
        address, connection = caller.address, caller.connection
        if self._sizes.get(address, 0) * len(self._addresses) < self._size:
            address = max(self._sizes, key=self._sizes.__getitem__)
        connections = self._addresses[address]
        size = len(connections.get(connection, ()))
        if size * len(connections) < self._sizes[address]:
            connection = max(connections, key=lambda name: len(connections[name]))
        return next(reversed(connections[connection]))

    def _remove(self, address: str, connection: str, item: _T) -> None:
        connections = self._addresses[address]
        del connections[connection][item]
        if not connections[connection]:
            del connections[connection]
        self._sizes[address] -= 1
        self._size -= 1
        if not connections:
            del self._addresses[address]
            del self._sizes[address]
