"""IngestService."""

from collections.abc import Iterable, Iterator, Sequence

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import DecodeError

from conversations.errors import DamagedRecordError, InvalidFieldError
from conversations.event_json import read_events
from conversations.rpc import Context
from conversations.servicers.events import read_event
from conversations.servicers.wire import split_items
from conversations.store import Change, Store
from conversations.v1 import event_pb2
from conversations.v1 import ingest_service_pb2 as pb

__all__ = ["IngestServicer"]

_MAX_EVENTS = 1000

# More than a valid event can have: 64 KiB of content, as much metadata, and some texts.
_MAX_EVENT_BYTES = 256 * 1024


class IngestServicer:
    """Implements IngestService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def parse_IngestEvents(data: bytes) -> list[bytes]:
        """Return the events as bytes: they are counted and measured before any is built.

        An empty one takes two bytes, but a hundred times that in memory.
        """
        return split_items(data, _MAX_EVENTS)

    async def IngestEvents(self, request: Sequence[bytes], context: Context) -> pb.IngestEventsResponse:
        return await self._ingest(_events(request))

    async def IngestJson(self, request: Sequence[HttpBody], context: Context) -> pb.IngestEventsResponse:
        body = b"".join(part.data for part in request)
        return await self._ingest(read_events(body, _MAX_EVENTS))

    async def _ingest(self, events: Iterable[event_pb2.Event | InvalidFieldError | None]) -> pb.IngestEventsResponse:
        changes: dict[int, Change] = {}
        refused: dict[int, InvalidFieldError | DamagedRecordError] = {}
        async for event in self._store.slices.over(events):
            if event is None:
                continue
            index = len(changes) + len(refused)
            try:
                if isinstance(event, InvalidFieldError):
                    raise event
                changes[index] = read_event(event)
            except InvalidFieldError as error:
                refused[index] = error
        count = len(changes) + len(refused)
        indexes = list(changes)
        refused_later = await self._store.ingest.apply(list(changes.values()))
        refused.update((indexes[place], reason) for place, reason in refused_later.items())
        rejected = [
            pb.RejectedEvent(index=index, code=_code(refused[index]), message=refused[index].message)
            for index in sorted(refused)
        ]
        return pb.IngestEventsResponse(accepted=count - len(rejected), rejected=rejected)


def _code(error: InvalidFieldError | DamagedRecordError) -> str:
    return "DATA_LOSS" if isinstance(error, DamagedRecordError) else "INVALID_ARGUMENT"


def _events(items: Iterable[bytes]) -> Iterator[event_pb2.Event | InvalidFieldError]:
    for item in items:
        if len(item) > _MAX_EVENT_BYTES:
            yield InvalidFieldError("event", f"is too large: at most {_MAX_EVENT_BYTES} bytes")
            continue
        try:
            yield event_pb2.Event.FromString(item)
        except DecodeError:
            yield InvalidFieldError("event", "cannot be parsed: is it nested too deeply?")
