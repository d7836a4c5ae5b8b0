"""Random filters over random conversations: the service finds what the reference finds, no more and no less.

`FUZZ_CORPORA`, `FUZZ_FILTERS` (per corpus) and `FUZZ_SEED` ask for more cases, or for other ones.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.reference.lucene import Fields, RefusedError, fields, matches
from tests.reference.model import canonical
from tests.reference.strategies import Corpus, make_changes, make_corpus, make_filter, shrunk
from tests.reference.wire import to_event, to_json

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.ingest_service_pb2 import IngestEventsRequest
from conversations.v1.ingest_service_pb2_grpc import IngestServiceStub

CORPORA = int(os.environ.get("FUZZ_CORPORA", "10"))
FILTERS = int(os.environ.get("FUZZ_FILTERS", "400"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
REFUSED = "refused"
UNSUPPORTED = "unsupported"

Answer = list[str] | str


class Server(Protocol):
    @property
    def target(self) -> str: ...
    def flush(self) -> None: ...


@dataclass
class Loaded:
    """A corpus in the service, and beside it."""

    stub: Any
    corpus: Corpus
    conversations: dict[str, Fields]
    """In the order of a list."""

    def expected(self, filter_text: str) -> Answer:
        try:
            return [id for id, conversation in self.conversations.items() if matches(filter_text, conversation)]
        except RefusedError:
            return REFUSED

    def answered(self, filter_text: str, page_size: int) -> Answer:
        ids: list[str] = []
        cursor = ""
        while True:
            request = ListConversationsRequest(filters=filter_text, cursor=cursor, page_size=page_size)
            try:
                page = self.stub.ListConversations(request)
            except grpc.RpcError as error:
                return refusal(error)
            ids += [conversation.id for conversation in page.data]
            cursor = page.pagination_data.next_cursor
            if not cursor:
                break
        counts = page.pagination_data
        assert counts.filtered_total == len(ids)
        assert (counts.total, counts.badge_unread_count) == (len(self.conversations), self.corpus.model.badge())
        return ids

    def agrees(self, filter_text: str, page_size: int = 100) -> bool:
        answer = self.answered(filter_text, page_size)
        if answer == UNSUPPORTED:
            return "/" in filter_text
        return answer == self.expected(filter_text)


def refusal(error: Any) -> str:
    """Return how a filter was refused, or the failure itself if that was no clear refusal."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    if status is None or not any(detail.Unpack(info) for detail in status.details):
        return str(error)
    if info.reason == "UNSUPPORTED_FILTER":
        return UNSUPPORTED
    clear = info.reason in ("FILTER_SYNTAX", "UNKNOWN_FIELD", "FILTER_VALUE") and info.metadata["position"].isdecimal()
    return REFUSED if clear and error.code() == grpc.StatusCode.INVALID_ARGUMENT else str(error)


@pytest.fixture(params=range(SEED, SEED + CORPORA))
def seed(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


@pytest.fixture
def channel(seed: int, grpc_server: Callable[[int], Server]) -> Iterator[grpc.Channel]:
    """An empty service; for every other seed one with several partitions."""
    server = grpc_server(4 if seed % 2 else 1)
    server.flush()
    with grpc.insecure_channel(server.target) as connected:
        yield connected


def load(channel: grpc.Channel, corpus: Corpus) -> Loaded:
    events = [to_event(event) for event in corpus.events]
    response = IngestServiceStub(channel).IngestEvents(IngestEventsRequest(events=events))
    assert not [rejected.message for rejected in response.rejected]
    assert response.accepted == len(events)
    conversations = {id: fields(corpus.model.facts(id)) for id in corpus.model.ids()}
    return Loaded(ConversationServiceStub(channel), corpus, conversations)


def test_finds_what_the_reference_finds_before_and_after_changes(seed: int, channel: grpc.Channel) -> None:
    loaded = load(channel, make_corpus(seed))
    check(loaded, seed, FILTERS // 2)
    loaded = load(channel, make_changes(loaded.corpus, seed))
    check(loaded, seed + 1, FILTERS - FILTERS // 2)
    answer = to_json(loaded.stub.ListConversations(ListConversationsRequest(page_size=100)))
    [expected] = loaded.corpus.model.pages(loaded.conversations, 100)
    assert canonical(answer["data"]) == canonical(expected["data"])


def check(loaded: Loaded, seed: int, count: int) -> None:
    random = Random(seed)
    for _ in range(count):
        filter_text = make_filter(loaded.corpus, random)
        page_size = random.choice([100, 100, 100, 7])
        if not loaded.agrees(filter_text, page_size):
            pytest.fail(disagreement(loaded, filter_text, page_size))


def disagreement(loaded: Loaded, filter_text: str, page_size: int) -> str:
    """Say what is wrong, with as little of the filter as shows it."""
    text = shrunk(filter_text, lambda shorter: not loaded.agrees(shorter, page_size))
    expected, answer = loaded.expected(text), loaded.answered(text, page_size)
    lines = [f"filter:   {text!r}", f"of:       {filter_text!r}", f"expected: {expected}", f"answer:   {answer}"]
    if not isinstance(expected, str) and not isinstance(answer, str):
        for id in sorted(set(expected) ^ set(answer))[:2]:
            lines.append(f"{'lost' if id in expected else 'invented'}: {loaded.conversations[id]}")
    return "\n".join(lines)
