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


class IngestServicer:
    """The way in for events."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def parse_IngestEvents(data: bytes) -> list[event_pb2.Event | None]:
        """Return the events of a request; None for one that protobuf cannot read, as when it is nested too deep.

        Raises:
            DecodeError: The request as a whole cannot be read.
        """
        try:
            return list(pb.IngestEventsRequest.FromString(data).events)
        except DecodeError:
            return [_event(item) for item in split_items(data)]

    async def IngestEvents(self, events: list[event_pb2.Event | None]) -> pb.IngestEventsResponse:
        if len(events) > _MAX_EVENTS:
            raise InvalidFieldError("events", f"may have {_MAX_EVENTS} at most")
        happenings: dict[int, Happening] = {}
        refused: dict[int, InvalidFieldError] = {}
        for index, event in enumerate(events):
            try:
                if event is None:
                    raise InvalidFieldError("event", "cannot be read: is it nested too deep?")
                happenings[index] = read_event(event)
            except InvalidFieldError as error:
                refused[index] = error
        indexes = list(happenings)
        refused_later = await self._store.ingest.apply(list(happenings.values()))
        refused.update((indexes[place], reason) for place, reason in refused_later.items())
        rejected = [
            pb.RejectedEvent(index=index, code="INVALID_ARGUMENT", message=refused[index].message)
            for index in sorted(refused)
        ]
        return pb.IngestEventsResponse(accepted=len(events) - len(rejected), rejected=rejected)


def _event(data: bytes) -> event_pb2.Event | None:
    try:
        return event_pb2.Event.FromString(data)
    except DecodeError:
        return None
