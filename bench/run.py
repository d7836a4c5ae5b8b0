"""Measures the service and what it is compared with, with one number of conversations."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import calls, engine, generators, servers
from bench.calls import MESSAGES_PER_SECOND, PAGE_SIZE, Call
from bench.corpus import Row, new_messages, rows
from bench.generators import Load, repeat, send_each
from bench.measure import Contender, compare
from bench.peers import postgres
from bench.progress import tell
from bench.results import ENVOY_FLOOR, FCALL, FLOOR, OURS, POSTGRES, DisagreementError, Results, Value, meanwhile
from bench.servers import Server, Service
from bench.shapes import ALL, FILTERED, WITH_WRITES

from conversations.v1.conversation_service_pb2 import ListConversationsResponse

__all__ = ["Options", "measure"]

_FAR_PAGE = 5000
_BATCH = 100
# More than any server takes in a round, so that none is sent twice.
_SINGLES_PER_SECOND, _BATCHES_PER_SECOND = 8000, 300
_CHANGING_TOLERANCE = 0.1

_Supply = Callable[[float], list[Call]]
"""Makes the calls for so many seconds, other ones each time; a single one is repeated."""


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure, and what."""

    seconds: float
    """Of each round."""
    rounds: int
    only: Sequence[str] = ()
    """Scenarios whose names hold one of these texts; empty is all."""


def measure(conversations: int, options: Options, results: Results) -> None:
    """Load so many conversations everywhere, then measure everything.

    Args:
        conversations: How many.
        options: How long to measure, and what.
        results: Grows by what is found.

    Raises:
        DisagreementError: The servers give different answers.
        LoadError: A call failed.
    """

    def note(name: str, value: float, unit: str) -> None:
        results.values.append(Value(conversations, name, value, unit))
        tell(f"{name}: {value:,.1f} {unit}")

    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as cleanup:
        folder = Path(name)
        with servers.service(folder / "data") as service:
            note("ready on an empty directory", service.ready_seconds, "s")
            empty = servers.used_memory(service)
            tell(f"loading {conversations:,} conversations")
            servers.fill(service, conversations)
        service = cleanup.enter_context(servers.service(folder / "data"))
        note("ready on the data", service.ready_seconds, "s")
        note(
            "memory of a conversation, after a restart", (servers.used_memory(service) - empty) / conversations, "bytes"
        )
        database = cleanup.enter_context(postgres.throwaway_postgres())
        tell("loading PostgreSQL")
        asyncio.run(postgres.load(database.address, rows(conversations, user_data=False)))
        peer = cleanup.enter_context(servers.peer(database, folder))
        size = _Size(conversations, options, results, service, peer)
        with servers.floor(size.answers, folder) as floor, servers.envoy_before(floor, folder) as envoy:
            size.measure(floor, envoy)
        note("memory of the worker", service.worker_bytes / 1e6, "MB")


