"""Options that several commands share, and the settings read from them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr, ValidationError

from conversations.errors import ServiceError
from conversations.settings import Settings, variable

__all__ = [
    "FOLDER",
    "PORT",
    "Command",
    "check_redis_url",
    "checked",
    "data_dir",
    "read_settings",
    "redis_settings",
    "redis_url",
    "web_options",
]

Command = Callable[..., Any]


def checked(module: str, function: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that converts an option's value, or each of them, with a function of a module."""

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        convert = getattr(import_module(f"conversations.{module}"), function)
        try:
            return [convert(each) for each in value] if parameter.multiple else value and convert(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return check


def check_redis_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """Return the URL of a Redis if it is valid; a callback."""
    if url is not None:
        from conversations.store.redis_url import open_redis

        try:
            open_redis(url, 1, 1)
        except ServiceError as error:
            raise click.BadParameter(error.message) from error
    return url


class _Folder(click.Path):
    """A folder with a name: an empty one would be the working directory, which nobody means."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty", parameter, context)
        return super().convert(value, parameter, context)


class _Port(click.types.IntParamType):
    """A number from 0 to 65535. Not IntRange, which calls text `not a valid integer range`."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        port = super().convert(value, parameter, context)
        if not 0 <= port <= 65535:
            self.fail(f"{port} is not in the range 0<=x<=65535.", parameter, context)
        return port


FOLDER = _Folder()
PORT = _Port()

redis_url = click.option(
    "--redis-url",
    envvar="CONVERSATIONS_REDIS_URL",
    show_envvar=True,
    callback=check_redis_url,
    help="The Redis to use; by default the one that runs under --data-dir.",
)
data_dir = click.option(
    "--data-dir",
    default=".data",
    show_default=True,
    type=FOLDER,
    help="The --data-dir of a running `conversations up`.",
)
_WEB_OPTIONS = (
    click.option(
        "--cors-origin",
        "cors_origins",
        multiple=True,
        callback=checked("edge.names", "canonical_origin"),
        help="Origin whose web pages may call, such as https://inbox.example.org; `*` for all, without credentials. "
        "May be repeated.",
    ),
    click.option(
        "--cors-header",
        "cors_headers",
        multiple=True,
        callback=checked("edge.names", "header_name"),
        metavar="NAME",
        help="Request header that these pages may send besides the usual ones, such as x-tenant. May be repeated.",
    ),
    click.option(
        "--allow-host",
        "allowed_hosts",
        multiple=True,
        callback=checked("edge.names", "host_name"),
        metavar="NAME",
        help="Host name of the service besides localhost, 127.0.0.1 and [::1], such as inbox.example.org; requests for "
        "any other are refused. May be repeated.",
    ),
)


def web_options(command: Command) -> Command:
    """Add the options for who may call to a command."""
    for option in reversed(_WEB_OPTIONS):
        command = option(command)
    return command


def read_settings(**values: Any) -> Settings:
    """Return settings from values and the environment; invalid ones end the command with one sentence."""
    try:
        return Settings(**values)
    except ValidationError as error:
        wrong = "; ".join(_describe_error(**found) for found in error.errors())
        raise click.ClickException(f"invalid settings: {wrong}") from error


# pydantic's messages, in our words.
_WRONG_SETTINGS = {
    "int_parsing": "has to be a whole number",
    "int_parsing_size": "has to be a whole number",
    "float_parsing": "has to be a number",
    "greater_than": "has to be more than {gt}",
    "greater_than_equal": "has to be {ge} or more",
    "less_than_equal": "has to be {le} or less",
    "literal_error": "has to be {expected}",
    # Only `host` has a pattern.
    "string_pattern_mismatch": "has to be a name or an address, without blanks and slashes",
}


def _describe_error(
    *, type: str, loc: tuple[int | str, ...], msg: str, ctx: Mapping[str, Any] | None = None, **_: Any
) -> str:
    ours = _WRONG_SETTINGS.get(type)
    sentence = ours.format_map(ctx or {}) if ours else msg.removeprefix("Value error, ")
    return f"{variable(str(loc[0]))}: {sentence}" if loc else sentence


def redis_settings(url: str | None, folder: Path) -> Settings:
    """Return settings for the Redis that a command works on."""
    if url is None:
        from conversations.local.redis import running_url

        url = running_url(folder)
    if url is None:
        raise click.ClickException(
            f"no Redis runs under {folder}: start `conversations up`, or name one with --redis-url"
        )
    return read_settings(redis_url=SecretStr(url))
