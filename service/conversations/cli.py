"""The `conversations` command: reads arguments, calls a room, prints."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr, ValidationError

from conversations.errors import FilterError, ServiceError, StoreUnavailableError
from conversations.output import discard_output
from conversations.settings import Settings, shown, variable
from conversations.signals import StoppedError, exit_code, run_until_stopped

__all__ = ["main"]

_SIGINT, _SIGPIPE = 2, 13
# What a write fails with that names no file.
_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


@contextmanager
def _without_traceback() -> Iterator[None]:
    """End in one sentence, or in silence, where it is no defect of ours."""
    try:
        yield
    except StoppedError as stopped:
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        sys.exit(exit_code(_SIGINT))
    except BrokenPipeError:
        # Whoever reads the output has read enough, as `head` does.
        discard_output()
        sys.exit(exit_code(_SIGPIPE))
    except OSError as error:
        if error.filename is None and error.errno not in _NOT_WRITTEN:
            raise
        discard_output()
        raise click.ClickException(f"{error.filename or 'cannot write the output'}: {error.strerror}") from error


class _Program(click.Group):
    """All commands; each ends without a traceback."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        # Here the help is printed.
        with _without_traceback():
            return super().make_context(*args, **more)

    def invoke(self, context: click.Context) -> Any:
        with _without_traceback():
            return super().invoke(context)


