"""The peer of FastAPI, asyncpg and PostgreSQL.

    .venv/bin/python -m bench.peers.inbox --port 8081 --dsn postgresql://...

Every call is one statement, so a page and its counts are of one moment. asyncpg keeps statements prepared. Answers are
put together from stored JSON: nothing is decoded and encoded again to be read. Pages are followed forward only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import click
import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

from conversations.times import format_time

__all__ = ["channel_json", "message_json"]

_CONNECTIONS = 8
"""In each of the two pools; two cores are busy with fewer."""

_DOCUMENT = """'{' || c.document || ',"channel":' || channels.document || ',"last_message":' || c.last_message || '}'"""

_PLANNED = {"tag_id", "name_prefix", "name_suffix", "created_from", "created_to"}

_GET = f"SELECT {_DOCUMENT} FROM conversations c JOIN channels ON channels.id = c.channel_id WHERE c.id = $1"  # noqa: S608

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


class _ListRequest(BaseModel):
    """Asks for a page; all clauses that are given have to hold. Times are milliseconds, included."""

    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(pattern=r"^(\d+\.[0-9a-f-]{36})?$")] = ""
    """Time and id of the last conversation of the page before."""
    state: Literal["OPEN", "CLOSED"] | None = None
    source: str | None = None
    channel_id: UUID | None = None
    tag_id: UUID | None = None
    unread: Literal[True] | None = None
    name_prefix: str | None = None
    """Lower case beginning of any word of the name."""
    name_suffix: str | None = None
    created_from: int | None = None
    created_to: int | None = None


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
async def list_conversations(request: _ListRequest) -> Response:
    """Answer a page, newest message first, and the exact counts at the same moment."""
    statement, values = _list_statement(request)
    # How many conversations a tag, a part of a name or a range of dates leaves depends on its value: plans made for any
    # value are up to twice as slow. Elsewhere it is planning that would cost more.
    pool = app.state.planning_pool if _PLANNED & request.model_fields_set else app.state.pool
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


def _list_statement(request: _ListRequest) -> tuple[str, list[object]]:
    """Return a statement and its values; the statements are as many as the sets of clauses that are in use."""
    clauses, values = _clauses(request)
    filtered_total = "total"
    if request.tag_id and len(clauses) == 1:
        filtered_total = "(SELECT count(*) FROM conversation_tags WHERE tag_id = $1)"
    elif clauses:
        filtered_total = f"(SELECT count(*) FROM conversations WHERE {' AND '.join(clauses)})"  # noqa: S608
    if request.cursor:
        time_ms, id_ = request.cursor.split(".")
        values += [int(time_ms), UUID(id_)]
        clauses.append(f"(last_message_at_ms, id) < (${len(values) - 1}, ${len(values)})")
    # A range of dates that ends leaves conversations that lie together, far from the newest. PostgreSQL takes them to
    # be spread evenly, and would look for them from the newest on; by an expression it sorts what it finds by date.
    time = "last_message_at_ms + 0" if request.created_to else "last_message_at_ms"
    # The conversations are looked up after the page is cut: until then an index may be enough. The limit is no
    # parameter, since without knowing it PostgreSQL plans for a tenth of the table.
    statement = f"""
        SELECT total, {filtered_total} AS filtered_total, c.id, c.last_message_at_ms, {_DOCUMENT} AS document
        FROM (SELECT sum(conversations)::bigint AS total FROM totals) AS totals
        LEFT JOIN (
            SELECT id FROM conversations {"WHERE " + " AND ".join(clauses) if clauses else ""}
            ORDER BY {time} DESC, id DESC LIMIT {request.page_size + 1}
        ) page ON true
        LEFT JOIN conversations c USING (id)
        LEFT JOIN channels ON channels.id = c.channel_id
        ORDER BY c.last_message_at_ms DESC, c.id DESC
    """  # noqa: S608
    return statement, values


def _clauses(request: _ListRequest) -> tuple[list[str], list[object]]:
    given = [
        ("state = ${}", request.state),
        ("source = ${}", request.source),
        ("channel_id = ${}", request.channel_id),
        ("tags @> ARRAY[${}::uuid]", request.tag_id),
        ("words LIKE ${}", request.name_prefix and f"% {_escaped(request.name_prefix)}%"),
        ("words LIKE ${}", request.name_suffix and f"%{_escaped(request.name_suffix)} %"),
        ("created_at_ms >= ${}", request.created_from),
        ("created_at_ms <= ${}", request.created_to),
    ]
    asked = [(clause, value) for clause, value in given if value is not None]
    clauses = [clause.format(number) for number, (clause, _) in enumerate(asked, 1)]
    return clauses + ["unread_count > 0"] * bool(request.unread), [value for _, value in asked]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


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
