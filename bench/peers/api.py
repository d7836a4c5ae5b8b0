"""The JSON API that the FastAPI peers have in common: what comes in, what goes out, and the server around it.

Answers are put together from stored JSON: nothing is decoded and encoded again to be read.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

__all__ = ["Inbox", "IncomingMessage", "ListRequest", "Page", "Position", "serve"]


class ConversationRequest(BaseModel):
    """Names a conversation."""

    conversation_id: UUID


class ListRequest(BaseModel):
    """Asks for a page; all clauses that are given have to hold."""

    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: str = ""
    state: Literal["OPEN", "CLOSED"] | None = None
    source: str | None = None
    channel_id: UUID | None = None
    tag_id: UUID | None = None
    unread: Literal[True] | None = None
    name_prefix: str | None = None
    """Lower case beginning of any word of the name."""
    name_suffix: Annotated[str, Field(min_length=2)] | None = None
    """Lower case end of any word of the name; Redis' index of word endings has none of a single letter."""
    created_from: int | None = None
    """Milliseconds, included."""
    created_to: int | None = None
    """Milliseconds, included."""


class IncomingMessage(BaseModel):
    """A message, of a conversation that may be new."""

    id: UUID
    conversation_id: UUID
    channel_id: UUID
    source: str
    sent_at: int
    """Milliseconds."""
    from_contact: bool
    text: str


class IngestRequest(BaseModel):
    """Messages to store, all or none."""

    messages: Annotated[list[IncomingMessage], Field(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two conversations of a list, and the direction in which a page lies from it."""

    forward: bool
    time_ms: int
    detail: str
    """What orders conversations of the same time; each inbox has its own."""

    def __str__(self) -> str:
        return f"{'n' if self.forward else 'p'}.{self.time_ms}.{self.detail}"

    @classmethod
    def parse(cls, cursor: str) -> "Position":
        """Return the position that a cursor stands for.

        Raises:
            ValueError: It is none.
        """
        direction, time_ms, detail = cursor.split(".")
        if direction not in ("n", "p"):
            raise ValueError("no direction")
        return cls(direction == "n", int(time_ms), detail)


@dataclass(frozen=True, slots=True)
class Page:
    """Conversations, newest first, and the exact counts at the same moment."""

    documents: Sequence[str]
    """JSON of each."""
    previous: Position | None
    next: Position | None
    filtered_total: int
    total: int

    def json(self) -> str:
        """Return the answer of a list call."""
        return (
            f'{{"data":[{",".join(self.documents)}],"pagination_data":{{'
            f'"previous_cursor":"{self.previous or ""}","next_cursor":"{self.next or ""}",'
            f'"filtered_total":{self.filtered_total},"total":{self.total}}}}}'
        )


class Inbox(Protocol):
    """What a peer does with its database."""

    async def get(self, conversation_id: UUID) -> str | None:
        """Return the JSON of a conversation."""

    async def list_page(self, request: ListRequest, position: Position | None) -> Page:
        """Return a page."""

    async def ingest(self, messages: Sequence[IncomingMessage]) -> None:
        """Store messages, each with an id of its own, in one transaction."""

    async def mark_read(self, conversation_id: UUID) -> bool:
        """Set the unread count to zero; return whether the conversation exists."""


def serve(open_inbox: Callable[[], AbstractAsyncContextManager[Inbox]], port: int) -> None:
    """Serve an inbox on the loopback interface until SIGTERM or Ctrl-C."""
    uvicorn.run(
        _app(open_inbox),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


def _app(open_inbox: Callable[[], AbstractAsyncContextManager[Inbox]]) -> FastAPI:
    inbox: Any = None  # an Inbox as long as the server runs

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        nonlocal inbox
        async with open_inbox() as inbox:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/conversations.info")
    async def get_conversation(request: ConversationRequest) -> Response:
        document = await inbox.get(request.conversation_id)
        if document is None:
            raise HTTPException(404)
        return _json(document)

    @app.post("/conversations.list")
    async def list_conversations(request: ListRequest) -> Response:
        try:
            position = Position.parse(request.cursor) if request.cursor else None
        except ValueError as error:
            raise HTTPException(400, "not a cursor") from error
        return _json((await inbox.list_page(request, position)).json())

    @app.post("/conversations.read")
    async def mark_conversation_read(request: ConversationRequest) -> Response:
        if not await inbox.mark_read(request.conversation_id):
            raise HTTPException(404)
        return Response(status_code=204)

    @app.post("/messages.ingest")
    async def ingest_messages(request: IngestRequest) -> Response:
        await inbox.ingest(list({message.id: message for message in request.messages}.values()))
        return _json("{}")

    return app


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
