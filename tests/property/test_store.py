"""Random events and mutations from several clients: every answer of the service is the model's.

`FUZZ_MACHINES` and `FUZZ_STEPS` ask for more runs, or for longer ones.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle, pairwise
from random import Random
from typing import Any, Protocol

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.reference.lucene import fields, matches
from tests.reference.model import COLORS, Model, NotFoundError, RejectedError, canonical
from tests.reference.sequences import (
    CHANNELS,
    CONVERSATIONS,
    MESSAGES,
    TAGS,
    Json,
    any_case,
    commuting_events,
    documents,
    events,
    ids,
    message_events,
    names,
    subjects,
    times,
)
from tests.reference.wire import to_event, to_json, to_struct

from conversations.v1.channel_service_pb2 import GetChannelRequest, ListChannelsRequest
from conversations.v1.channel_service_pb2_grpc import ChannelServiceStub
from conversations.v1.conversation_service_pb2 import (
    GetConversationRequest,
    ListConversationsRequest,
    MarkConversationReadRequest,
    RemoveConversationStateRequest,
    SetConversationStateRequest,
    TagConversationRequest,
    UntagConversationRequest,
    UpdateContactRequest,
)
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.ingest_service_pb2 import IngestEventsRequest
from conversations.v1.ingest_service_pb2_grpc import IngestServiceStub
from conversations.v1.message_service_pb2 import ListMessagesRequest
from conversations.v1.message_service_pb2_grpc import MessageServiceStub
from conversations.v1.metadata_service_pb2 import UpsertMetadataRequest
from conversations.v1.metadata_service_pb2_grpc import MetadataServiceStub
from conversations.v1.tag_service_pb2 import CreateTagRequest, DeleteTagRequest, ListTagsRequest, UpdateTagRequest
from conversations.v1.tag_service_pb2_grpc import TagServiceStub

MACHINES = int(os.environ.get("FUZZ_MACHINES", "30"))
STEPS = int(os.environ.get("FUZZ_STEPS", "20"))
FILTERS = [
    "unread_count:[1 TO *]",
    "state:open OR NOT state:*",
    f"tag_ids:{TAGS[0]} OR tag_ids:ffffffff*1",
    "display_name:*a* AND NOT display_name:face*",
    f"source:(facebook OR x) AND channel_id:{CHANNELS[0]}",
    "created_at:{* TO 2019-01-07] OR last_message_at:2019-01-07",
    "(NOT metadata.state:closed) AND id:c*",
    "metadata.contact.display_name:* metadata.contact.avatar_url:a*",
]
# What matches much: each step looks at one.
BROAD_FILTERS = [
    "display_name:?*",
    "NOT display_name:*a*",
    "display_name:[a TO n] OR metadata.a:?*",
    "metadata.user_data.a:* OR metadata.user_data.b:*",
    "NOT metadata.user_data.a:[0 TO z]",
    "metadata.contact.display_name:/[a-z]+.*/ AND NOT state:closed",
    "metadata.note:?* OR metadata.user_data.:?*",
    "id:*c* AND NOT display_name:x*x",
    "metadata.user_data.x:*1 OR display_name:lovelace~2",
    "source:*o* OR channel_id:*1",
    "tag_ids:*0 OR (NOT tag_ids:f*)",
    'display_name:"lovelace ada"~2 OR metadata.user_data.erp:??*',
]


class Server(Protocol):
    @property
    def target(self) -> str: ...
    def flush(self) -> None: ...


class Client:
    """One connection, with a stub of every service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.conversations: Any = ConversationServiceStub(channel)
        self.messages: Any = MessageServiceStub(channel)
        self.tags: Any = TagServiceStub(channel)
        self.channels: Any = ChannelServiceStub(channel)
        self.metadata: Any = MetadataServiceStub(channel)
        self.ingest: Any = IngestServiceStub(channel)


def outcome_of(call: Callable[[], Any]) -> str:
    """Return the status code that a call of the service ends with."""
    try:
        call()
    except grpc.RpcError as error:
        code: str = error.code().name
        return code
    return "OK"


def expected_outcome(change: Callable[[], Any]) -> str:
    """Return the status code that the model expects, after the change."""
    try:
        change()
    except RejectedError:
        return "INVALID_ARGUMENT"
    except NotFoundError:
        return "NOT_FOUND"
    return "OK"


