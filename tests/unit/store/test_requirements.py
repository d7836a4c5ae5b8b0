"""Which versions of Redis and of its search module will do, and how each says what it has."""

from typing import Any

import pytest
from redis import exceptions

from conversations.errors import ConfigurationError
from conversations.store.requirements import check_server

RIGHT = {"search-on-timeout": "fail", "search-min-prefix": "1", "search-max-prefix-expansions": "1000000"}
RIGHT_OF_MODULE = dict(zip(("ON_TIMEOUT", "MINPREFIX", "MAXPREFIXEXPANSIONS"), RIGHT.values(), strict=True))


class Redis:
    """Says what it was told to say."""

    def __init__(
        self, version: str, modules: list[Any], options: dict[str, Any] | None, of_module: dict[str, Any]
    ) -> None:
        self._version, self._modules, self._options, self._of_module = version, modules, options, of_module

    async def info(self, section: str) -> dict[str, Any]:
        return {"redis_version": self._version}

    async def execute_command(self, *words: str) -> Any:
        match words:
            case ("MODULE", "LIST"):
                return self._modules
            case ("CONFIG", "GET", name):
                if self._options is None:
                    raise exceptions.ResponseError("unknown command")
                return {name.encode(): self._options[name].encode()} if name in self._options else {}
            case ("FT.CONFIG", "GET", name):
                if not self._of_module:
                    raise exceptions.ResponseError("unknown command")
                return [[name.encode(), self._of_module[name].encode()]] if name in self._of_module else []
        raise AssertionError(words)


def search(version: int, name: bytes = b"search") -> list[Any]:
    return [[b"name", b"json", b"ver", 1], {b"name": name, b"ver": version}]


async def complaint(
    version: str = "7.2.0",
    modules: list[Any] | None = None,
    options: dict[str, Any] | None = RIGHT,
    of_module: dict[str, Any] | None = None,
) -> str:
    """Return what is wrong; empty where nothing is."""
    try:
        await check_server(Redis(version, search(20800) if modules is None else modules, options, of_module or {}))
    except ConfigurationError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("version", "will_do"),
    [
        *((version, True) for version in ("7.2.0", "7.2.14", "7.4.1", "7.10.0", "8.0.0", "10.0.0")),
        *((version, False) for version in ("7.1.9", "7.0.15", "6.9.9", "2.10.0")),
    ],
)
async def test_the_oldest_redis(version: str, will_do: bool) -> None:
    wrong = "" if will_do else f"Redis {version} is too old: 7.2 or newer is needed."
    assert await complaint(version) == wrong


@pytest.mark.parametrize(("version", "will_do"), [(20799, False), (20800, True), (20801, True), (80001, True)])
@pytest.mark.parametrize("name", [b"search", b"searchlight"])
async def test_the_oldest_search_module(name: bytes, version: int, will_do: bool) -> None:
    wrong = "" if will_do else f"The search module has version {version}: 20800 (2.8) or newer is needed."
    assert await complaint(modules=search(version, name)) == wrong
    assert "no search module" in await complaint(modules=search(version, b"research"))


async def test_options_are_read_of_the_server_or_of_the_module() -> None:
    wrong = RIGHT | {"search-min-prefix": "2"}
    assert await complaint(options={}, of_module=RIGHT_OF_MODULE) == ""
    # Where the server's own may not be asked for.
    assert await complaint(options=None, of_module=RIGHT_OF_MODULE) == ""
    # Redis 8 may have both: its own counts.
    assert await complaint(options=RIGHT, of_module=RIGHT_OF_MODULE | {"MINPREFIX": "2"}) == ""
    assert "MINPREFIX is 2, not 1" in await complaint(options=wrong, of_module=RIGHT_OF_MODULE)
    assert "MINPREFIX is 0, not 1" in await complaint(options=RIGHT | {"search-min-prefix": "0"})
    assert "MAXPREFIXEXPANSIONS is 999999," in await complaint(
        options=RIGHT | {"search-max-prefix-expansions": "999999"}
    )
    assert await complaint(options=RIGHT | {"search-max-prefix-expansions": "1000001"}) == ""


async def test_an_option_that_cannot_be_read_is_said() -> None:
    said = "The setting search-on-timeout (ON_TIMEOUT in the search module) cannot be read."
    rest = {name: value for name, value in RIGHT.items() if name != "search-on-timeout"}
    assert await complaint(options=rest) == said
    assert await complaint(options=rest, of_module={"MINPREFIX": "1"}) == said
