"""IngestService."""

from conversations.errors import InvalidFieldError
from conversations.servicers.events import read_event
from conversations.store import Store
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
        happenings, rejected = [], []
        for index, event in enumerate(request.events):
            try:
                happenings.append(read_event(event))
            except InvalidFieldError as error:
                rejected.append(pb.RejectedEvent(index=index, code="INVALID_ARGUMENT", message=error.message))
        await self._store.ingest.apply(happenings)
        return pb.IngestEventsResponse(accepted=len(happenings), rejected=rejected)