def _checked(function: str) -> Callable[[click.Context, click.Parameter, Sequence[str]], list[str]]:
    """Return a callback that puts each value of an option through a function of `edge.names`."""

    def check(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[str]:
        from conversations.edge import names

        try:
            return [getattr(names, function)(value) for value in values]
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return check


def _grpc_target(context: click.Context, parameter: click.Parameter, text: str) -> str:
    from conversations.importer import read_target

    try:
        return read_target(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _readable_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    if url is not None:
        from conversations.store.redis_url import open_redis

        try:
            open_redis(url, 1, 1)
        except ServiceError as error:
            raise click.BadParameter(error.message) from error
    return url


class _Folder(click.Path):
    """A folder that has a name: an empty one is that of the working directory, which nobody means."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value == "":
            self.fail("it has no name", parameter, context)
        return super().convert(value, parameter, context)


class _Port(click.types.IntParamType):
    """A number from 0 to 65535."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        port = super().convert(value, parameter, context)
        if not 0 <= port <= 65535:
            self.fail(f"{port} is not in the range 0<=x<=65535.", parameter, context)
        return port


_PORT = _Port()


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="conversation-service", prog_name="conversations")
def main() -> None:
    """The inbox of a messaging platform as one service.

    Start with `conversations up --demo`, then ask http://127.0.0.1:8080/conversations.list.
    """


@main.command()
@click.option(
    "--http-port",
    default=8080,
    show_default=True,
    type=_PORT,
    help="Port of Envoy: JSON, gRPC and gRPC-Web. 0: any free.",
)
@click.option(
    "--grpc-port", default=50051, show_default=True, type=_PORT, help="Port that all workers share. 0: any free."
)
@click.option(
    "--redis-url",
    envvar="CONVERSATIONS_REDIS_URL",
    show_envvar=True,
    callback=_readable_url,
    help="An existing Redis with the search module; without it one is started. Give a URL with a password in the "
    "variable: options stand in the list of processes.",
)
@click.option(
    "--data-dir",
    default=".data",
    show_default=True,
    type=_Folder(),
    help="Where the started Redis keeps its data, and all their logs; for this user alone.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="gRPC worker processes.")
@click.option(
    "--partitions",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Partitions of an empty Redis; one with data keeps its own.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    callback=_checked("canonical_origin"),
    help="Origin whose web pages may call, as https://inbox.example.org; `*` for all, without credentials. May be "
    "repeated.",
)
@click.option(
    "--cors-header",
    "cors_headers",
    multiple=True,
    callback=_checked("header_name"),
    metavar="NAME",
    help="Request header that these pages may send beside the usual ones, as x-tenant. May be repeated.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    callback=_checked("host_name"),
    metavar="NAME",
    help="Name of the service beside localhost, 127.0.0.1 and [::1], as inbox.example.org: requests for any other are "
    "refused. May be repeated.",
)
@click.option(
    "--appendfsync",
    default="everysec",
    show_default=True,
    type=click.Choice(["everysec", "always"]),
    help="When the started Redis flushes its log to the disk: once a second, or before each answer.",
)
@click.option(
    "--max-log-bytes",
    default=16 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(4096),
    help="Size above which a log is rotated; one older file of each is kept.",
)
@click.option("--demo", is_flag=True, help="Load a small demo data set into an empty store, and print how to ask it.")
def up(**options: Any) -> None:
    """Run everything on this machine: Redis with RediSearch, gRPC workers, Envoy.

    Prints `ready http://... grpc://...` once all of them answer. Ctrl-C stops what was started, a second one at once.
    """
    # Workers read the same variables: what is wrong with one is said here, and at once.
    _settings()
    from conversations.local.up import UpOptions
    from conversations.local.up import up as run

    sys.exit(run(UpOptions(**options)))


@main.command()
def serve() -> None:
    """Run one gRPC server, for production.

    Settings come from CONVERSATIONS_* variables; see `conversations settings`. SIGTERM stops it gracefully: it says
    NOT_SERVING, waits, and lets running calls finish; a second one ends it at once.
    """
    settings = _settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # gRPC's core logs bytes of callers as they came, line feeds too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from conversations.server import serve as run

    try:
        run_until_stopped(run(settings))
    except ServiceError as error:
        raise click.ClickException(error.message) from error


@main.command()
def settings() -> None:
    """Print the settings of `serve`: variable, value, meaning, and where the value comes from.

    What `serve` would refuse is refused here too; exit code 1. Passwords are shown as `***`.
    """
    from conversations.store.redis_url import open_redis

    current = _settings()
    try:
        open_redis(current.redis_url.get_secret_value(), 1, 1)
    except ServiceError as error:
        raise click.ClickException(f"settings are wrong: {variable('redis_url')}: {error.message}") from error
    for name, field in Settings.model_fields.items():
        click.echo(f"{variable(name)}={shown(current, name)}")
        click.echo(click.wrap_text(" ".join((field.description or "").split()), 88, "    ", "    "))
        is_set, default = name in current.model_fields_set, shown(Settings.model_construct(), name)
        click.echo(f"    From the environment; default: {default or 'none'}" if is_set else "    Default")


@main.command("import")
@click.argument("file", metavar="FILE")
@click.option(
    "--target",
    default="127.0.0.1:50051",
    show_default=True,
    callback=_grpc_target,
    help="gRPC address of a running server, as its ready line has it.",
)
def import_(file: str, target: str) -> None:
    """Send the event log FILE to a running server; `-` is standard input.

    An event log is JSON lines. A line that is bad is named with its number and the rest goes on; the exit code is 1
    then. It is safe to import a log again.
    """
    from conversations.importer import run_import

    sys.exit(run_import(file, target))


_redis_url = click.option(
    "--redis-url",
    envvar="CONVERSATIONS_REDIS_URL",
    show_envvar=True,
    callback=_readable_url,
    help="The Redis; without it, the one that runs under --data-dir.",
)
_data_dir = click.option(
    "--data-dir",
    default=".data",
    show_default=True,
    type=_Folder(),
    help="The --data-dir of a running `conversations up`.",
)


@main.command()
@_redis_url
@_data_dir
@click.option(
    "--output",
    "-o",
    type=click.File("w", "utf-8", lazy=True),
    default="-",
    show_default="standard output",
    help="File to write.",
)
def export(redis_url: str | None, data_dir: Path, output: Any) -> None:
    """Write everything as an event log that `import` restores.

    A record that is damaged is named and the rest goes on; the exit code is 1 then.
    """
    _run(_export(_redis_settings(redis_url, data_dir), output))


async def _export(settings: Settings, output: Any) -> None:
    from conversations.store import open_store

    left_out = 0

    def leave_out(kind: str, id: str) -> None:
        nonlocal left_out
        left_out += 1
        click.echo(f"left out, as it is damaged: {kind} {ascii(id)[1:-1]}", err=True)

    store = await open_store(settings)
    try:
        count = await store.export.count()
        # A file is there even if nothing comes; and not before Redis has answered, since it may be an older export.
        _write(output, [])
        with _progress(count, "exporting") as bar:
            async for conversations, lines in store.export.batches(leave_out):
                _write(output, lines)
                bar.update(conversations)
    finally:
        await store.close()
    if left_out:
        click.echo(f"records left out: {left_out}; `conversations doctor` tells more", err=True)
        sys.exit(1)


def _write(output: Any, lines: Sequence[str]) -> None:
    try:
        output.writelines(f"{line}\n" for line in lines)
        # What cannot be written is said, and not found out when the program has ended.
        output.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        name = output.name
        if name in ("-", "<stdout>"):
            name = "standard output"
        else:
            # Otherwise click tries once more to write what is left, and fails in other words.
            with suppress(OSError):
                output.close()
        raise click.ClickException(f"cannot write {name}: {error.strerror}; the export is not whole") from error


@main.command()
@_redis_url
@_data_dir
def reindex(redis_url: str | None, data_dir: Path) -> None:
    """Build a fresh index beside the live one and swap it in, while the service runs."""
    _run(_reindex(_redis_settings(redis_url, data_dir)))
    click.echo("the fresh index is live")


async def _reindex(settings: Settings) -> None:
    from conversations.store import open_store

    store = await open_store(settings, any_schema=True)
    try:
        with _progress(1000, "indexing") as bar:
            async for part in store.rebuild_index():
                bar.update(int(1000 * part) - bar.pos)
    finally:
        await store.close()


@main.command()
@_redis_url
@_data_dir
@click.option("--repair", is_flag=True, help="Mend what is wrong; what cannot be mended is set aside, and named.")
@click.option("--verbose", is_flag=True, help="Name everything that is wrong, not only a few of each kind.")
def doctor(redis_url: str | None, data_dir: Path, repair: bool, verbose: bool) -> None:
    """Compare everything in Redis with what it follows from, and say what is wrong.

    It works while the service runs. The exit code is 0 where all is well, with --repair also where it is now, and 1
    otherwise. What is set aside stays in Redis, under keys that begin with `damaged:`.
    """
    _run(_doctor(_redis_settings(redis_url, data_dir), repair=repair, verbose=verbose))


async def _doctor(settings: Settings, *, repair: bool, verbose: bool) -> None:
    from conversations.store.doctor import Doctor, Findings

    doctor = await Doctor.open(settings)
    mended, left = Findings(), Findings()
    try:
        with _progress(await doctor.key_count(), "examining") as bar:
            if repair:
                mended, left = await doctor.repair(bar.update)
            else:
                left = await doctor.examine(advance=bar.update)
    finally:
        await doctor.close()
    for sentence in mended.sentences(mended=True, verbose=verbose):
        click.echo(f"mended: {sentence}")
    for sentence in left.sentences(verbose=verbose):
        click.echo(sentence)
    if left:
        if not repair:
            click.echo("`conversations doctor --repair` mends what can be mended")
        sys.exit(1)
    click.echo("everything is as it should be now" if mended else "everything is as it should be")


@main.command()
@click.argument("text", metavar="FILTER")
def explain(text: str) -> None:
    """Show how FILTER is understood, field by field, and the RediSearch query; or what is wrong with it, and where."""
    from conversations.filters import compile_filter, explain_text

    try:
        click.echo(explain_text(compile_filter(text)))
    except FilterError as error:
        click.echo(text, err=True)
        click.echo(" " * error.position + "^", err=True)
        raise click.ClickException(error.message) from error


def _progress(length: int, label: str) -> Any:
    """A bar on a terminal, nothing elsewhere."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def _settings(**values: Any) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        wrong = "; ".join(_what_is_wrong(**found) for found in error.errors())
        raise click.ClickException(f"settings are wrong: {wrong}") from error


# What pydantic says, in other words.
_WRONG_SETTINGS = {
    "int_parsing": "has to be a whole number",
    "int_parsing_size": "has to be a whole number",
    "float_parsing": "has to be a number",
    "greater_than": "has to be more than {gt}",
    "greater_than_equal": "has to be {ge} or more",
    "less_than_equal": "has to be {le} or less",
    "literal_error": "has to be {expected}",
    # Of `host` alone.
    "string_pattern_mismatch": "has to be a name or an address, without blanks and slashes",
}


def _what_is_wrong(
    *, type: str, loc: tuple[int | str, ...], msg: str, ctx: Mapping[str, Any] | None = None, **_: Any
) -> str:
    ours = _WRONG_SETTINGS.get(type)
    sentence = ours.format_map(ctx or {}) if ours else msg.removeprefix("Value error, ")
    return f"{variable(str(loc[0]))}: {sentence}" if loc else sentence


def _redis_settings(redis_url: str | None, data_dir: Path) -> Settings:
    """Return settings for the Redis that a command is to work on."""
    if redis_url is None:
        from conversations.local.redis import running_url

        redis_url = running_url(data_dir)
    if redis_url is None:
        raise click.ClickException(
            f"no Redis runs under {data_dir}: start `conversations up`, or name one with --redis-url"
        )
    return _settings(redis_url=SecretStr(redis_url))


def _run(task: Coroutine[Any, Any, None]) -> None:
    """Run a task; an error of ours ends in one sentence."""
    # Where the store is away the command ends, and says so itself.
    logging.getLogger("conversations.store.redis_errors").setLevel(logging.ERROR)
    try:
        run_until_stopped(task)
    except StoreUnavailableError as error:
        from conversations.store.outages import explain_outage

        raise click.ClickException(explain_outage(error)) from error
    except ServiceError as error:
        raise click.ClickException(error.message) from error
