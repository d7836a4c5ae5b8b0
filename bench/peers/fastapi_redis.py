"""The peer of FastAPI, redis-py and Redis with its search module.

    .venv/bin/python -m bench.peers.fastapi_redis --port 8082 --redis-url unix:///...

A page starts where the one before ended, by time. Search cannot sort by a second field: conversations of the very same
time come in the order that it gives them, and one page back may divide them in another way.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from bench.peers.api import Inbox, IncomingMessage, ListRequest, Page, Position, serve
from bench.peers.documents import channel_json, conversation_json, default_name, message_json
from bench.peers.redis_schema import INDEX, TOTAL, conversation_key, message_key, order_key
from redis.asyncio import BlockingConnectionPool, Redis

_CONNECTIONS = 64
_LUA = Path(__file__).parent / "lua"


@click.command(help=__doc__)
@click.option("--port", required=True, type=int, help="Port to listen on.")
@click.option("--redis-url", required=True, help="Redis that `bench.peers.redis_schema.load` has filled.")
def main(port: int, redis_url: str) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    serve(partial(_open_inbox, redis_url), port)


@asynccontextmanager
async def _open_inbox(url: str) -> AsyncIterator[Inbox]:
    pool = BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS, protocol=2, decode_responses=True)
    async with Redis.from_pool(pool) as redis:
        yield RedisInbox(redis)


class RedisInbox:
    """The inbox in Redis."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._add_messages = redis.register_script((_LUA / "add_messages.lua").read_text())
        self._mark_read = redis.register_script((_LUA / "mark_read.lua").read_text())

    async def get(self, conversation_id: UUID) -> str | None:
        document: str | None = await self._redis.hget(conversation_key(str(conversation_id)), "document")
        return document

    async def list_page(self, request: ListRequest, position: Position | None) -> Page:
        clauses = _clauses(request)
        forward = position is None or position.forward
        skip = int(position.detail) if position else 0
        # The commands go as they are: redis-py's own search makes an object of each result.
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(TOTAL)
        window = [*clauses, _window(position)] if position else clauses
        pipeline.execute_command(
            *("FT.SEARCH", INDEX, _query(window), "RETURN", 2, "document", "last_message_at"),
            *("SORTBY", "last_message_at", "DESC" if forward else "ASC"),
            *("LIMIT", skip, request.page_size, "DIALECT", 2),
        )
        if position and clauses:
            # The page's own total is that of the rest of the list.
            pipeline.execute_command("FT.SEARCH", INDEX, _query(clauses), "LIMIT", 0, 0, "DIALECT", 2)
        total, (in_window, *found), *counted = await pipeline.execute()
        results = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in found[1::2]]
        times = [int(result["last_message_at"]) for result in results]
        more = in_window > skip + len(results)
        first = last = None
        if results:
            first = _position(times, position, forward=not forward) if position else None
            last = _position(times[::-1], position, forward=forward) if more else None
        if not forward:
            results.reverse()
        filtered_total = counted[0][0] if counted else int(total) if position else in_window
        return Page(
            documents=[result["document"] for result in results],
            previous=first if forward else last,
            next=last if forward else first,
            filtered_total=filtered_total,
            total=int(total),
        )

    async def ingest(self, messages: Sequence[IncomingMessage]) -> None:
        keys = [key for message in messages for key in _keys(message)]
        await self._add_messages(
            keys=[*keys, TOTAL], args=[value for message in messages for value in _values(message)]
        )

    async def mark_read(self, conversation_id: UUID) -> bool:
        return bool(await self._mark_read(keys=[conversation_key(str(conversation_id))]))


def _position(times: Sequence[int], start: Position | None, *, forward: bool) -> Position:
    """Return the place behind a conversation, given the times from there towards the rest of the page.

    Args:
        times: Of the page's conversations, milliseconds; the first is that of the position.
        start: Where the page started.
        forward: Whether the pages from this place are those of older conversations.
    """
    same = next((n for n, time in enumerate(times) if time != times[0]), len(times))
    if start and same == len(times) and start.forward == forward and start.time_ms == times[0]:
        same += int(start.detail)
    return Position(forward, times[0], str(same))


def _window(position: Position) -> str:
    low, high = ("-inf", position.time_ms) if position.forward else (position.time_ms, "+inf")
    return f"@last_message_at:[{low} {high}]"


def _query(clauses: Sequence[str]) -> str:
    return " ".join(clauses) or "*"


def _clauses(request: ListRequest) -> list[str]:
    given = [
        ("@state:{{{}}}", request.state),
        ("@source:{{{}}}", request.source and _escaped(request.source)),
        ("@channel_id:{{{}}}", request.channel_id and _escaped(str(request.channel_id))),
        ("@tags:{{{}}}", request.tag_id and _escaped(str(request.tag_id))),
        ("@unread_count:[1 +inf]", request.unread),
        ("@name:{}*", request.name_prefix and _escaped(request.name_prefix)),
        ("@name:*{}", request.name_suffix and _escaped(request.name_suffix)),
        ("@created_at:[{} +inf]", request.created_from),
        ("@created_at:[-inf {}]", request.created_to),
    ]
    return [clause.format(value) for clause, value in given if value is not None]


def _escaped(text: str) -> str:
    return re.sub(r"(\W)", r"\\\1", text)


def _keys(message: IncomingMessage) -> tuple[str, str, str]:
    conversation_id = str(message.conversation_id)
    return message_key(str(message.id)), conversation_key(conversation_id), order_key(conversation_id)


def _values(message: IncomingMessage) -> tuple[str | int, ...]:
    conversation_id, channel_id = str(message.conversation_id), str(message.channel_id)
    name = default_name(conversation_id, message.source)
    document = message_json(
        str(message.id), message.sent_at, message.from_contact, message.source, message.text, {"id": "sender"}
    )
    blank = conversation_json(
        conversation_id, channel_json(channel_id, message.source), message.sent_at, name, document
    )
    return (
        *(str(message.id), blank, channel_id, message.source, name),
        *(message.sent_at, int(message.from_contact), document),
    )


if __name__ == "__main__":
    main()
