"""The statement of a list: a page, newest message first, and the exact counts at the same moment."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = ["DOCUMENT", "PLANNED", "ListRequest", "list_statement"]

DOCUMENT = """'{' || c.document || ',"channel":' || channels.document || ',"last_message":' || c.last_message || '}'"""
"""A conversation `c` in JSON, with its channel."""

PLANNED = {"tag_id", "created_from", "created_to", "words_like", "words_unlike", "order_total", "last_seen"}
"""Clauses that leave few or many conversations, depending on their values."""


class ListRequest(BaseModel):
    """Asks for a page; all clauses that are given have to hold. Times are milliseconds, included."""

    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(pattern=r"^(\d+\.[0-9a-f-]{36})?$")] = ""
    """Time and id of the last conversation of the page before."""
    state: Literal["OPEN", "CLOSED"] | None = None
    source: str | None = None
    channel_id: UUID | None = None
    tag_id: UUID | None = None
    unread: Literal[True] | None = None
    not_source: str | None = None
    words_like: Annotated[list[str], Field(max_length=3)] = []
    """Patterns of LIKE, of which the words of the name match any: in lower case, each with a blank on both sides."""
    words_unlike: str | None = None
    """A pattern that they do not match."""
    order_total: tuple[str, str] | None = None
    """The first and the last text that `order_total` of the user data may be, by code points."""
    last_seen: tuple[str, str] | None = None
    """The same of `last_seen`, in lower case."""
    created_from: int | None = None
    created_to: int | None = None


def list_statement(request: ListRequest) -> tuple[str, list[object]]:
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
        SELECT total, {filtered_total} AS filtered_total, c.id, c.last_message_at_ms, {DOCUMENT} AS document
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


def _clauses(request: ListRequest) -> tuple[list[str], list[object]]:
    given = [
        ("state = ${}", request.state),
        ("source = ${}", request.source),
        ("channel_id = ${}", request.channel_id),
        ("tags @> ARRAY[${}::uuid]", request.tag_id),
        ("source <> ${}", request.not_source),
        ("words NOT LIKE ${}", request.words_unlike),
        ("order_total >= ${}", request.order_total and request.order_total[0]),
        ("order_total <= ${}", request.order_total and request.order_total[1]),
        ("last_seen >= ${}", request.last_seen and request.last_seen[0]),
        ("last_seen <= ${}", request.last_seen and request.last_seen[1]),
        ("created_at_ms >= ${}", request.created_from),
        ("created_at_ms <= ${}", request.created_to),
    ]
    asked = [(clause, value) for clause, value in given if value is not None]
    clauses = [clause.format(number) for number, (clause, _) in enumerate(asked, 1)]
    values: list[object] = [value for _, value in asked]
    if request.words_like:
        # An OR of several: for LIKE ANY there is no index.
        numbers = range(len(values) + 1, len(values) + len(request.words_like) + 1)
        clauses.append(f"({' OR '.join(f'words LIKE ${number}' for number in numbers)})")
        values += request.words_like
    return clauses + ["unread_count > 0"] * bool(request.unread), values
