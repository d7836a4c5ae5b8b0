"""The peer of FastAPI, asyncpg and PostgreSQL.

    .venv/bin/python -m bench.peers.fastapi_postgres --port 8081 --dsn postgresql://...

Every call is one statement, so a page and its counts are of one moment. asyncpg keeps statements prepared.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import click
from bench.peers.api import Inbox, IncomingMessage, ListRequest, Page, Position, serve
from bench.peers.documents import channel_json, default_name, message_json

_CONNECTIONS = 8
"""In each of the two pools; two cores are busy with fewer."""

_DOCUMENT = """'{' || c.document || ',"channel":' || channels.document || ',"last_message":' || c.last_message || '}'"""

_PLANNED = {"tag_id", "name_prefix", "name_suffix", "created_from", "created_to"}

_GET = f"SELECT {_DOCUMENT} FROM conversations c JOIN channels ON channels.id = c.channel_id WHERE c.id = $1"  # noqa: S608

_MARK_READ = "UPDATE conversations SET unread_count = 0 WHERE id = $1 AND unread_count > 0"

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


@click.command(help=__doc__)
@click.option("--port", required=True, type=int, help="Port to listen on.")
@click.option("--dsn", required=True, help="Database that `bench.peers.postgres.load` has filled.")
def main(port: int, dsn: str) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    serve(partial(_open_inbox, dsn), port)


@asynccontextmanager
async def _open_inbox(dsn: str) -> AsyncIterator[Inbox]:
    async with _pool(dsn, "auto") as pool, _pool(dsn, "force_custom_plan") as planning_pool:
        yield PostgresInbox(pool, planning_pool)


def _pool(dsn: str, plan_cache_mode: str) -> Any:
    return asyncpg.create_pool(
        dsn,
        min_size=_CONNECTIONS,
        max_size=_CONNECTIONS,
        server_settings={"plan_cache_mode": plan_cache_mode},
        # Nothing that a call does outlasts it in a session: there is nothing to reset, which would be a round trip.
        reset=_keep,
    )


async def _keep(_connection: Any) -> None:
    pass


class PostgresInbox:
    """The inbox in PostgreSQL."""

    def __init__(self, pool: Any, planning_pool: Any) -> None:
        self._pool = pool
        # How many conversations a tag, a part of a name or a range of dates leaves depends on its value: plans made for
        # any value are up to twice as slow. Elsewhere it is planning that would cost more.
        self._planning_pool = planning_pool
        self._known_channels: set[UUID] = set()

    async def get(self, conversation_id: UUID) -> str | None:
        document: str | None = await self._pool.fetchval(_GET, conversation_id)
        return document

    async def list_page(self, request: ListRequest, position: Position | None) -> Page:
        statement, values = _list_statement(request, position)
        pool = self._planning_pool if _PLANNED & request.model_fields_set else self._pool
        records = await pool.fetch(statement, *values)
        total, filtered_total = records[0]["total"], records[0]["filtered_total"]
        # The counts come with one row at least, which is empty where there is no conversation.
        found = [record for record in records if record["id"] is not None]
        more = len(found) > request.page_size
        found = found[: request.page_size]
        backward = position is not None and not position.forward
        if backward:
            found.reverse()
        return Page(
            documents=[record["document"] for record in found],
            previous=_position(found[0], forward=False) if found and (more if backward else position) else None,
            next=_position(found[-1], forward=True) if found and (more or backward) else None,
            filtered_total=filtered_total,
            total=total,
        )

    async def ingest(self, messages: Sequence[IncomingMessage]) -> None:
        await self._add_channels(messages)
        columns = [
            [message.id for message in messages],
            [message.conversation_id for message in messages],
            [message.channel_id for message in messages],
            [message.source for message in messages],
            [default_name(str(message.conversation_id), message.source) for message in messages],
            [message.sent_at for message in messages],
            [message.from_contact for message in messages],
            [_document(message) for message in messages],
        ]
        await self._pool.execute(_INGEST, *columns)

    async def _add_channels(self, messages: Sequence[IncomingMessage]) -> None:
        new = {message.channel_id: message.source for message in messages}
        for known in self._known_channels & new.keys():
            del new[known]
        if not new:
            return
        await self._pool.executemany(
            "INSERT INTO channels VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(id_, channel_json(str(id_), source)) for id_, source in new.items()],
        )
        self._known_channels |= new.keys()

    async def mark_read(self, conversation_id: UUID) -> bool:
        changed: str = await self._pool.execute(_MARK_READ, conversation_id)
        if changed != "UPDATE 0":
            return True
        exists: bool = await self._pool.fetchval(
            "SELECT EXISTS (SELECT FROM conversations WHERE id = $1)", conversation_id
        )
        return exists


def _document(message: IncomingMessage) -> str:
    return message_json(
        str(message.id), message.sent_at, message.from_contact, message.source, message.text, {"id": "sender"}
    )


def _position(record: Any, *, forward: bool) -> Position:
    return Position(forward, record["last_message_at_ms"], str(record["id"]))


def _list_statement(request: ListRequest, position: Position | None) -> tuple[str, list[object]]:
    """Return a statement and its values; the statements are as many as the sets of clauses that are in use."""
    clauses, values = _clauses(request)
    filtered_total = "total"
    if request.tag_id and len(clauses) == 1:
        filtered_total = "(SELECT count(*) FROM conversation_tags WHERE tag_id = $1)"
    elif clauses:
        filtered_total = f"(SELECT count(*) FROM conversations WHERE {' AND '.join(clauses)})"  # noqa: S608
    order = "DESC"
    if position is not None:
        order = "DESC" if position.forward else "ASC"
        values += [position.time_ms, UUID(position.detail)]
        comparison = "<" if position.forward else ">"
        clauses.append(f"(last_message_at_ms, id) {comparison} (${len(values) - 1}, ${len(values)})")
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
            ORDER BY {time} {order}, id {order} LIMIT {request.page_size + 1}
        ) page ON true
        LEFT JOIN conversations c USING (id)
        LEFT JOIN channels ON channels.id = c.channel_id
        ORDER BY c.last_message_at_ms {order}, c.id {order}
    """  # noqa: S608
    return statement, values


def _clauses(request: ListRequest) -> tuple[list[str], list[object]]:
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
    clauses: list[str] = []
    values: list[object] = []
    for clause, value in given:
        if value is not None:
            values.append(value)
            clauses.append(clause.format(len(values)))
    if request.unread:
        clauses.append("unread_count > 0")
    return clauses, values


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


if __name__ == "__main__":
    main()
