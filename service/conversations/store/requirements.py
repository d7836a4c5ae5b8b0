"""The requirements on a Redis server, checked before anything is written to it."""

from typing import Any

from redis import exceptions

from conversations.errors import ConfigurationError

__all__ = ["check_server"]

_MIN_REDIS = (7, 2)
_MIN_SEARCH = 20800

# Option of the search module, option of Redis 8, value, and what goes wrong otherwise.
_OPTIONS = (
    ("ON_TIMEOUT", "search-on-timeout", "fail", "a search that times out would return a part as if it were all"),
    ("MINPREFIX", "search-min-prefix", 1, "prefixes of one character would find nothing"),
    ("MAXPREFIXEXPANSIONS", "search-max-prefix-expansions", 1_000_000, "prefixes of many words would lose matches"),
)


async def check_server(redis: Any) -> None:
    """Raise ConfigurationError with one sentence for each unmet requirement."""
    info = await redis.info("server")
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_REDIS:
        raise ConfigurationError(f"Redis {version} is too old: {_MIN_REDIS[0]}.{_MIN_REDIS[1]} or newer is needed.")
    module = await _search_version(redis)
    if module is None:
        raise ConfigurationError(
            "Redis has no search module: use Redis 8 or Redis Stack, or load redisearch.so with --loadmodule."
        )
    if module < _MIN_SEARCH:
        raise ConfigurationError(f"The search module has version {module}: {_MIN_SEARCH} (2.8) or newer is needed.")
    wrong = [sentence for option in _OPTIONS if (sentence := await _wrong_option(redis, *option))]
    if wrong:
        raise ConfigurationError(" ".join(wrong))


async def _search_version(redis: Any) -> int | None:
    for module in await redis.execute_command("MODULE", "LIST"):
        pairs = module.items() if isinstance(module, dict) else zip(module[::2], module[1::2], strict=True)
        facts = {_text(key): value for key, value in pairs}
        if _text(facts["name"]) in ("search", "searchlight"):
            return int(facts["ver"])
    return None


async def _wrong_option(redis: Any, module_name: str, name: str, wanted: str | int, why: str) -> str | None:
    value = await _read_option(redis, module_name, name)
    if value is None:
        return f"The setting {name} ({module_name} in the search module) cannot be read."
    right = value == wanted if isinstance(wanted, str) or module_name == "MINPREFIX" else int(value) >= wanted
    if right or str(value) == str(wanted):
        return None
    return (
        f"The search setting {module_name} is {value}, not {wanted}: {why}; set it with "
        f"`FT.CONFIG SET {module_name} {wanted}`, in Redis 8 `CONFIG SET {name} {wanted}`, and in its startup options."
    )


async def _read_option(redis: Any, module_name: str, name: str) -> str | None:
    """Return an option's value; Redis 8 has it in its own configuration, earlier versions in the module's."""
    for command in (("CONFIG", "GET", name), ("FT.CONFIG", "GET", module_name)):
        try:
            flat = [_text(item) for item in _flatten(await redis.execute_command(*command))]
        except exceptions.ResponseError:
            continue
        if len(flat) == 2:
            return flat[1]
    return None


def _flatten(reply: Any) -> list[Any]:
    if isinstance(reply, dict):
        return [leaf for pair in reply.items() for part in pair for leaf in _flatten(part)]
    if isinstance(reply, list):
        return [leaf for part in reply for leaf in _flatten(part)]
    return [reply]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
