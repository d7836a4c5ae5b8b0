"""IngestService."""

from conversations.errors import InvalidFieldError
from conversations.servicers.events import read_event
from conversations.store import Happening, Store
from conversations.v1 import ingest_service_pb2 as pb

__all__ = ["IngestServicer"]

_MAX_EVENTS = 1000


class IngestServicer:
    """The way in for events."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def IngestEvents(self, request: pb.IngestEventsRequest) -> pb.IngestEventsResponse:
        if len(request.events) > _MAX_EVENTS:
            raise InvalidFieldError("events", f"may have {_MAX_EVENTS} at most")
        happenings: dict[int, Happening] = {}
        refused: dict[int, InvalidFieldError] = {}
        for index, event in enumerate(request.events):
            try:
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
        return pb.IngestEventsResponse(accepted=len(request.events) - len(rejected), rejected=rejected)
