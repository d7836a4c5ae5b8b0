"""Filters that match much, as a worker answers them that has never seen them, beside PostgreSQL with pg_trgm.

    .venv/bin/python -m bench.filters --conversations 150000

Redis runs one command at a time, so a long one keeps everybody waiting, and a worker pays for a filter once: each first
answer is that of a worker of its own, and nothing that workers tell each other is left. bench/README.md says what is
measured. The tables go to standard output.
"""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import click
import grpc
import redis
from bench import calls, generators, servers
from bench.answers import FirstAnswer, figure_of
from bench.calls import MESSAGES_PER_SECOND, Call
from bench.corpus import new_messages, rows
from bench.generators import LoadError
from bench.peers import postgres
from bench.progress import tell
from bench.results import DisagreementError, FilterFigure, Results, Value, tables
from bench.servers import Ask, Service, StartError
from bench.shapes import ALL, BROAD, PLAIN, WORST, Shape
from bench.targets import targets

from conversations.v1.conversation_service_pb2 import ListConversationsResponse

__all__ = ["measure"]

_ROUNDS = 3
_AGAIN, _AGAIN_PER_SECOND = 20, 10
# As Redis knows the connections of the worker that is measured, and that of the benchmark.
_MEASURED = "measured"
_SLOWLOG_ENTRIES = 50_000
# With less, Redis also logs what its functions do, which makes them slower.
_LOGGED_US = 300
# Filters that no other is measured by: of each kind, so that a worker has all connections.
_WARM_UPS = (Shape("", "display_name:qqqqqq*"), Shape("", "state:closed"))
_REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DEADLINE_EXCEEDED)


