"""The peer of FastAPI, asyncpg and PostgreSQL.

    .venv/bin/python -m bench.peers.inbox --port 8081 --dsn postgresql://...

Every call is one statement, so a page and its counts are of one moment. asyncpg keeps statements prepared. Answers are
put together from stored JSON: nothing is decoded and encoded again to be read. Pages are followed forward only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import click
import orjson
import uvicorn
from bench.peers.statements import DOCUMENT, PLANNED, ListRequest, list_statement
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

from conversations.times import format_time

__all__ = ["channel_json", "message_json"]

_CONNECTIONS = 8
"""In each of the two pools; two cores are busy with fewer."""

_GET = f"SELECT {DOCUMENT} FROM conversations c JOIN channels ON channels.id = c.channel_id WHERE c.id = $1"  # noqa: S608

_MARK_READ = "UPDATE conversations SET unread_count = 0 WHERE id = $1 AND unread_count > 0"

_EXISTS = "SELECT EXISTS (SELECT FROM conversations WHERE id = $1)"

_ADD_CHANNEL = "INSERT INTO channels VALUES ($1, $2) ON CONFLICT DO NOTHING"

_INGEST = """
WITH incoming AS (
    SELECT *
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bool[], $8::text[])
        AS m (id, conversation_id, channel_id, source, name, sent_at_ms, from_contact, document)
), stored AS (
    INSERT INTO messages SELECT id, conversation_id, sent_at_ms, document FROM incoming ORDER BY id
    ON CONFLICT (id) DO UPDATE SET document = excluded.document
    RETURNING id, xmax = 0 AS is_new
), changes AS (
    SELECT DISTINCT ON (conversation_id) conversation_id, channel_id, source, name, document, sent_at_ms,
        min(sent_at_ms) OVER same AS first_ms,
        count(*) FILTER (WHERE from_contact AND is_new) OVER same AS unread
    FROM incoming JOIN stored USING (id)
    WINDOW same AS (PARTITION BY conversation_id)
    ORDER BY conversation_id, sent_at_ms DESC
)
INSERT INTO conversations AS c
    (id, channel_id, created_at_ms, last_message_at_ms, unread_count, source, name, tags, last_message)
SELECT conversation_id, channel_id, first_ms, sent_at_ms, unread, source, name, '{}', document
FROM changes ORDER BY conversation_id
ON CONFLICT (id) DO UPDATE SET
    created_at_ms = least(c.created_at_ms, excluded.created_at_ms),
    unread_count = c.unread_count + excluded.unread_count,
    last_message_at_ms = greatest(c.last_message_at_ms, excluded.last_message_at_ms),
    last_message = CASE
        WHEN excluded.last_message_at_ms >= c.last_message_at_ms THEN excluded.last_message ELSE c.last_message
    END
"""


class _ConversationRequest(BaseModel):
    conversation_id: UUID


class _Message(BaseModel):
    """A message, of a conversation that may be new; `sent_at` is in milliseconds."""

    id: UUID
    conversation_id: UUID
    channel_id: UUID
    source: str
    sent_at: int
    from_contact: bool
    text: str


class _IngestRequest(BaseModel):
    """Messages to store, all or none."""

    messages: Annotated[list[_Message], Field(max_length=1000)]


@click.command(help=__doc__)
@click.option("--port", required=True, type=int, help="Port to listen on.")
@click.option("--dsn", required=True, help="Database that `bench.peers.postgres` has filled.")
def main(port: int, dsn: str) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    app.state.dsn = dsn
    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async def keep(_connection: Any) -> None:
        """Nothing that a call does outlasts it in a session: there is nothing to reset, which would be a round trip."""

    def pool(plan_cache_mode: str) -> Any:
        sizes = {"min_size": _CONNECTIONS, "max_size": _CONNECTIONS}
        settings = {"plan_cache_mode": plan_cache_mode}
        return asyncpg.create_pool(app.state.dsn, server_settings=settings, reset=keep, **sizes)

    async with pool("auto") as app.state.pool, pool("force_custom_plan") as app.state.planning_pool:
        app.state.channels = set()
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/conversations.info")
async def get_conversation(request: _ConversationRequest) -> Response:
    """Answer a conversation."""
    document = await app.state.pool.fetchval(_GET, request.conversation_id)
    if document is None:
        raise HTTPException(404)
    return Response(document, media_type="application/json")


@app.post("/conversations.list")
async def list_conversations(request: ListRequest) -> Response:
    """Answer a page, newest message first, and the exact counts at the same moment."""
    statement, values = list_statement(request)
    # How many conversations a tag, a part of a name or a range of dates leaves depends on its value: plans made for any
    # value are up to twice as slow. Elsewhere it is planning that would cost more.
    pool = app.state.planning_pool if PLANNED & request.model_fields_set else app.state.pool
    records = await pool.fetch(statement, *values)
    # The counts come with one row at least, which is empty where there is no conversation.
    found = [record for record in records if record["id"] is not None]
    page = found[: request.page_size]
    cursor = f"{page[-1]['last_message_at_ms']}.{page[-1]['id']}" if len(found) > len(page) else ""
    answer = (
        f'{{"data":[{",".join([record["document"] for record in page])}],"pagination_data":{{"next_cursor":"{cursor}",'
        f'"filtered_total":{records[0]["filtered_total"]},"total":{records[0]["total"]}}}}}'
    )
    return Response(answer, media_type="application/json")


@app.post("/conversations.read", status_code=204)
async def mark_conversation_read(request: _ConversationRequest) -> None:
    """Set the unread count to zero."""
    changed = await app.state.pool.execute(_MARK_READ, request.conversation_id)
    if changed == "UPDATE 0" and not await app.state.pool.fetchval(_EXISTS, request.conversation_id):
        raise HTTPException(404)


@app.post("/messages.ingest")
async def ingest_messages(request: _IngestRequest) -> Response:
    """Store messages, each id once, in one transaction."""
    messages = list({message.id: message for message in request.messages}.values())
    channels = {message.channel_id: message.source for message in messages}
    if channels.keys() - app.state.channels:
        rows = [(id_, channel_json(str(id_), source)) for id_, source in channels.items()]
        await app.state.pool.executemany(_ADD_CHANNEL, rows)
        app.state.channels |= channels.keys()
    await app.state.pool.execute(_INGEST, *zip(*map(_row, messages), strict=True))
    return Response("{}", media_type="application/json")


def _row(message: _Message) -> tuple[object, ...]:
    # What a contact without a name is called.
    name = f"{message.source.rpartition('.')[2].title()} {str(message.conversation_id)[-5:]}"
    times = message.sent_at, message.from_contact
    document = message_json(str(message.id), *times, message.source, message.text, {"id": "sender"})
    return message.id, message.conversation_id, message.channel_id, message.source, name, *times, document


def channel_json(channel_id: str, source: str) -> str:
    """Return a channel, as it is stored."""
    channel = {"id": channel_id, "source": source, "source_channel_id": channel_id[:8], "connected": True}
    return orjson.dumps({**channel, "metadata": {}}).decode()


def message_json(
    message_id: str, sent_at_ms: int, from_contact: bool, source: str, text: str, sender: dict[str, str]
) -> str:
    """Return a message, as it is stored."""
    message = {
        "id": message_id,
        "content": {"text": text},
        "delivery_state": "DELIVERED",
        "state": "DELIVERED",
        "from_contact": from_contact,
        "sent_at": format_time(sent_at_ms),
        "source": source,
        "sender": sender,
        "metadata": {},
    }
    return orjson.dumps(message).decode()


if __name__ == "__main__":
    main()
