"""The library of Redis Functions, assembled from `lua/`.

Libraries of several versions coexist, so that workers of several versions can. The version is a hash of the code, and
is part of the name of the library and of each function: nobody has to increment it, builds of the same code share a
library, and a worker calls exactly the functions that it was built with.

Source:
    https://redis.io/docs/latest/develop/programmability/functions-intro/
"""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from conversations import schema, terms
from conversations.schema import FieldKind

__all__ = ["FACTS", "LIBRARY_PREFIX", "function_name", "library_code", "library_name", "schema_code"]

LIBRARY_PREFIX = "conversations_"
"""The name of a library begins with this, in any version."""

_TAGS = tuple(field for field in schema.FIELDS if field.is_tag and field is not schema.ID)

FACTS = ("ver", "doc", *(field.key for field in _TAGS if field.exists), "read")
"""A conversation's own facts, by the names in lua/lib/conversation.lua: everything else is derived from these and from
its messages."""

# Runs each module of lua/lib when it is first required, like Lua's own require, which functions do not have.
_REQUIRE = """
local modules, loaded = {}, {}
local function require(name)
  if not loaded[name] then loaded[name] = modules[name]() end
  return loaded[name]
end
"""


@cache
def library_name() -> str:
    """Return the name of the library of this version."""
    return f"{LIBRARY_PREFIX}{_version()}"


@cache
def function_name(name: str) -> str:
    """Return the name of a function in Redis."""
    return f"{name}_{_version()}"


@cache
def library_code() -> str:
    """Return the code of the whole library."""
    return f'#!lua name={library_name()}\nlocal VERSION = "{_version()}"\n{_body()}'


@cache
def _version() -> str:
    return sha256(_body().encode()).hexdigest()[:12]


@cache
def _body() -> str:
    folder = files("conversations.store") / "lua"
    modules = {"schema": schema_code(), **_chunks(folder / "lib")}
    functions = {**_chunks(folder), **_chunks(folder / "doctor")}
    return "\n".join(
        [
            _REQUIRE,
            *(f"modules.{name} = function()\n{code}\nend" for name, code in modules.items()),
            *(f"do\n{code}\nend" for code in functions.values()),
        ]
    )


def _chunks(folder: Traversable) -> dict[str, str]:
    """Return the code of a folder's files by name."""
    chunks = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".lua")}
    return {name.removesuffix(".lua"): chunks[name] for name in sorted(chunks)}


def schema_code() -> str:
    """Return the Lua module `schema`: what functions need to know of the fields."""
    stored = schema.stored_fields()
    # In the order of the entries in the log of changes.
    indexed = (schema.ID.key, schema.ID_START_KEY, schema.TERMS_KEY, *(f.key for f in stored if f is not schema.ID))
    numbers = (schema.ID_START_KEY, *(field.key for field in stored if field.kind is FieldKind.NUMBER))
    # The state is a leaf of the metadata too.
    state = terms.metadata_exists("state")
    states = {name: f"{state} {terms.metadata_term('state', name.lower())}" for name in ("OPEN", "CLOSED")}
    exist = [{"key": f.key, "term": f.exists} for f in _TAGS if f.exists and f is not schema.STATE]
    return "return " + _lua(
        {
            "NAME_PREFIX": terms.NAME_PREFIX,
            "NAME_EXISTS": terms.NAME_EXISTS,
            "STATE_TERMS": states,
            "EXISTS": exist,
            "INDEXED": indexed,
            "NUMBERS": numbers,
            "COLUMNS": {field.key: field.name for field in stored if field.has_column},
            "IS_NUMBER": {field.name: True for field in stored if field.kind is FieldKind.NUMBER},
            "ID_START": schema.ID_START_KEY,
            "IGNORES_CASE": {field.key: field.ignores_case for field in _TAGS},
            "HAS_MANY": {field.key: field.has_many for field in _TAGS},
            "IS_FACT": dict.fromkeys(FACTS, True),
        }
    )


def _lua(value: Any) -> str:
    """Return a value of names, terms and booleans as Lua code."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return _table(f"{name} = {_lua(item)}" for name, item in value.items())
        case _:
            return _table(map(_lua, value))


def _table(items: Iterable[str]) -> str:
    return "{ " + ", ".join(items) + " }"
