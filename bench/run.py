"""Measures the service and its peers, with one number of conversations."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import grpc
import redis
from bench import engine, loads
from bench.corpus import rows
from bench.load import load
from bench.loads import Load
from bench.measure import Contender, compare
from bench.peers import postgres, redis_schema
from bench.processes import cpu_seconds, resident_bytes
from bench.results import ENVOY_FLOOR, FCALL, FLOOR, OURS, POSTGRES, REDIS, SEARCH, Results, Value
from bench.scenarios import FILTERED, PAGE_SIZE, WITH_WRITES, Shape
from bench.stack import (
    Peer,
    Service,
    envoy_before,
    post,
    redis_pid,
    running_floor,
    running_peer,
    running_service,
    throwaway_search,
)
from bench.targets import meanwhile
from bench.writes import NewMessage, events_request, messages_body, new_messages, written_meanwhile
from pydantic import SecretStr

from conversations.filters import compile_filter
from conversations.settings import Settings
from conversations.store import open_store
from conversations.times import format_time
from conversations.v1.conversation_service_pb2 import (
    GetConversationRequest,
    ListConversationsRequest,
    ListConversationsResponse,
    MarkConversationReadRequest,
)
from conversations.v1.ingest_service_pb2 import IngestEventsResponse

__all__ = ["DisagreementError", "Options", "measure"]

_SERVICE = "/conversations.v1.ConversationService"
_LIST, _GET, _READ = f"{_SERVICE}/ListConversations", f"{_SERVICE}/GetConversation", f"{_SERVICE}/MarkConversationRead"
_INGEST = "/conversations.v1.IngestService/IngestEvents"

_START = time.monotonic()
_MEMORY = "memory of a conversation"
_DEFAULT = Shape("list of 20", "")
_FAR_PAGE = 5000
_BATCH = 100
# More than any server takes in a round, so that none is sent twice.
_SINGLES_PER_SECOND, _BATCHES_PER_SECOND = 8000, 400
_TEMPLATE_MESSAGES = 400
_CHANGING_TOLERANCE = 0.1
_WRITES_MEANWHILE_PER_SECOND = 50
_SPLIT_CONNECTIONS, _SPLIT_CALLS_PER_SECOND = 128, 8


class DisagreementError(Exception):
    """Raised when two servers answer the same question differently: their speeds cannot be compared."""


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure."""

    seconds: float
    """Of each round."""
    rounds: int
    user_data: bool = False
    """Whether to measure the memory of conversations with user data too."""
    only: Sequence[str] = ()
    """Scenarios whose names hold one of these texts; empty is all."""

    def wants(self, scenario: str) -> bool:
        """Return whether a scenario is to be measured."""
        return not self.only or any(text in scenario for text in self.only)


def measure(conversations: int, options: Options, results: Results, *, once: bool) -> None:
    """Load so many conversations everywhere, then measure everything.

    Args:
        conversations: How many.
        options: How long to measure.
        results: Grows by what is found.
        once: Measure too what does not depend on the number of conversations.

    Raises:
        DisagreementError: The servers give different answers.
        LoadError: A call failed.
    """
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        empty = _load_service(conversations, folder, results)
        with ExitStack() as cleanup:
            service = cleanup.enter_context(running_service(folder / "data"))
            _note(results, conversations, "ready on the data", service.ready_seconds, "s")
            _note_memory(results, conversations, f"{_MEMORY}, after a restart", service.redis_url, empty)
            size = _Size(conversations, options, results, service, folder, cleanup)
            size.measure()
        if once:
            _measure_split(conversations, folder, results)
            if options.user_data:
                _measure_user_data(conversations, results)


def _load_service(conversations: int, folder: Path, results: Results) -> int:
    """Load the service's data directory; return the bytes that its Redis had used before."""
    with running_service(folder / "data") as service:
        _note(results, conversations, "ready on an empty directory", service.ready_seconds, "s")
        return _load_store(service.redis_url, conversations, results, _MEMORY, user_data=False)


