"""Another caller: repeats the same calls, and records whether answers and times stay the same."""

import json
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from multiprocessing.connection import Connection
from typing import Any

import grpc

from conversations.v1.conversation_service_pb2 import (
    GetConversationRequest,
    ListConversationsRequest,
    ListConversationsResponse,
)
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

__all__ = ["Bystander", "Effect"]

_PAUSE_SECONDS = 0.01
_PATIENCE_SECONDS = 30.0
_PHASE_SECONDS = 1.5
_FILTER = "source:facebook AND unread_count:[1 TO *]"
# Of all conversations, those that others have made included.
_OF_ALL = re.compile(r'"?\b(total|badge_unread_count)"?: ?\d+')


@dataclass(frozen=True, slots=True)
class Sample:
    """One call."""

    kind: str
    began: float
    """By `time.monotonic`."""
    seconds: float
    answer: str
    """What came, or what went wrong."""
    failed: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault did to another caller."""

    calls: int
    failed: int
    changed: int
    """Calls that were answered, but not as before."""
    median_ratio: float
    """The largest growth of a median, over all kinds of calls."""
    longest_seconds: float
    first_failure: str

    @property
    def is_none(self) -> bool:
        """Whether all answers were the same, within twice their time."""
        return self.failed == self.changed == 0 and self.median_ratio <= 2.0

    def __str__(self) -> str:
        text = f"{self.failed} of {self.calls} calls of others failed"
        if self.changed:
            text += f", {self.changed} changed"
        text += f", {self.median_ratio:.1f} times their time, longest {1000 * self.longest_seconds:.0f} ms"
        return text + (f" ({self.first_failure})" if self.failed else "")


class Bystander:
    """A separate process, so that it does not compete with the fault's process."""

    def __init__(self, http_port: int, grpc_target: str) -> None:
        self._pipe, there = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(there, http_port, grpc_target), daemon=True
        )
        self._process.start()
        # It has begun to ask.
        self._fetch()

    def close(self) -> None:
        """End it."""
        self._pipe.send("stop")
        self._process.join(_PATIENCE_SECONDS)
        self._process.kill()

    def _fetch(self) -> list[Sample]:
        self._pipe.send("samples")
        if not self._pipe.poll(2 * _PATIENCE_SECONDS):
            raise TimeoutError("the bystander does not answer")
        samples: list[Sample] = self._pipe.recv()
        return samples

    @contextmanager
    def watching(self, before: Callable[[], object] = lambda: time.sleep(_PHASE_SECONDS)) -> Iterator[list[Effect]]:
        """Record what happens to others from the beginning to shortly after the end, compared with before.

        Args:
            before: What goes on while it is noted how answers and times are as a rule.

        Yields:
            A list that has one effect when all is over.
        """
        effects: list[Effect] = []
        self._fetch()
        before()
        began = time.monotonic()
        yield effects
        time.sleep(_PHASE_SECONDS)
        samples = self._fetch()
        usual = [sample for sample in samples if sample.began + sample.seconds < began]
        effects.append(_effect(usual, [sample for sample in samples if sample.began + sample.seconds >= began]))


def _effect(before: Sequence[Sample], since: Sequence[Sample]) -> Effect:
    failures = [sample for sample in since if sample.failed]
    known = {sample.kind: sample.answer for sample in before if not sample.failed}
    ratio = 0.0
    for kind in known:
        usual = statistics.median(sample.seconds for sample in before if sample.kind == kind)
        if meanwhile := [sample.seconds for sample in since if sample.kind == kind]:
            ratio = max(ratio, statistics.median(meanwhile) / usual)
    return Effect(
        calls=len(since),
        failed=len(failures),
        changed=sum(not sample.failed and sample.answer != known.get(sample.kind) for sample in since),
        median_ratio=ratio,
        longest_seconds=max((sample.seconds for sample in since), default=0.0),
        first_failure=failures[0].answer[:120] if failures else "",
    )


def _run(pipe: Connection, http_port: int, grpc_target: str) -> None:
    samples: list[Sample] = []
    with grpc.insecure_channel(f"127.0.0.1:{http_port}") as envoy, grpc.insecure_channel(grpc_target) as direct:
        http = HTTPConnection("127.0.0.1", http_port, timeout=_PATIENCE_SECONDS)
        stubs = {"gRPC": ConversationServiceStub(envoy), "direct gRPC": ConversationServiceStub(direct)}
        request = ListConversationsRequest(filters=_FILTER)
        id = stubs["direct gRPC"].ListConversations(request, wait_for_ready=True, timeout=_PATIENCE_SECONDS).data[0].id
        questions: list[tuple[str, Any]] = [
            ("JSON list", lambda: _post(http, "/conversations.list", {"filters": _FILTER})),
            ("JSON get", lambda: _post(http, "/conversations.info", {"conversation_id": id})),
        ]
        for name, stub in stubs.items():
            questions.append((f"{name} list", lambda stub=stub: _text(stub.ListConversations(request))))
            get = GetConversationRequest(conversation_id=id)
            questions.append((f"{name} get", lambda stub=stub, get=get: _text(stub.GetConversation(get))))
        while True:
            for kind, ask in questions:
                samples.append(_sample(kind, ask))
                time.sleep(_PAUSE_SECONDS)
                if pipe.poll():
                    if pipe.recv() == "stop":
                        return
                    pipe.send(samples)
                    samples = []


def _sample(kind: str, ask: Any) -> Sample:
    began = time.monotonic()
    try:
        answer, failed = _OF_ALL.sub("", ask()), False
    except (grpc.RpcError, OSError, HTTPException, ValueError) as error:
        answer, failed = f"{kind}: {type(error).__name__} {error}", True
    return Sample(kind, began, time.monotonic() - began, answer, failed)


def _post(http: HTTPConnection, path: str, body: Any) -> str:
    try:
        http.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = http.getresponse()
        text = response.read().decode()
    except (OSError, HTTPException):
        http.close()
        raise
    if response.status != 200:
        raise ValueError(f"{response.status} {text}")
    return text


def _text(message: Any) -> str:
    if isinstance(message, ListConversationsResponse):
        # They are of all conversations, those that others have made included.
        message.pagination_data.total = message.pagination_data.badge_unread_count = 0
    data: bytes = message.SerializeToString(deterministic=True)
    return data.hex()
