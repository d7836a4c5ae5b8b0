"""Lucene's own answers: 500 filters over 1,500 conversations, asked of the real service, page by page."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from tests.conftest import GrpcServer

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.event_pb2 import Event
from conversations.v1.ingest_service_pb2 import IngestEventsRequest
from conversations.v1.ingest_service_pb2_grpc import IngestServiceStub

DATA = Path(__file__).parents[1] / "data" / "filters"
EVENTS_AT_ONCE = 1000
TAG = "faed5d4a-6959-4328-a8e3-4faec7707fae"


def read_lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(params=[1, 4], ids=["1 partition", "4 partitions"])
def stub(request: pytest.FixtureRequest, grpc_server: Callable[[int], GrpcServer]) -> Iterator[Any]:
    server = grpc_server(request.param)
    server.flush()
    events = [ParseDict(line, Event()) for line in read_lines("corpus.jsonl.gz")]
    with grpc.insecure_channel(server.target) as channel:
        ingest = IngestServiceStub(channel)
        for start in range(0, len(events), EVENTS_AT_ONCE):
            batch = events[start : start + EVENTS_AT_ONCE]
            assert ingest.IngestEvents(IngestEventsRequest(events=batch)).accepted == len(batch)
        yield ConversationServiceStub(channel)


def check_refusal(error: Any) -> None:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "at position " in error.details()


def answer(stub: Any, filter_text: str) -> list[str] | None:
    """Return the ids of all pages, sorted; None where the filter is refused, with its position."""
    ids: list[str] = []
    cursor = ""
    while True:
        request = ListConversationsRequest(filters=filter_text, cursor=cursor, page_size=100)
        try:
            page = stub.ListConversations(request)
        except grpc.RpcError as error:
            check_refusal(error)
            return None
        ids += [conversation.id for conversation in page.data]
        cursor = page.pagination_data.next_cursor
        if not cursor:
            assert page.pagination_data.filtered_total == len(ids)
            return sorted(ids)


# Lucene sees an empty text at a tag's place in the metadata, and no word: here the tag is found there.
ALIASES = {f"metadata.tags.{TAG}:*": f"tag_ids:{TAG}"}


def test_every_filter_is_answered_as_lucene_does(stub: Any) -> None:
    vectors = read_lines("vectors.jsonl.gz")
    agreed: Counter[str] = Counter()
    wrong = []
    for vector in vectors:
        wanted = vector.get("ids")
        if vector["filter"] in ALIASES:
            assert wanted == []
            wanted = answer(stub, ALIASES[vector["filter"]])
            assert wanted
        if answer(stub, vector["filter"]) == wanted:
            agreed[vector["category"]] += 1
        else:
            wrong.append(vector["filter"])
    assert wrong == []
    assert agreed == Counter(vector["category"] for vector in vectors)
    assert agreed.total() == 500