def _load_store(url: str, conversations: int, results: Results, name: str, *, user_data: bool) -> int:
    async def fill() -> None:
        store = await open_store(Settings(redis_url=SecretStr(url)))
        try:
            await load(store, conversations, user_data=user_data)
        finally:
            await store.close()

    empty = _used_memory(url)
    with _timed(f"loading {conversations:,} conversations"):
        asyncio.run(fill())
    _note_memory(results, conversations, name, url, empty)
    return empty


def _note_memory(results: Results, conversations: int, name: str, url: str, empty: int) -> None:
    _note(results, conversations, name, (_used_memory(url) - empty) / conversations, "bytes")


def _used_memory(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])


def _measure_user_data(conversations: int, results: Results) -> None:
    with throwaway_search() as url:
        _load_store(url, conversations, results, f"{_MEMORY} with user data", user_data=True)


def _measure_split(conversations: int, folder: Path, results: Results) -> None:
    """Note how two workers share the calls: by their CPU time at a rate that keeps neither busy."""
    message = ListConversationsRequest(page_size=PAGE_SIZE).SerializeToString()
    with running_service(folder / "data", workers=2) as service:
        for way, target in (
            ("through Envoy", service.http_url.removeprefix("http://")),
            ("shared port", service.target),
        ):
            before = [cpu_seconds([pid]) for pid in service.worker_pids]
            loads.h2load(
                target,
                _LIST,
                message,
                4.0,
                connections=_SPLIT_CONNECTIONS,
                calls_per_second=_SPLIT_CALLS_PER_SECOND,
            )
            used = [cpu_seconds([pid]) - start for pid, start in zip(service.worker_pids, before, strict=True)]
            share = 100 * min(used) / sum(used)
            _note(results, conversations, f"smaller share of two workers, {way}", share, "%")


