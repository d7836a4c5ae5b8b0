"""The RediSearch indexes: one per partition, each behind an alias.

Source:
    https://redis.io/docs/latest/commands/ft.create/
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from redis import exceptions
from redis.commands.search.field import Field as IndexField
from redis.commands.search.index_definition import IndexDefinition, IndexType

from conversations import terms
from conversations.schema import ID_START_KEY, TERMS_KEY, Field, FieldKind, stored_fields

__all__ = ["SCHEMA_VERSION", "create_index", "document_count", "partitions", "progress", "rebuild_index"]

_SORTED_BY = "lm"
_NO_SEPARATOR = "\x01"


def _index_field(field: Field) -> IndexField:
    if field.kind is FieldKind.NUMBER:
        return _plain_field(field.key, "NUMERIC", *(("SORTABLE",) if field.key == _SORTED_BY else ()))
    case = () if field.ignores_case else ("CASESENSITIVE",)
    return _plain_field(field.key, "TAG", *case, "SEPARATOR", "," if field.has_many else _NO_SEPARATOR)


def _plain_field(key: str, *args: str) -> IndexField:
    # Not TextField and the like: the version follows from these arguments, and theirs change with redis-py.
    return IndexField(key, list(args))


_OPTIONS: dict[str, Any] = {"stopwords": [], "no_highlight": True, "no_term_frequencies": True}
_ID, *_OTHERS = map(_index_field, stored_fields())
_SCHEMA = [_plain_field(TERMS_KEY, "TEXT", "NOSTEM"), _ID, _plain_field(ID_START_KEY, "NUMERIC"), *_OTHERS]

# The encoding of terms is part of the schema: documents with another encoding are not found.
_TERMS = (
    terms.name_term("ada"),
    terms.name_term("\u00e9"),
    terms.name_term("x" * 200),
    terms.metadata_term("a.b", "ada"),
)

_ARGS = (
    # _OPTIONS, as FT.CREATE has them.
    ("STOPWORDS", 0, "NOHL", "NOFREQS"),
    tuple(arg for field in _SCHEMA for arg in field.redis_args()),  # type: ignore[no-untyped-call]
    _TERMS,
)

SCHEMA_VERSION = sha256(repr(_ARGS).encode()).hexdigest()[:12]
"""Changes with the schema: an index of another version has to be rebuilt."""


_NAME = re.compile(r"conversations:\{(\d{1,2})\}:v\d+")


def _alias(partition: int) -> str:
    return f"conversations:{{{partition}}}"


async def _info(redis: Any, name: str) -> dict[str, Any] | None:
    """Return RediSearch's information on an index or alias; None if there is none."""
    try:
        info: dict[str, Any] = await redis.ft(name).info()
    except exceptions.ResponseError as error:
        # 2.10: "conversations:{0}: no such index"; Redis 8: "Unknown index name".
        if "no such index" in str(error).lower() or "unknown index" in str(error).lower():
            return None
        raise
    return info


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


async def _create(redis: Any, partition: int, number: int) -> str:
    name = f"{_alias(partition)}:v{number}"
    documents = IndexDefinition(  # type: ignore[no-untyped-call]
        [f"conversation:{{{partition}}}:"], index_type=IndexType.HASH
    )
    await redis.ft(name).create_index(_SCHEMA, definition=documents, **_OPTIONS)
    return name


async def create_index(redis: Any, partition: int) -> None:
    """Create a partition's index if it is missing. If there are documents, `progress` makes it live."""
    if await _own_indexes(redis, partition):
        return
    empty = not await redis.exists(f"recent:{{{partition}}}")
    with _ignored("already exists"):
        name = await _create(redis, partition, 1)
        if empty:
            await redis.ft(name).aliasadd(_alias(partition))


async def progress(redis: Any, partition: int) -> float:
    """Return the fraction of a partition's documents that are indexed: 1.0 when the index is complete and live.

    An index gets its alias when it is complete: until then searches fail, rather than find only a part.
    """
    info = await _info(redis, _alias(partition))
    if info is not None:
        return _part_indexed(info)
    names = await _own_indexes(redis, partition)
    if not names:
        return 0.0
    part = _part_indexed(await _info(redis, names[-1]))
    if part >= 1.0:
        with _ignored("already exists"):
            await redis.ft(names[-1]).aliasadd(_alias(partition))
    return part


async def document_count(redis: Any, partition: int) -> int | None:
    """Return the number of documents in a partition's live index; None if there is none."""
    info = await _info(redis, _alias(partition))
    return int(_text(info["num_docs"])) if info is not None else None


async def partitions(redis: Any) -> list[int]:
    """Return the numbers of the partitions that have an index."""
    matches = (_NAME.fullmatch(_text(name)) for name in await redis.execute_command("FT._LIST"))
    return [int(match[1]) for match in matches if match]


async def _own_indexes(redis: Any, partition: int) -> list[str]:
    """Return the names of a partition's indexes, the newest last."""
    start = f"{_alias(partition)}:v"
    names = [_text(name) for name in await redis.execute_command("FT._LIST")]
    return sorted((name for name in names if name.startswith(start)), key=_number)


def _number(name: str) -> int:
    return int(name.rpartition("v")[2])


@contextmanager
def _ignored(text: str) -> Iterator[None]:
    """Ignore an error with this text, which means that another worker was faster."""
    try:
        yield
    except exceptions.ResponseError as error:
        if text not in str(error).lower():
            raise


def _part_indexed(info: dict[str, Any] | None) -> float:
    if info is None:
        return 0.0
    part = float(_text(info["percent_indexed"]))
    return min(part, 0.999) if int(_text(info["indexing"])) else part


async def rebuild_index(redis: Any, partition: int) -> AsyncIterator[float]:
    """Build a fresh index beside the live one and swap it in; both are updated meanwhile.

    Yields:
        The fraction that is done, up to 1.0 when the fresh index is live.
    """
    own = await _own_indexes(redis, partition)
    live = await _info(redis, _alias(partition))
    for existing in own:
        # Left behind by an interrupted rebuild.
        if live is None or existing != _text(live["index_name"]):
            await redis.ft(existing).dropindex()
    name = await _create(redis, partition, _number(own[-1]) + 1 if own else 1)
    try:
        while (part := _part_indexed(await _info(redis, name))) < 1.0:
            yield part
            await asyncio.sleep(0.1)
        # Creates the alias if it is missing.
        await redis.ft(name).aliasupdate(_alias(partition))
    except BaseException:
        await redis.ft(name).dropindex()
        raise
    if live is not None:
        await redis.ft(_text(live["index_name"])).dropindex()
    yield 1.0