class _Size:
    """The service and its peer, running and loaded with so many conversations."""

    def __init__(self, conversations: int, options: Options, results: Results, service: Service, peer: Server) -> None:
        self._conversations = conversations
        self._options = options
        self._results = results
        self._service = service
        self._peer = peer
        self._messages = new_messages(conversations)
        self._known = next(rows(conversations, user_data=False)).id
        first = calls.ingest([next(self._messages)])
        servers.post(peer, first.path, first.body)
        asked = [calls.list_page(), calls.get(self._known), first]
        self.answers = {call.method: service.ask(call.method, call.message) for call in asked}
        """What the service answers, by method: the floor answers the same."""
        self.answers[calls.mark_read(self._known).method] = b""

    def measure(self, floor: Server, envoy: Server) -> None:
        """Measure reads first: afterwards the servers have taken in different numbers of messages."""
        self._floor, self._envoy = floor, envoy
        self._check_agreement()
        self._compare("get", _repeated(calls.get(self._known)), OURS, FLOOR, FCALL, POSTGRES)
        self._compare(ALL.name, _repeated(calls.list_page()), OURS, FLOOR, FCALL, POSTGRES)
        for shape in FILTERED:
            self._compare(shape.name, _repeated(calls.list_page(shape)), OURS, FCALL, POSTGRES)
        # With 100,000 conversations page 5,000 is the last one, and short by what a last page need not do.
        far = min(_FAR_PAGE, self._conversations // PAGE_SIZE - 1)
        for name, number in (("page 2", 2), ("page 5,000", far)):
            if self._wants(name):
                self._compare(name, _repeated(self._page(number)), OURS, FLOOR, FCALL, POSTGRES)
        for name, call in (("get, JSON", calls.get(self._known)), ("list of 20, JSON", calls.list_page())):
            self._compare(name, _repeated(call), OURS, ENVOY_FLOOR, POSTGRES, by_json=True)
        with generators.meanwhile(lambda: self._ask(calls.ingest([next(self._messages)])), MESSAGES_PER_SECOND):
            for shape in (ALL, *(shape for shape in FILTERED if shape.name in WITH_WRITES)):
                stacks = [OURS, FLOOR] if shape is ALL else [OURS]
                supply = _repeated(calls.list_page(shape))
                self._compare(meanwhile(shape.name), supply, *stacks, tolerance=_CHANGING_TOLERANCE)
        self._compare("ingest, single", self._ingests(1, _SINGLES_PER_SECOND), OURS, FLOOR, POSTGRES)
        self._compare(f"ingest, batches of {_BATCH}", self._ingests(_BATCH, _BATCHES_PER_SECOND), OURS, POSTGRES)
        self._compare("mark read", self._reads, OURS, FLOOR, POSTGRES)
        self._compare("90 % reads, 10 % writes", self._mix, OURS, FLOOR, POSTGRES)

    def _check_agreement(self) -> None:
        """Compare totals and first pages of the service and its peer."""
        for shape in (ALL, *FILTERED):
            call = calls.list_page(shape)
            ours = ListConversationsResponse.FromString(self._ask(call))
            theirs: Any = servers.post(self._peer, call.path, call.body)
            pagination = theirs["pagination_data"]
            totals = ours.pagination_data.filtered_total, ours.pagination_data.total
            if totals != (pagination["filtered_total"], pagination["total"]):
                raise DisagreementError(f"{shape.name}: {totals} by the service, {pagination} by the peer")
            if [conversation.id for conversation in ours.data] != [item["id"] for item in theirs["data"]]:
                raise DisagreementError(f"{shape.name}: the service and its peer list other conversations")
            tell(f"{shape.name}: {totals[0]:,} of {totals[1]:,}, both agree")

    def _page(self, number: int) -> Call:
        """Return the call for a page, by the cursors of the one before."""
        # A cursor of digits is an offset.
        before = calls.list_page(cursor=str(PAGE_SIZE * (number - 2)) if number > 2 else "")
        ours = ListConversationsResponse.FromString(self._ask(before)).pagination_data.next_cursor
        theirs, left = "", PAGE_SIZE * (number - 1)
        while left:
            size = min(100, left)
            page: Any = servers.post(self._peer, before.path, {"page_size": size, "cursor": theirs})
            theirs, left = page["pagination_data"]["next_cursor"], left - size
        return calls.list_page(cursor=ours, peer_cursor=theirs)

    def _ingests(self, size: int, calls_per_second: int) -> _Supply:
        return lambda seconds: [
            calls.ingest(list(islice(self._messages, size))) for _ in range(ceil(calls_per_second * seconds))
        ]

    def _reads(self, seconds: float) -> list[Call]:
        return [calls.mark_read(row.id) for row in islice(self._messages, ceil(_SINGLES_PER_SECOND * seconds))]

    def _mix(self, seconds: float) -> list[Call]:
        """Of ten calls, six ask for the list, three for a conversation, and one brings a message."""
        make: dict[str, Callable[[Row], Call]] = {
            "L": lambda _: calls.list_page(),
            "G": lambda message: calls.get(message.id),
            "I": lambda message: calls.ingest([message]),
        }
        plan = islice(cycle("LGLLGLILGL"), ceil(_SINGLES_PER_SECOND * seconds))
        return [make[kind](next(self._messages)) for kind in plan]

    def _wants(self, scenario: str) -> bool:
        return not self._options.only or any(text in scenario for text in self._options.only)

    def _compare(
        self, scenario: str, supply: _Supply, *stacks: str, by_json: bool = False, tolerance: float = 0.0
    ) -> None:
        if not self._wants(scenario):
            return
        made = [self._contender(stack, supply, by_json, tolerance) for stack in stacks]
        contenders = [contender for contender in made if contender is not None]
        seconds, rounds = self._options.seconds, self._options.rounds
        figures = compare(self._conversations, scenario, contenders, seconds=seconds, rounds=rounds)
        self._results.figures += figures
        tell(f"{scenario}: " + ", ".join(f"{figure.stack} {figure.calls_per_second:,.0f}/s" for figure in figures))

    def _contender(self, stack: str, supply: _Supply, by_json: bool, tolerance: float) -> Contender | None:
        if stack == FCALL:
            [call] = supply(0.0)
            self._ask(call)  # so that the worker has learned what it keeps
            command = engine.captured(self._service.redis_url, lambda: self._ask(call))
            if not engine.can_repeat(command):
                return None
            return Contender(stack, [self._service.redis_pid], engine.caller(self._service.redis_url, command))
        grpc = not by_json and stack != POSTGRES
        ours = self._service.grpc if grpc else self._service.json
        server = {OURS: ours, FLOOR: self._floor, ENVOY_FLOOR: self._envoy, POSTGRES: self._peer}[stack]

        def run(seconds: float) -> Load:
            first, *others = supply(seconds)
            # Asked for just before: on a server that changes, the size does too.
            size = None if not grpc else len(self._ask(first) if stack == OURS else self.answers[first.method])
            if not others:
                return repeat(server.address, first, seconds, grpc=grpc, answer_bytes=size, tolerance=tolerance)
            if any(call.method != first.method for call in others):
                size = None
            return send_each(server.address, others, seconds, grpc=grpc, answer_bytes=size)

        return Contender(stack, server.pids, run)

    def _ask(self, call: Call) -> bytes:
        return self._service.ask(call.method, call.message)


def _repeated(call: Call) -> _Supply:
    return lambda _: [call]