class _Size:
    """All servers, running and loaded with so many conversations."""

    def __init__(
        self,
        conversations: int,
        options: Options,
        results: Results,
        service: Service,
        folder: Path,
        cleanup: ExitStack,
    ) -> None:
        self._conversations = conversations
        self._options = options
        self._results = results
        self._service = service
        self._folder = folder
        self._channel = cleanup.enter_context(grpc.insecure_channel(service.target))
        self._engine_pid = redis_pid(service.redis_url)
        self._sample = list(islice(rows(conversations, user_data=False), 2000))
        self._messages = new_messages(conversations)
        self._cleanup = cleanup
        one = next(self._messages)
        self._answers = {
            _LIST: self._call(_LIST, _list_request()),
            _GET: self._call(_GET, _get_request(self._sample[0].id)),
            _INGEST: self._call(_INGEST, events_request([one])),
            _READ: b"",
        }
        self._floor = cleanup.enter_context(running_floor(self._answers, folder))
        self._peers = self._start_peers()
        for peer in self._peers.values():
            post(peer.url, "/messages.ingest", messages_body([one]))

    def measure(self) -> None:
        """Measure reads first: afterwards the servers have taken in different numbers of messages."""
        queries = self._check_agreement()
        self._measure_get()
        self._measure_lists(queries)
        self._measure_pages()
        self._measure_json()
        self._measure_with_writes(queries)
        self._measure_ingest("ingest, single", 1, _SINGLES_PER_SECOND)
        self._measure_ingest(f"ingest, batches of {_BATCH}", _BATCH, _BATCHES_PER_SECOND)
        self._measure_mark_read()
        self._measure_mix()
        worker = max(resident_bytes(pid) for pid in self._service.worker_pids)
        _note(self._results, self._conversations, "memory of the worker", worker / 1e6, "MB")

    def _start_peers(self) -> dict[str, Peer]:
        database = self._cleanup.enter_context(postgres.throwaway_postgres())
        with _timed("loading PostgreSQL"):
            asyncio.run(postgres.load(database.dsn, rows(self._conversations, user_data=False)))
        url = self._cleanup.enter_context(throwaway_search())
        with _timed("loading the peer's Redis"):
            asyncio.run(redis_schema.load(url, rows(self._conversations, user_data=False)))
        self._results.about["PostgreSQL"] = database.version
        return {
            POSTGRES: self._cleanup.enter_context(
                running_peer("fastapi_postgres", ["--dsn", database.dsn], database.pid, self._folder)
            ),
            REDIS: self._cleanup.enter_context(
                running_peer("fastapi_redis", ["--redis-url", url], redis_pid(url), self._folder)
            ),
        }

    def _check_agreement(self) -> dict[str, str]:
        """Compare the totals of all servers, and the page of the one that has an order; return the engine's queries."""
        for shape in (_DEFAULT, *FILTERED):
            answer = ListConversationsResponse.FromString(self._call(_LIST, _list_request(shape.filters)))
            ours = answer.pagination_data.filtered_total, answer.pagination_data.total
            for stack, peer in self._peers.items():
                page = post(peer.url, "/conversations.list", {"page_size": PAGE_SIZE, **shape.clauses})
                pagination = page["pagination_data"]
                theirs = pagination["filtered_total"], pagination["total"]  # type: ignore[index]
                if ours != theirs:
                    raise DisagreementError(f"{shape.name}: {ours} by the service, {theirs} by {stack}")
                ids = [item["id"] for item in page["data"]]  # type: ignore[attr-defined]
                if stack == POSTGRES and ids != [conversation.id for conversation in answer.data]:
                    raise DisagreementError(f"{shape.name}: the service and {stack} list other conversations")
            _tell(f"{shape.name}: {ours[0]:,} of {ours[1]:,}, all agree")
        return asyncio.run(self._queries())

    async def _queries(self) -> dict[str, str]:
        store = await open_store(Settings(redis_url=SecretStr(self._service.redis_url)))
        try:
            found = {shape.name: await store.conversations.queries(compile_filter(shape.filters)) for shape in FILTERED}
        finally:
            await store.close()
        return {_DEFAULT.name: "*"} | {name: queries[0].text for name, queries in found.items()}

    def _measure_get(self) -> None:
        if not self._options.wants("get"):
            return
        message = _get_request(self._sample[0].id)
        self._compare(
            "get",
            [
                self._ours(_GET, message),
                self._of_floor(_GET, message),
                self._fcall(_GET, message),
                *self._of_peers("/conversations.info", [{"conversation_id": self._sample[0].id}]),
            ],
        )

    def _measure_lists(self, queries: dict[str, str]) -> None:
        for shape in (_DEFAULT, *FILTERED):
            if not self._options.wants(shape.name):
                continue
            message = _list_request(shape.filters)
            self._compare(
                shape.name,
                [
                    self._ours(_LIST, message),
                    *([] if shape.filters else [self._of_floor(_LIST, message)]),
                    self._fcall(_LIST, message),
                    self._search(queries[shape.name]),
                    *self._of_peers("/conversations.list", [{"page_size": PAGE_SIZE, **shape.clauses}]),
                ],
            )

    def _measure_pages(self) -> None:
        # With 100,000 conversations page 5,000 is the last one, and short by what a last page need not do.
        far = min(_FAR_PAGE, self._conversations // PAGE_SIZE - 1)
        for name, number in (("page 2", 2), ("page 5,000", far)):
            if not self._options.wants(name):
                continue
            message = _list_request(cursor=self._cursor_of(number))
            # Walking so far takes the peer on Redis minutes.
            peer = self._of_peer(
                POSTGRES,
                "/conversations.list",
                [{"page_size": PAGE_SIZE, "cursor": _walk(self._peers[POSTGRES], number)}],
            )
            self._compare(
                name,
                [self._ours(_LIST, message), self._of_floor(_LIST, message), self._fcall(_LIST, message), peer],
            )

    def _measure_json(self) -> None:
        """JSON through Envoy, before the worker and before the floor."""
        with ExitStack() as cleanup:
            envoy = cleanup.enter_context(envoy_before(self._floor, self._folder))
            calls: tuple[tuple[str, str, dict[str, object]], ...] = (
                ("get, JSON", "/conversations.info", {"conversation_id": self._sample[0].id}),
                ("list of 20, JSON", "/conversations.list", {"page_size": PAGE_SIZE}),
            )
            for name, path, body in calls:
                if not self._options.wants(name):
                    continue

                def supply(_: float, path: str = path, body: object = body) -> list[tuple[str, object]]:
                    return [(path, body)]

                self._compare(
                    name,
                    [
                        _by_wrk(OURS, [self._service.pid], self._service.http_url, supply),
                        _by_wrk(ENVOY_FLOOR, envoy.pids, envoy.url, supply),
                        *self._of_peers(path, [body]),
                    ],
                )

    def _measure_with_writes(self, queries: dict[str, str]) -> None:
        """The same lists while messages come in, at a steady rate that is the same for all."""

        def write() -> None:
            self._call(_INGEST, events_request([next(self._messages)]))

        for shape in (_DEFAULT, *(shape for shape in FILTERED if shape.name in WITH_WRITES)):
            if not self._options.wants(meanwhile(shape.name)):
                continue
            message = _list_request(shape.filters)
            contenders = [
                self._ours(_LIST, message, changing=True),
                *([] if shape.filters else [self._of_floor(_LIST, message)]),
                self._search(queries[shape.name]),
            ]
            with written_meanwhile(write, _WRITES_MEANWHILE_PER_SECOND):
                self._compare(meanwhile(shape.name), contenders)

    def _measure_ingest(self, scenario: str, size: int, calls_per_second: int) -> None:
        if not self._options.wants(scenario):
            return

        def batches(seconds: float) -> list[list[NewMessage]]:
            return [list(islice(self._messages, size)) for _ in range(ceil(calls_per_second * seconds))]

        def requests(seconds: float) -> list[tuple[str, bytes]]:
            return [(_INGEST, events_request(batch)) for batch in batches(seconds)]

        def bodies(seconds: float) -> list[tuple[str, object]]:
            return [("/messages.ingest", messages_body(batch)) for batch in batches(seconds)]

        accepted = IngestEventsResponse(accepted=size).SerializeToString()
        templates = self._captured_ingests(size)

        def commands(seconds: float) -> list[tuple[str, bytes]]:
            """One call's commands at once, as the worker sends them."""
            return [
                (str(len(template.commands)), engine.resp(template.renewed(self._messages)))
                for template, _ in zip(cycle(templates), range(ceil(calls_per_second * seconds)), strict=False)
            ]

        self._compare(
            scenario,
            [
                _by_pump(OURS, [self._service.pid], self._service.target, requests, len(accepted)),
                _by_pump(FLOOR, self._floor.pids, self._floor.address, _repeated(requests), None),
                _by_pump(FCALL, [self._engine_pid], self._service.redis_url, commands, None),
                *(_by_wrk(stack, peer.pids, peer.url, bodies) for stack, peer in self._peers.items()),
            ],
        )

    def _captured_ingests(self, size: int) -> list["_Template"]:
        """Have the service take in messages, and keep what it sent to Redis for them."""
        templates = []
        for _ in range(max(1, _TEMPLATE_MESSAGES // size)):
            batch = list(islice(self._messages, size))
            request = events_request(batch)
            commands = engine.captured(self._service.redis_url, lambda: self._call(_INGEST, request))  # noqa: B023
            templates.append(_Template(batch, commands))
        return templates

    def _measure_mark_read(self) -> None:
        scenario = "mark read"
        if not self._options.wants(scenario):
            return

        def ids_for(seconds: float) -> list[str]:
            return [next(self._messages).row.id for _ in range(ceil(_SINGLES_PER_SECOND * seconds))]

        def requests(seconds: float) -> list[tuple[str, bytes]]:
            return [(_READ, _read_request(id)) for id in ids_for(seconds)]

        def bodies(seconds: float) -> list[tuple[str, object]]:
            return [("/conversations.read", {"conversation_id": id}) for id in ids_for(seconds)]

        known = self._sample[0].id
        template = engine.captured(self._service.redis_url, lambda: self._call(_READ, _read_request(known)))

        def commands(seconds: float) -> list[tuple[str, bytes]]:
            return [
                (str(len(template)), engine.resp(engine.varied(template, {known.encode(): id.encode()})))
                for id in ids_for(seconds)
            ]

        self._compare(
            scenario,
            [
                _by_pump(OURS, [self._service.pid], self._service.target, requests, 0),
                _by_pump(FLOOR, self._floor.pids, self._floor.address, requests, 0),
                _by_pump(FCALL, [self._engine_pid], self._service.redis_url, commands, None),
                *(_by_wrk(stack, peer.pids, peer.url, bodies) for stack, peer in self._peers.items()),
            ],
        )

    def _measure_mix(self) -> None:
        """Of ten calls, six ask for the list, three for a conversation, and one brings a message."""
        scenario = "90 % reads, 10 % writes"
        if not self._options.wants(scenario):
            return
        plan = [_LIST, _GET, _LIST, _LIST, _GET, _LIST, _INGEST, _LIST, _GET, _LIST]

        def planned(seconds: float) -> Iterator[str]:
            return islice(cycle(plan), ceil(_SINGLES_PER_SECOND * seconds))

        def requests(seconds: float) -> list[tuple[str, bytes]]:
            make: dict[str, Callable[[], bytes]] = {
                _LIST: _list_request,
                _GET: lambda: _get_request(next(self._messages).row.id),
                _INGEST: lambda: events_request([next(self._messages)]),
            }
            return [(path, make[path]()) for path in planned(seconds)]

        def bodies(seconds: float) -> list[tuple[str, object]]:
            make: dict[str, Callable[[], tuple[str, object]]] = {
                _LIST: lambda: ("/conversations.list", {"page_size": PAGE_SIZE}),
                _GET: lambda: ("/conversations.info", {"conversation_id": next(self._messages).row.id}),
                _INGEST: lambda: ("/messages.ingest", messages_body([next(self._messages)])),
            }
            return [make[path]() for path in planned(seconds)]

        self._compare(
            scenario,
            [
                _by_pump(OURS, [self._service.pid], self._service.target, requests, None),
                _by_pump(FLOOR, self._floor.pids, self._floor.address, requests, None),
                *(_by_wrk(stack, peer.pids, peer.url, bodies) for stack, peer in self._peers.items()),
            ],
        )

    def _compare(self, scenario: str, contenders: Sequence[Contender | None]) -> None:
        present = [contender for contender in contenders if contender is not None]
        figures = compare(
            self._conversations,
            scenario,
            present,
            seconds=self._options.seconds,
            rounds=self._options.rounds,
        )
        self._results.figures += figures
        _tell(f"{scenario}: " + ", ".join(f"{figure.stack} {figure.calls_per_second:,.0f}/s" for figure in figures))

    def _call(self, path: str, message: bytes) -> bytes:
        """Return the answer to one call of the service, serialised."""
        call = self._channel.unary_unary(path, bytes, bytes)
        answer: bytes = call(message, timeout=60)
        return answer

    def _ours(self, path: str, message: bytes, *, changing: bool = False) -> Contender:
        def run(seconds: float) -> Load:
            # Asked for just before: on a server that changes, the size does too.
            size = len(self._call(path, message))
            tolerance = _CHANGING_TOLERANCE if changing else 0.0
            return loads.h2load(self._service.target, path, message, seconds, answer_bytes=size, tolerance=tolerance)

        return Contender(OURS, [self._service.pid], run)

    def _of_floor(self, path: str, message: bytes) -> Contender:
        size = len(self._answers[path])

        def run(seconds: float) -> Load:
            return loads.h2load(self._floor.address, path, message, seconds, answer_bytes=size)

        return Contender(FLOOR, self._floor.pids, run)

    def _fcall(self, path: str, message: bytes) -> Contender | None:
        """The function call that the worker sends for a call, once it has learned what it keeps."""
        self._call(path, message)
        url = self._service.redis_url
        commands = engine.captured(url, lambda: self._call(path, message))
        if len(commands) != 1:
            _tell(f"no function call to measure: the worker sends {len(commands)} of them")
            return None
        words = [word.decode() for word in commands[0]]
        return self._by_redis_benchmark(FCALL, words)

    def _search(self, query: str) -> Contender:
        return self._by_redis_benchmark(SEARCH, engine.plain_search(query))

    def _by_redis_benchmark(self, stack: str, words: Sequence[str]) -> Contender:
        url = self._service.redis_url
        # redis-benchmark takes an error for an answer like any other.
        with redis.Redis.from_url(url) as client:
            client.execute_command(*words)
        calls_per_second = loads.engine_rate(url, words)

        def run(seconds: float) -> Load:
            calls = max(loads.CONNECTIONS, round(calls_per_second * seconds))
            return loads.redis_benchmark(url, words, calls)

        return Contender(stack, [self._engine_pid], run, cuts_off=False)

    def _of_peers(self, path: str, bodies: Sequence[object]) -> Iterator[Contender]:
        for stack in self._peers:
            yield self._of_peer(stack, path, bodies)

    def _of_peer(self, stack: str, path: str, bodies: Sequence[object]) -> Contender:
        peer = self._peers[stack]
        return _by_wrk(stack, peer.pids, peer.url, lambda _: [(path, body) for body in bodies])

    def _cursor_of(self, number: int) -> str:
        """Return the cursor of a page: that of digits, which is an offset, leads to the page before it."""
        request = _list_request(cursor=str(PAGE_SIZE * (number - 2)) if number > 2 else "")
        page = ListConversationsResponse.FromString(self._call(_LIST, request))
        return page.pagination_data.next_cursor


@dataclass(frozen=True, slots=True)
class _Template:
    """Messages that the service took in, and what it sent to Redis for them."""

    messages: Sequence[NewMessage]
    commands: Sequence[engine.Command]

    def renewed(self, source: Iterator[NewMessage]) -> list[engine.Command]:
        """Return the commands for new messages of the same conversations."""
        replacements: dict[bytes, bytes] = {}
        for old in self.messages:
            new = next(source)
            replacements[old.id.encode()] = new.id.encode()
            replacements[str(old.sent_at_ms).encode()] = str(new.sent_at_ms).encode()
            replacements[format_time(old.sent_at_ms).encode()] = format_time(new.sent_at_ms).encode()
        return engine.varied(self.commands, replacements)


_Supply = Callable[[float], Sequence[tuple[str, Any]]]
"""Makes the requests for so many seconds, other ones each time."""


def _by_pump(stack: str, pids: Sequence[int], address: str, supply: _Supply, answer_bytes: int | None) -> Contender:
    def run(seconds: float) -> Load:
        with loads.prepared(supply(seconds)) as file:
            return loads.pump(address, file, seconds, answer_bytes=answer_bytes)

    return Contender(stack, pids, run, cuts_off=False)


def _by_wrk(stack: str, pids: Sequence[int], url: str, supply: _Supply) -> Contender:
    # Not warmed up: wrk runs for a second at least.
    return Contender(stack, pids, lambda seconds: loads.wrk(url, supply(seconds), seconds), warm_up_seconds=0.0)


def _repeated(supply: _Supply) -> _Supply:
    """For a server that reads nothing: few requests, many times."""
    return lambda seconds: [*supply(seconds / 10)] * 100


def _list_request(filters: str = "", cursor: str = "") -> bytes:
    request = ListConversationsRequest(page_size=PAGE_SIZE)
    if filters:
        request.filters = filters
    if cursor:
        request.cursor = cursor
    return request.SerializeToString()


def _get_request(id: str) -> bytes:
    return GetConversationRequest(conversation_id=id).SerializeToString()


def _read_request(id: str) -> bytes:
    return MarkConversationReadRequest(conversation_id=id).SerializeToString()


def _walk(peer: Peer, number: int) -> str:
    """Return a peer's cursor of a page of 20, by following cursors of larger pages to it."""
    cursor, left = "", PAGE_SIZE * (number - 1)
    while left:
        size = min(100, left)
        page: Any = post(peer.url, "/conversations.list", {"page_size": size, "cursor": cursor})
        cursor, left = page["pagination_data"]["next_cursor"], left - size
    return cursor


def _note(results: Results, conversations: int, name: str, value: float, unit: str) -> None:
    results.values.append(Value(conversations, name, value, unit))
    _tell(f"{name}: {value:,.1f} {unit}")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    _tell(what)
    start = time.monotonic()
    yield
    _tell(f"{what}: {time.monotonic() - start:.0f} s")


def _tell(message: str) -> None:
    click.echo(f"{time.monotonic() - _START:6.0f} s  {message}", err=True)