@click.command(help=__doc__)
@click.option("--conversations", multiple=True, default=[150_000], show_default=True, help="How many; may be repeated.")
@click.option("--rounds", default=_ROUNDS, show_default=True, help="First answers of each filter; the median counts.")
@click.option("--only", multiple=True, help="Part of a filter, or of what it is called; may be repeated.")
def main(conversations: tuple[int, ...], rounds: int, only: tuple[str, ...]) -> None:
    """Measure every filter, print the tables."""
    if postgres.find_programs() is None:
        raise click.ClickException("PostgreSQL not found; on Debian: apt-get install postgresql")
    # As Ctrl-C does, it ends the blocks that stop what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results()
    try:
        for count in conversations:
            measure(count, results, rounds=rounds, only=only)
    except (DisagreementError, LoadError, StartError, subprocess.CalledProcessError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        # What a long run has found so far is not lost with its end.
        click.echo(tables(results, targets(results)))


def measure(conversations: int, results: Results, *, rounds: int = _ROUNDS, only: Sequence[str] = ()) -> None:
    """Load so many conversations into a service and a PostgreSQL of their own, then measure every filter.

    Args:
        conversations: How many.
        results: Grows by what is found.
        rounds: How many first answers there are of each filter.
        only: Filters that hold one of these texts, or whose names do; empty is all.

    Raises:
        DisagreementError: The service and PostgreSQL give different answers.
        LoadError: Nothing was measured.
    """
    shapes = [
        shape
        for shape in (*BROAD, *PLAIN, *WORST)
        if not only or any(text in shape.name or text in shape.filters for text in only)
    ]
    if not shapes:
        return
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as cleanup:
        folder = Path(name)
        with servers.service(folder / "data") as service:
            empty = servers.used_memory(service)
            tell(f"loading {conversations:,} conversations for the filters")
            servers.fill(service, conversations, user_data=True)
        # As after a deploy: Redis has loaded its file.
        service = cleanup.enter_context(servers.service(folder / "data"))
        size = (servers.used_memory(service) - empty) / conversations
        results.values.append(Value(conversations, "memory of a conversation with user data", size, "bytes"))
        database = cleanup.enter_context(postgres.throwaway_postgres())
        asyncio.run(postgres.load(database.address, rows(conversations), for_filters=True))
        client = cleanup.enter_context(redis.Redis.from_url(service.redis_url, protocol=2))
        client.config_set("slowlog-log-slower-than", _LOGGED_US)
        client.config_set("slowlog-max-len", _SLOWLOG_ENTRIES)
        found = []
        for shape in shapes:
            answers = [_first_answer(service, client, shape, folder) for _ in range(rounds)]
            peer = asyncio.run(postgres.ask(database.address, shape)) if shape.clauses else None
            found.append(figure_of(conversations, shape.name, answers, peer))
            tell(_told(found[-1]))
        # Messages change the order and what is unread, in the service alone: there is nothing to be compared with then.
        again = _ask_again(service, client, shapes, folder, conversations)
        results.filters += [replace(figure, again_ms=again.get(figure.filter, figure.again_ms)) for figure in found]


def _told(figure: FilterFigure) -> str:
    found = figure.refused or f"{figure.first_ms:.1f} ms, PostgreSQL {figure.postgres_ms:.1f} ms"
    return f"{figure.filter}: {found}; longest command {figure.longest_ms:.1f} ms"


def _first_answer(service: Service, client: "redis.Redis", shape: Shape, folder: Path) -> FirstAnswer:
    with _unused_worker(service, client, folder) as ask:
        client.slowlog_reset()
        call = calls.list_page(shape)
        start = time.perf_counter()
        try:
            reply = _answer(ask, call)
        except _RefusedError as refusal:
            return FirstAnswer(0.0, _commands_ms(client), 0, (), str(refusal))
        seconds = time.perf_counter() - start
        answer = ListConversationsResponse.FromString(reply)
        ids = [conversation.id for conversation in answer.data]
        return FirstAnswer(seconds, _commands_ms(client), answer.pagination_data.filtered_total, ids)


@contextmanager
def _unused_worker(service: Service, client: "redis.Redis", folder: Path) -> Iterator[Ask]:
    """Run a worker that is connected."""
    with servers.worker(service.redis_url, folder, _MEASURED) as ask:
        for call in map(calls.list_page, (ALL, *_WARM_UPS)):
            _answer(ask, call)
        # What workers know together of filters that one of them was asked.
        for keys in _batches(client.scan_iter("known:*", count=10_000)):
            client.unlink(*keys)
        yield ask


def _batches(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    found = list(keys)
    for start in range(0, len(found), 1000):
        yield found[start : start + 1000]


class _RefusedError(Exception):
    """Raised when the service does not answer a filter; says why."""


def _answer(ask: Ask, call: Call) -> bytes:
    try:
        return ask(call.method, call.message)
    except grpc.RpcError as error:
        if error.code() in _REFUSALS:
            raise _RefusedError(re.sub(r"[\n|]", " ", (error.details() or "").partition(";")[0])) from error
        raise


def _commands_ms(client: "redis.Redis") -> list[float]:
    """Return how long Redis took for each function call of the worker that is measured, since the log was emptied.

    Raises:
        LoadError: There were more than the log holds.
    """
    found = client.slowlog_get(_SLOWLOG_ENTRIES)
    if len(found) >= _SLOWLOG_ENTRIES:
        raise LoadError("Redis ran more commands than its log holds")
    own = (entry for entry in found if entry["client_name"] == _MEASURED.encode())
    return [entry["duration"] / 1000 for entry in own if entry["command"].startswith(b"FCALL")]


def _ask_again(
    service: Service, client: "redis.Redis", shapes: Sequence[Shape], folder: Path, conversations: int
) -> dict[str, float]:
    """Return, by name, Redis' milliseconds for an answer that a worker gives again, as messages come in."""
    found = {}
    messages = new_messages(conversations)

    def bring_message() -> None:
        call = calls.ingest([next(messages)])
        service.ask(call.method, call.message)

    with servers.worker(service.redis_url, folder, _MEASURED) as ask:
        for shape in shapes:
            call = calls.list_page(shape)
            with suppress(_RefusedError):
                _answer(ask, call)
                with generators.meanwhile(bring_message, MESSAGES_PER_SECOND):
                    found[shape.name] = _mean_ms(client, partial(_answer, ask, call))
                tell(f"{shape.name}, again: {found[shape.name]:.2f} ms of Redis")
    return found


def _mean_ms(client: "redis.Redis", ask: Callable[[], object]) -> float:
    times = []
    for _ in range(_AGAIN):
        time.sleep(1 / _AGAIN_PER_SECOND)
        client.config_resetstat()
        ask()
        # The messages that come in meanwhile are written by other calls.
        times.append(client.info("commandstats")["cmdstat_fcall_ro"]["usec"] / 1000)
    return fmean(times)


if __name__ == "__main__":
    main()
