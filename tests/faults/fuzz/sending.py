"""Sends malformed requests of all kinds, and counts what comes back."""

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.fuzz.calls import grpc_call, json_call, web_call
from tests.faults.fuzz.cases import Bytes, Call
from tests.faults.fuzz.clients import Connection, NotHttpError, exchange_bytes, exchange_frames, exchange_pipelined
from tests.faults.fuzz.http1 import raw_http1
from tests.faults.fuzz.http2 import raw_http2
from tests.faults.fuzz.messages import CHANNEL, CONVERSATIONS, SOURCE
from tests.faults.fuzz.oracle import Answer, problem_of

__all__ = ["KINDS", "Finding", "Ports", "Tally", "prepare", "random_of", "send", "send_all", "tidy"]

_SLICE = 2_000
_PIPELINED = 8
_EXAMPLES = 3
# INTERNAL_ERROR. A worker's gRPC library says it of what is no call in gRPC.
_RESET_BY_DEFECT = (2,)
# Some hundred streams, then another connection.
_STREAMS_PER_CONNECTION = 600


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to."""

    envoy: int
    worker: int


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer that should not be, and what it was an answer to."""

    kind: str
    number: int
    problem: str
    text: str
    request: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number}: {self.problem}\n  answer:  {self.text}\n  request: {self.request}"


@dataclass(slots=True)
class Tally:
    """What came back."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By kind."""
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and problem."""
    findings: list[Finding] = field(default_factory=list)
    """Some of each problem."""
    messages: Counter[str] = field(default_factory=Counter)
    """What errors say, without what they quote."""

    def note(self, kind: str, number: int, case: Any, problem: str, text: str = "") -> None:
        """Count a problem and keep it, unless there are some of it."""
        plain = re.sub(r"\d+", "N", problem)[:80]
        self.problems[kind, plain] += 1
        if self.problems[kind, plain] <= _EXAMPLES:
            self.findings.append(Finding(kind, number, problem, text[:500], repr(case)[:3000]))

    def judge(self, kind: str, number: int, case: Any, answer: Answer) -> None:
        """Count an answer."""
        if answer.reset is not None and not answer.status:
            self.outcomes[kind][f"reset {answer.reset}"] += 1
            if answer.reset in _RESET_BY_DEFECT and "worker" not in kind:
                self.note(kind, number, case, f"reset as {answer.reset}")
            return
        problem, message = problem_of(
            answer,
            has_deadline=not isinstance(case, Call) or case.has_deadline,
            without_body=isinstance(case, Bytes) and not answer.body,
            behind_envoy="worker" not in kind,
        )
        self.outcomes[kind][_outcome(answer)] += 1
        if message and len(self.messages) < 5000:
            self.messages[_template(message)] += 1
        if problem:
            self.note(kind, number, case, problem, f"{answer.status} {answer.headers} {answer.body[:300]!r}")

    def add(self, other: "Tally") -> None:
        """Add what another one counted."""
        for kind, outcomes in other.outcomes.items():
            self.outcomes[kind].update(outcomes)
        self.problems.update(other.problems)
        self.findings += other.findings
        self.messages.update(other.messages)


def _outcome(answer: Answer) -> str:
    status = answer.headers.get("grpc-status")
    return f"gRPC {status}" if status is not None else str(answer.status)


def _template(message: str) -> str:
    return re.sub(r"\"[^\"]*\"|'[^']*'|\d+|[^ -~]", "_", message)[:60]


# The kinds

_Sender = Callable[[str, int, Sequence[tuple[int, Any]], Tally], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of malformed requests."""

    make: Callable[[Random], Any]
    send: _Sender
    to_worker: bool
    share: float
    at_once: int
    """Requests, or bundles of them, that are on their way."""


async def _send_pipelined(kind: str, port: int, cases: Sequence[tuple[int, Any]], tally: Tally) -> None:
    rest = list(cases)
    while rest:
        bundle = rest[:_PIPELINED]
        try:
            answers = await exchange_pipelined(port, [case for _, case in bundle])
        except (TimeoutError, NotHttpError) as error:
            done = error.args[-1]
            number, case = bundle[done]
            tally.outcomes[kind]["hangs" if isinstance(error, TimeoutError) else "no HTTP"] += 1
            tally.note(kind, number, case, "no answer" if isinstance(error, TimeoutError) else str(error.args[0]))
            # Those before it are sent again: they were answered well or will be noted then.
            rest = bundle[:done] + rest[done + 1 :]
            continue
        for (number, case), answer in zip(bundle, answers, strict=False):
            if answer is None:
                tally.outcomes[kind]["closed"] += 1
            else:
                tally.judge(kind, number, case, answer)
        rest = rest[len(answers) :]


async def _send_streams(kind: str, port: int, cases: Sequence[tuple[int, Any]], tally: Tally) -> None:
    connection = await Connection.open(port)
    for number, case in cases:
        for _ in range(2):
            # One that the end of the connection took along is sent again; by then it is the first on another one.
            if connection.leaving or connection.next_stream > _STREAMS_PER_CONNECTION:
                connection.close()
                connection = await Connection.open(port)
            first = connection.next_stream == 1
            try:
                answer = await connection.call(case)
            except TimeoutError:
                tally.outcomes[kind]["hangs"] += 1
                tally.note(kind, number, case, "no answer")
                break
            if answer is not None:
                tally.judge(kind, number, case, answer)
                break
            if first:
                tally.outcomes[kind]["closed"] += 1
                break
            tally.outcomes[kind]["(sent again)"] += 1
        else:
            tally.outcomes[kind]["closed"] += 1
    connection.close()