class ServiceMachine(RuleBasedStateMachine):
    """The service and the model side by side."""

    server: Server
    clients: list[Client]
    pool: ThreadPoolExecutor

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.past: list[Json] = []
        self.batches = 0
        self.sizes = cycle([2, 3, 1, 100])
        self.filters = cycle(FILTERS)
        self.broad_filters = cycle(BROAD_FILTERS)

    @initialize(log=st.lists(message_events(), max_size=5), more=st.lists(events(), max_size=10))
    def begin(self, log: list[Json], more: list[Json]) -> None:
        self.server.flush()
        self.send([{"tag": {"id": tag, "name": tag[-2:], "color": COLORS[0]}} for tag in TAGS], 0)
        self.ingest(log + more, 0)

    def send(self, log: list[Json], client: int) -> None:
        for part in [[event] for event in log] if self.order_counts(log) else [log]:
            self.send_call(part, client)

    def order_counts(self, log: list[Json]) -> bool:
        """Tell whether the end depends on the order of events of different conversations, which no call promises."""
        revived = {event["tag"]["id"].lower() for event in log if "tag" in event} & self.model.dead_tags
        return bool(revived)

    def send_call(self, log: list[Json], client: int) -> None:
        request = IngestEventsRequest(events=[to_event(event) for event in log])
        response = self.clients[client].ingest.IngestEvents(request)
        expected = [i for i, event in enumerate(log) if self.model.ingest(event)]
        assert [rejected.index for rejected in response.rejected] == expected
        assert {rejected.code for rejected in response.rejected} <= {"INVALID_ARGUMENT"}
        assert response.accepted == len(log) - len(expected)

    @rule(log=st.lists(events(), min_size=1, max_size=8), client=st.integers(0, 2))
    def ingest(self, log: list[Json], client: int) -> None:
        self.send(log, client)
        self.past += log

    @rule(random=st.randoms(use_true_random=False), client=st.integers(0, 2))
    def ingest_again(self, random: Random, client: int) -> None:
        if self.past:
            self.send(random.choices(self.past, k=min(len(self.past), 4)), client)

    @rule(random=st.randoms(use_true_random=False), sent_at=times(), client=st.integers(0, 2))
    def move_a_message(self, random: Random, sent_at: str, client: int) -> None:
        """A known message comes again, sent at another time."""
        known = [event["message"] for event in self.past if event.get("message")]
        if known:
            self.ingest([{"message": {**random.choice(known), "sent_at": sent_at}}], client)

    @rule(tag=st.sampled_from(TAGS), revived=st.booleans(), id=st.sampled_from(CONVERSATIONS), client=st.integers(0, 2))
    def name_a_deleted_tag(self, tag: str, revived: bool, id: str, client: int) -> None:
        """A conversation's metadata names a tag that was deleted, maybe after an event brought it back."""
        self.delete_tag(tag)
        log: list[Json] = [{"metadata": {"subject": "conversation", "id": id, "metadata": {"tags": {tag: ""}}}}]
        if revived:
            log.insert(0, {"tag": {"id": tag, "name": "back", "color": COLORS[1]}})
        self.ingest(log, client)

    @rule(seed=st.integers(0, 2**32))
    def ingest_from_all_clients_at_once(self, seed: int) -> None:
        """Every client sends everything, each in an order of its own and in two calls."""
        log = commuting_events(seed, self.batches)
        self.batches += 1

        def send_all(client: int) -> int:
            shuffled = [to_event(event) for event in Random(seed + client).sample(log, len(log))]
            halves = shuffled[: len(log) // 2], shuffled[len(log) // 2 :]
            stub = self.clients[client].ingest
            return sum(stub.IngestEvents(IngestEventsRequest(events=half)).accepted for half in halves)

        assert list(self.pool.map(send_all, range(3))) == [len(log)] * 3
        assert [error for event in log if (error := self.model.ingest(event))] == []

    @rule(id=ids(CONVERSATIONS), client=st.integers(0, 2))
    def read(self, id: str, client: int) -> None:
        stub = self.clients[client].conversations
        outcome = outcome_of(lambda: stub.MarkConversationRead(MarkConversationReadRequest(conversation_id=id)))
        assert outcome == expected_outcome(lambda: self.model.read(id, int(time.time() * 1000)))

    @rule(id=ids(CONVERSATIONS), tag=ids(TAGS), client=st.integers(0, 2))
    def tag(self, id: str, tag: str, client: int) -> None:
        request = TagConversationRequest(conversation_id=id, tag_id=tag)
        outcome = outcome_of(lambda: self.clients[client].conversations.TagConversation(request))
        assert outcome == expected_outcome(lambda: self.model.tag(id, tag))

    @rule(id=ids(CONVERSATIONS), tag=ids(TAGS), client=st.integers(0, 2))
    def untag(self, id: str, tag: str, client: int) -> None:
        request = UntagConversationRequest(conversation_id=id, tag_id=tag)
        outcome = outcome_of(lambda: self.clients[client].conversations.UntagConversation(request))
        assert outcome == expected_outcome(lambda: self.model.untag(id, tag))

    @rule(id=ids(CONVERSATIONS), state=st.sampled_from(["OPEN", "CLOSED", "OPEN", "CLOSED", "STATE_UNSPECIFIED"]))
    def set_state(self, id: str, state: str) -> None:
        request = SetConversationStateRequest(conversation_id=id, state=state)
        outcome = outcome_of(lambda: self.clients[0].conversations.SetConversationState(request))
        assert outcome == expected_outcome(lambda: self.model.set_state(id, state))

    @rule(id=ids(CONVERSATIONS))
    def remove_state(self, id: str) -> None:
        request = RemoveConversationStateRequest(conversation_id=id)
        outcome = outcome_of(lambda: self.clients[0].conversations.RemoveConversationState(request))
        assert outcome == expected_outcome(lambda: self.model.remove_state(id))

    @rule(id=ids(CONVERSATIONS), name=names())
    def update_contact(self, id: str, name: str) -> None:
        request = UpdateContactRequest(conversation_id=id, display_name=name)
        outcome = outcome_of(lambda: self.clients[0].conversations.UpdateContact(request))
        assert outcome == expected_outcome(lambda: self.model.update_contact(id, name))

    @rule(subject=subjects(), number=st.integers(0, 4), data=documents(deepest=19))
    def upsert(self, subject: str, number: int, data: Json) -> None:
        some = {"message": MESSAGES, "channel": CHANNELS}.get(subject, CONVERSATIONS)
        id = some[number % len(some)]
        request = UpsertMetadataRequest(subject=subject, id=id, data=to_struct(data))
        outcome = outcome_of(lambda: self.clients[0].metadata.UpsertMetadata(request))
        assert outcome == expected_outcome(lambda: self.model.upsert(subject, id, data))

    @rule(name=names(), color=st.sampled_from([*COLORS, "", "red"]))
    def create_tag(self, name: str, color: str) -> None:
        request = CreateTagRequest(name=name, color=color)
        answers: list[Json] = []
        outcome = outcome_of(lambda: answers.append(to_json(self.clients[0].tags.CreateTag(request))))
        id = answers[0]["id"] if answers else ""
        assert outcome == expected_outcome(lambda: self.model.create_tag(id, name, color))
        if answers:
            same(answers[0], self.model.tags[id])

    @rule(
        id=ids(TAGS),
        name=st.one_of(st.none(), names()),
        color=st.one_of(st.none(), st.sampled_from([*COLORS, "red", ""])),
    )
    def update_tag(self, id: str, name: str | None, color: str | None) -> None:
        request = UpdateTagRequest(id=id, name=name, color=color)
        outcome = outcome_of(lambda: self.clients[0].tags.UpdateTag(request))
        assert outcome == expected_outcome(lambda: self.model.update_tag(id, name, color))

    @rule(id=ids(TAGS))
    def delete_tag(self, id: str) -> None:
        outcome = outcome_of(lambda: self.clients[0].tags.DeleteTag(DeleteTagRequest(id=id)))
        assert outcome == expected_outcome(lambda: self.model.delete_tag(id))

    @rule(id=any_case(CONVERSATIONS), channel=any_case(CHANNELS))
    def get(self, id: str, channel: str) -> None:
        """What exists is found in any case of its id, what does not is NOT_FOUND."""
        client = self.clients[1]
        outcome = outcome_of(lambda: client.conversations.GetConversation(GetConversationRequest(conversation_id=id)))
        assert outcome == expected_outcome(lambda: self.model.conversation(id))
        outcome = outcome_of(lambda: client.messages.ListMessages(ListMessagesRequest(conversation_id=id)))
        assert outcome == expected_outcome(lambda: self.model.messages_of(id))
        outcome = outcome_of(lambda: client.channels.GetChannel(GetChannelRequest(channel_id=channel)))
        assert outcome == expected_outcome(lambda: self.model.channel(channel))

    @invariant()
    def lists_agree(self) -> None:
        size = next(self.sizes)
        self.check_list("", self.model.ids(), size)
        facts = {id: fields(self.model.facts(id)) for id in self.model.ids()}
        for filter_text in (next(self.filters), next(self.broad_filters), next(self.broad_filters)):
            self.check_list(filter_text, [id for id in facts if matches(filter_text, facts[id])], size)

    def check_list(self, filter_text: str, expected: list[str], size: int) -> None:
        stub = self.clients[1].conversations
        pages = walk(
            lambda cursor: stub.ListConversations(
                ListConversationsRequest(filters=filter_text, cursor=cursor, page_size=size)
            )
        )
        same(pages, list(self.model.pages(expected, size)))

    @invariant()
    def conversations_agree(self) -> None:
        client, size = self.clients[2], next(self.sizes)
        for id in self.model.ids():
            answer = client.conversations.GetConversation(GetConversationRequest(conversation_id=id))
            same(to_json(answer), self.model.conversation(id))
            pages = walk(partial(self.page_of_messages, id, size))
            messages = self.model.messages_of(id)
            ends = [*range(len(messages), 0, -size), 0]
            rows = [messages[max(end - size, 0) : end] for end, _ in pairwise(ends)]
            same(pages, [{"data": data, "pagination_data": {"total": len(messages)}} for data in rows])

    def page_of_messages(self, id: str, size: int, cursor: str) -> Any:
        request = ListMessagesRequest(conversation_id=id, cursor=cursor, page_size=size)
        return self.clients[2].messages.ListMessages(request)

    @invariant()
    def tags_and_channels_agree(self) -> None:
        client = self.clients[0]
        tags = self.model.list_tags()
        same(to_json(client.tags.ListTags(ListTagsRequest())), {"tags": tags, "data": tags})
        channels = self.model.list_channels()
        same(to_json(client.channels.ListChannels(ListChannelsRequest())), {"data": channels})
        for channel in channels:
            same(to_json(client.channels.GetChannel(GetChannelRequest(channel_id=channel["id"]))), channel)


def walk(ask: Callable[[str], Any]) -> list[Json]:
    """Return all pages without their cursors, after a walk to the end and back that has to see the same pages."""
    pages, cursor = [to_json(ask(""))], None
    assert pages[0]["pagination_data"]["previous_cursor"] == ""
    while cursor := pages[-1]["pagination_data"]["next_cursor"]:
        pages.append(to_json(ask(cursor)))
    back = pages[-1:]
    while cursor := back[-1]["pagination_data"]["previous_cursor"]:
        back.append(to_json(ask(cursor)))
    for page in [*pages, *back]:
        page["pagination_data"] = {
            key: value for key, value in page["pagination_data"].items() if not key.endswith("_cursor")
        }
    same(back[::-1], pages)
    return pages


def same(answer: Any, expected: Any) -> None:
    assert canonical(answer) == canonical(expected)


@pytest.fixture(params=[1, 4])
def machine(request: pytest.FixtureRequest, grpc_server: Callable[[int], Server]) -> Iterator[type[ServiceMachine]]:
    """The machine on a service with this many partitions."""
    running = grpc_server(request.param)
    with ExitStack() as cleanup:
        connections = [
            cleanup.enter_context(
                grpc.insecure_channel(running.target, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(3)
        ]

        class Machine(ServiceMachine):
            server = running
            clients = [Client(connection) for connection in connections]  # noqa: RUF012
            pool = cleanup.enter_context(ThreadPoolExecutor(3))

        yield Machine


def test_answers_as_the_model_does(machine: type[ServiceMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=MACHINES,
            stateful_step_count=STEPS,
            deadline=None,
            # The same runs each time, and new ones for whoever asks for more.
            derandomize="FUZZ_MACHINES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
