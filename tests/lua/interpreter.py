"""Modules of the service's Lua, run by the Lua that Redis has, without Redis."""

import hashlib
from collections.abc import Callable
from typing import Any

from lupa import lua51
from tests.lua.lint import FOLDER

from conversations.store.library import schema_code

__all__ = ["Modules"]


class Modules:
    """An interpreter; the modules are its attributes."""

    def __init__(self) -> None:
        # Text goes in and comes out as Latin-1: a character for each byte.
        self._lua = lua51.LuaRuntime(encoding="latin-1", unpack_returned_tuples=True)
        names: Any = self._lua.globals()
        names.package.path = f"{FOLDER}/lib/?.lua"
        names.package.preload.schema = self._lua.eval(f"function() {schema_code()} end")
        self.redis = self.table({"sha1hex": lambda text: hashlib.sha1(text.encode("latin-1")).hexdigest()})
        """What the library calls Redis by."""
        names.redis = self.redis
        self._require: Callable[[str], Any] = names.require

    def __getattr__(self, name: str) -> Any:
        return self._require(name)

    def kilobytes(self) -> float:
        """Return the memory in use."""
        self._lua.execute("collectgarbage()")
        return float(self._lua.eval("collectgarbage('count')"))

    def table(self, value: Any) -> Any:
        """Return a value with its dictionaries and lists as Lua's tables."""
        match value:
            case dict():
                return self._lua.table_from({name: self.table(item) for name, item in value.items()})
            case list() | tuple():
                return self._lua.table_from([self.table(item) for item in value])
            case _:
                return value