async def _send_bytes(kind: str, port: int, cases: Sequence[tuple[int, Any]], tally: Tally) -> None:
    for number, case in cases:
        try:
            answers, ended = await exchange_bytes(port, case)
        except NotHttpError as error:
            tally.outcomes[kind]["no HTTP"] += 1
            tally.note(kind, number, case, str(error))
            continue
        tally.outcomes[kind]["ended" if ended else "waits for more"] += 1
        for answer in answers:
            tally.judge(f"{kind}: answers", number, case, answer)


async def _send_frames(kind: str, port: int, cases: Sequence[tuple[int, Any]], tally: Tally) -> None:
    for number, case in cases:
        try:
            answers, state = await exchange_frames(port, case)
        except NotHttpError as error:
            tally.outcomes[kind]["no HTTP"] += 1
            tally.note(kind, number, case, str(error))
            continue
        tally.outcomes[kind][state] += 1
        if state == "hangs":
            tally.note(kind, number, case, "the good request behind it has no answer")
        for answer in answers:
            tally.judge(f"{kind}: answers", number, case, answer)


KINDS = {
    "json-http1": Kind(json_call, _send_pipelined, False, 0.20, 8),
    "json-http2": Kind(json_call, _send_streams, False, 0.16, 8),
    "http1": Kind(raw_http1, _send_bytes, False, 0.16, 32),
    "http2": Kind(raw_http2, _send_frames, False, 0.12, 160),
    "http2-worker": Kind(raw_http2, _send_frames, True, 0.08, 24),
    "grpc": Kind(grpc_call, _send_streams, False, 0.10, 8),
    "grpc-worker": Kind(grpc_call, _send_streams, True, 0.06, 8),
    "web-http1": Kind(web_call, _send_pipelined, False, 0.06, 8),
    "web-http2": Kind(web_call, _send_streams, False, 0.06, 8),
}


def random_of(seed: int, kind: str, number: int) -> Random:
    """Return the chance that makes one request, the same each time."""
    return Random(f"{seed} {kind} {number}")


def _parts(numbers: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    size = -(-len(numbers) // count)
    return (numbers[at : at + size] for at in range(0, len(numbers), max(size, 1)))


async def send(kind: str, seed: int, numbers: Sequence[int], ports: Ports) -> Tally:
    """Send requests of one kind, by number."""
    tally = Tally()
    what = KINDS[kind]
    port = ports.worker if what.to_worker else ports.envoy

    async def some(part: Sequence[int]) -> None:
        await what.send(kind, port, [(number, what.make(random_of(seed, kind, number))) for number in part], tally)

    async with asyncio.TaskGroup() as group:
        for part in _parts(numbers, what.at_once):
            group.create_task(some(part))
    return tally


# What is there before, and what is taken away again


async def _ask(port: int, path: str, body: Any) -> Any:
    call = Call(b"POST", path.encode(), [(b"content-type", b"application/json")], json.dumps(body).encode())
    [answer] = await exchange_pipelined(port, [call])
    assert answer is not None
    assert answer.status < 300, answer
    return json.loads(answer.body) if answer.body else None


async def prepare(port: int) -> frozenset[str]:
    """Make the conversations that requests may change, always unread; return the tags that are to stay."""
    events: list[Any] = [{"channel": {"id": CHANNEL, "source": SOURCE, "source_channel_id": "x", "connected": True}}]
    events += [
        {
            "message": {
                # No other message has this id, and none is as late, so that reading leaves it unread.
                "id": conversation,
                "conversation_id": conversation,
                "channel_id": CHANNEL,
                "sender": {"id": "x"},
                "content": {"text": "x"},
                "from_contact": True,
                "delivery_state": "DELIVERED",
                "sent_at": "2900-01-01T00:00:00.000Z",
                "source": SOURCE,
                "metadata": {},
            }
        }
        for conversation in CONVERSATIONS
    ]
    answer = await _ask(port, "/events.ingest", {"events": events})
    assert answer["accepted"] == len(events), answer
    return frozenset(tag["id"] for tag in (await _ask(port, "/tags.list", {}))["tags"])


async def tidy(port: int, tags: frozenset[str]) -> None:
    """Delete the tags that requests made."""
    with suppress(TimeoutError, NotHttpError):
        for tag in (await _ask(port, "/tags.list", {}))["tags"]:
            if tag["id"] not in tags:
                await _ask(port, "/tags.delete", {"id": tag["id"]})


async def send_all(seed: int, count: int, ports: Ports, tags: frozenset[str]) -> Tally:
    """Send so many malformed requests, each kind as many as its share; return what came back.

    Args:
        seed: The same makes the same requests, whatever the count.
        count: Of all kinds together.
        ports: Where to.
        tags: Those that stay.
    """
    tally = Tally()
    for kind, what in KINDS.items():
        wanted = round(count * what.share)
        for start in range(0, wanted, _SLICE):
            tally.add(await send(kind, seed, range(start, min(start + _SLICE, wanted)), ports))
            await tidy(ports.envoy, tags)
    return tally
