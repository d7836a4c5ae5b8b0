"""IngestService."""

from google.protobuf.message import DecodeError

from conversations.errors import InvalidFieldError
from conversations.servicers.events import read_event
from conversations.servicers.wire import split_items
from conversations.store import Happening, Store
from conversations.v1 import event_pb2
from conversations.v1 import ingest_service_pb2 as pb

__all__ = ["IngestServicer"]

_MAX_EVENTS = 1000

# More than an event may have that is found valid: 64 KiB of content, as much of metadata, and some texts.
_MAX_EVENT_BYTES = 256 * 1024


class IngestServicer:
    """The way in for events."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def parse_IngestEvents(data: bytes) -> bytes:
        """Return the request as it came: events are counted and measured before any is built.

        An empty one takes two bytes, and a hundred times that in memory.
        """
        return data

    async def IngestEvents(self, request: bytes) -> pb.IngestEventsResponse:
        items = split_items(request, _MAX_EVENTS)
        happenings: dict[int, Happening] = {}
        refused: dict[int, InvalidFieldError] = {}
        async for index, item in self._store.slices.over(enumerate(items)):
            try:
                happenings[index] = read_event(_event(item))
            except InvalidFieldError as error:
                refused[index] = error
        indexes = list(happenings)
        refused_later = await self._store.ingest.apply(list(happenings.values()))
        refused.update((indexes[place], reason) for place, reason in refused_later.items())
        rejected = [
            pb.RejectedEvent(index=index, code="INVALID_ARGUMENT", message=refused[index].message)
            for index in sorted(refused)
        ]
        return pb.IngestEventsResponse(accepted=len(items) - len(rejected), rejected=rejected)


def _event(data: bytes) -> event_pb2.Event:
    if len(data) > _MAX_EVENT_BYTES:
        raise InvalidFieldError("event", f"is too large: {_MAX_EVENT_BYTES} bytes at most")
    try:
        return event_pb2.Event.FromString(data)
    except DecodeError:
        raise InvalidFieldError("event", "cannot be read: is it nested too deep?") from None
