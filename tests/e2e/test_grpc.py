"""gRPC: every method on both ports, with the same answers and errors as JSON; reflection, health, gRPC-Web, workers."""

import asyncio
import json
import struct
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from tests.conftest import Stack
from tests.e2e.cases import (
    DOMAIN,
    METHODS,
    REFUSED,
    UNKNOWN,
    Ids,
    Refused,
    id_cases,
    message,
    metadata,
    nested,
    request_message,
)
from tests.reference.wire import to_event, to_json
from tests.rest import Answer, Rest

from conversations.v1 import (
    channel_service_pb2,
    conversation_pb2,
    conversation_service_pb2,
    filter_service_pb2,
    ingest_service_pb2,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
)
from conversations.v1.channel_service_pb2_grpc import ChannelServiceStub
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub
from conversations.v1.filter_service_pb2_grpc import FilterServiceStub
from conversations.v1.ingest_service_pb2_grpc import IngestServiceStub
from conversations.v1.message_service_pb2_grpc import MessageServiceStub
from conversations.v1.metadata_service_pb2_grpc import MetadataServiceStub
from conversations.v1.tag_service_pb2_grpc import TagServiceStub

Json = dict[str, Any]

BUF = str(Path(sys.executable).with_name("buf"))
REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
SERVICES = {f"{DOMAIN}.{method.split('/')[0]}" for method in METHODS.values()}
LOG_SECONDS = 10.0


@pytest.fixture
def ids(request: pytest.FixtureRequest) -> Ids:
    return Ids(request.node.name)


@pytest.fixture(params=["direct", "envoy"])
def channel(request: pytest.FixtureRequest, stack: Stack) -> Iterator[grpc.Channel]:
    """A channel to each port in turn."""
    target = stack.grpc_target if request.param == "direct" else stack.envoy_target
    with open_channel(target) as opened:
        yield opened


@pytest.fixture(scope="module")
def workers(stack: Stack) -> list[str]:
    """Targets of the workers' own ports, as Envoy's log names them."""
    with Rest(stack.http_url) as rest:
        return sorted(workers_of(stack, [rest.post("/conversations.list").headers for _ in range(30)]))


def open_channel(target: str) -> grpc.Channel:
    # A connection of its own: channels to one target share one otherwise.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    return grpc.insecure_channel(target, options=options)


def untyped(channel: Any, method: str, request: bytes, **options: Any) -> bytes:
    """Call a method with bytes, and return bytes."""
    answer: bytes = channel.unary_unary(f"/{DOMAIN}.{method}")(request, **options)
    return answer


def failure(channel: grpc.Channel, method: str, request: bytes) -> tuple[Any, Status]:
    """Return the code and status of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        untyped(channel, method, request, timeout=30)
    error: Any = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, error
    assert status.message == error.details()
    return error.code(), status


def expect_refusal(status: Status, refused: Refused) -> None:
    assert status.message == refused.message
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (refused.reason, DOMAIN, refused.metadata)
    violations = []
    for detail in status.details[1:]:
        bad_request = BadRequest()
        assert detail.Unpack(bad_request)
        violations += [(violation.field, violation.description) for violation in bad_request.field_violations]
    assert violations == ([refused.violation] if refused.violation else [])


def ingest(channel: grpc.Channel, *events: Json) -> None:
    request = ingest_service_pb2.IngestEventsRequest(events=map(to_event, events))
    answer = IngestServiceStub(channel).IngestEvents(request)
    assert (answer.accepted, list(answer.rejected)) == (len(events), [])


def listed(channel: grpc.Channel, filters: str, **fields: Any) -> conversation_service_pb2.ListConversationsResponse:
    request = conversation_service_pb2.ListConversationsRequest(filters=filters, **fields)
    return ConversationServiceStub(channel).ListConversations(request)


class TestMethods:
    def test_conversation_service(self, channel: grpc.Channel, ids: Ids) -> None:
        stub = ConversationServiceStub(channel)
        pb = conversation_service_pb2
        id = ids("conversation")
        ingest(
            channel, message(ids, "conversation", 1), {"tag": {"id": ids("tag"), "name": "Urgent", "color": "tag-red"}}
        )

        def found() -> conversation_pb2.ConversationMetadata:
            return stub.GetConversation(pb.GetConversationRequest(conversation_id=id)).metadata

        assert found().unread_count == 1
        assert stub.MarkConversationRead(pb.MarkConversationReadRequest(conversation_id=id)) == Empty()
        assert found().unread_count == 0
        tag_request = pb.TagConversationRequest(conversation_id=id, tag_id=ids("tag"))
        assert stub.TagConversation(tag_request) == Empty()
        assert dict(found().tags) == {ids("tag"): ""}
        untag_request = pb.UntagConversationRequest(conversation_id=id, tag_id=ids("tag"))
        assert stub.UntagConversation(untag_request) == Empty()
        assert dict(found().tags) == {}
        assert not found().HasField("state")
        for state in (conversation_pb2.ConversationMetadata.OPEN, conversation_pb2.ConversationMetadata.CLOSED):
            state_request = pb.SetConversationStateRequest(conversation_id=id, state=state)
            assert stub.SetConversationState(state_request) == Empty()
            assert found().state == state
        assert stub.RemoveConversationState(pb.RemoveConversationStateRequest(conversation_id=id)) == Empty()
        assert not found().HasField("state")
        contact_request = pb.UpdateContactRequest(conversation_id=id, display_name="Ada")
        assert stub.UpdateContact(contact_request) == Empty()
        assert found().contact.display_name == "Ada"
        page = listed(channel, ids.own)
        assert [conversation.id for conversation in page.data] == [id]
        assert page.pagination_data.filtered_total == 1

    def test_message_service(self, channel: grpc.Channel, ids: Ids) -> None:
        ingest(channel, *(message(ids, "conversation", n, n) for n in range(3)))
        stub = MessageServiceStub(channel)
        request = message_service_pb2.ListMessagesRequest(conversation_id=ids("conversation"), page_size=2)
        first = stub.ListMessages(request)
        assert [found.id for found in first.data] == [ids("message 1"), ids("message 2")]
        request.cursor = first.pagination_data.next_cursor
        assert [found.id for found in stub.ListMessages(request).data] == [ids("message 0")]

    def test_tag_service(self, channel: grpc.Channel) -> None:
        stub = TagServiceStub(channel)
        pb = tag_service_pb2
        tag = stub.CreateTag(pb.CreateTagRequest(name="Urgent", color="tag-red"))
        assert (tag.name, tag.color) == ("Urgent", "tag-red")
        assert stub.UpdateTag(pb.UpdateTagRequest(id=tag.id, color="tag-blue")) == Empty()
        tag.color = "tag-blue"
        assert tag in stub.ListTags(pb.ListTagsRequest()).tags
        assert stub.DeleteTag(pb.DeleteTagRequest(id=tag.id)) == Empty()
        assert tag not in stub.ListTags(pb.ListTagsRequest()).tags

    def test_channel_service(self, channel: grpc.Channel, ids: Ids) -> None:
        ingest(channel, {"channel": {"id": ids("channel"), "source": "viber", "connected": True}})
        stub = ChannelServiceStub(channel)
        found = stub.GetChannel(channel_service_pb2.GetChannelRequest(channel_id=ids("channel")))
        assert (found.source, found.connected, found.HasField("metadata")) == ("viber", True, True)
        assert found in stub.ListChannels(channel_service_pb2.ListChannelsRequest()).data

    def test_metadata_service(self, channel: grpc.Channel, ids: Ids) -> None:
        ingest(channel, message(ids, "conversation", 1))
        data = Struct()
        data.update({"erp": {"id": "abc"}})
        request = metadata_service_pb2.UpsertMetadataRequest(subject="conversation", id=ids("conversation"), data=data)
        assert MetadataServiceStub(channel).UpsertMetadata(request) == Empty()
        assert listed(channel, ids.own).data[0].metadata.user_data == data

    def test_ingest_service(self, channel: grpc.Channel, ids: Ids) -> None:
        events = [to_event(message(ids, "conversation", 1)), to_event({"tag": {"id": "x", "name": "Urgent"}})]
        answer = IngestServiceStub(channel).IngestEvents(ingest_service_pb2.IngestEventsRequest(events=events))
        assert answer.accepted == 1
        [rejected] = answer.rejected
        assert (rejected.index, rejected.code) == (1, "INVALID_ARGUMENT")
        assert rejected.message == "tag.id: has to be a UUID, 8-4-4-4-12 hexadecimal digits"

    def test_filter_service(self, channel: grpc.Channel, ids: Ids) -> None:
        ingest(
            channel,
            message(ids, "conversation", 1),
            metadata("conversation", ids("conversation"), user_data={"fox": "zwölfboxkämpfer", "owl": "a b a"}),
        )
        stub = FilterServiceStub(channel)
        text = 'metadata.user_data.fox:*kämpfer AND metadata.user_data.owl:"a a"~1'
        answer = stub.ExplainFilter(filter_service_pb2.ExplainFilterRequest(filters=text))
        parts = [(part.kind, part.occur, part.field, part.type, part.position) for part in answer.tree.children]
        assert parts == [
            ("wildcard", "required", "metadata.user_data.fox", "metadata", 23),
            ("phrase", "required", "metadata.user_data.owl", "metadata", 59),
        ]
        assert [(part.answered_by, part.cost_ms >= 0) for part in answer.tree.children] == [
            ("words", True),
            ("index", True),
        ]
        assert (answer.tree.answered_by, len(answer.queries)) == ("words", 1)
        assert ["starts with a wildcard" in warning for warning in answer.warnings] == [True]
        text = "metadata.user_data.fox:a metadata.user_data.Fox:a metadata.unread_count:1 metadata.user_data.cat:*"
        answer = stub.ExplainFilter(filter_service_pb2.ExplainFilterRequest(filters=text))
        assert list(answer.warnings) == [
            "at position 48: no conversation has `metadata.user_data.Fox`; paths are case-sensitive",
            "at position 97: no conversation has `metadata.user_data.cat`; paths are case-sensitive",
        ]
        fields = stub.ListFilterFields(filter_service_pb2.ListFilterFieldsRequest()).fields
        for field in fields:
            assert field.description
            for name in (field.name, *field.aliases):
                text = field.example.replace(field.example.split(":")[0], name) if "<" not in name else field.example
                stub.ExplainFilter(filter_service_pb2.ExplainFilterRequest(filters=text))

    def test_every_method_is_in_the_table(self) -> None:
        modules = (
            channel_service_pb2,
            conversation_service_pb2,
            filter_service_pb2,
            ingest_service_pb2,
            message_service_pb2,
            metadata_service_pb2,
            tag_service_pb2,
        )
        methods = {
            f"{service.name}/{method.name}"
            for module in modules
            for service in module.DESCRIPTOR.services_by_name.values()
            for method in service.methods
        }
        # It has no messages of its own: test_api asks it, by JSON.
        assert methods - {"IngestService/IngestJson"} == set(METHODS.values())

    def test_answers_are_those_of_json(self, channel: grpc.Channel, rest: Rest, ids: Ids) -> None:
        """A JSON answer holds exactly the fields that are set, and those that are always there."""
        ingest(
            channel,
            message(ids, "bare", 1, 0, sender={}, content={}, from_contact=False),
            message(ids, "full", 2, 1, sender={"id": "s", "name": "", "avatar_url": "a"}, content={"a": [None, 1.5]}),
            {"channel": {"id": ids("channel"), "source": "facebook", "metadata": {"name": "Page"}}},
            {"tag": {"id": ids("tag"), "name": "Urgent", "color": "tag-red"}},
            metadata(
                "conversation",
                ids("full"),
                contact={"display_name": "Ada", "avatar_url": ""},
                tags={ids("tag"): ""},
                state="CLOSED",
                user_data={"a": {}},
            ),
        )
        requests: list[tuple[str, Json]] = [
            ("/conversations.list", {"filters": ids.own}),
            ("/conversations.list", {"filters": ids.own, "page_size": 1}),
            ("/conversations.list", {"filters": f"id:{ids('nobody')}"}),
            ("/conversations.info", {"conversation_id": ids("full")}),
            ("/conversations.info", {"conversation_id": ids("bare")}),
            ("/messages.list", {"conversation_id": ids("full")}),
            ("/tags.list", {}),
            ("/channels.list", {}),
            ("/channels.info", {"channel_id": ids("channel")}),
        ]
        for path, body in requests:
            request = request_message(path, body)
            service, method = METHODS[path].split("/")
            file: Any = request.DESCRIPTOR.file
            answer_type = GetMessageClass(file.services_by_name[service].methods_by_name[method].output_type)
            answer = answer_type.FromString(untyped(channel, METHODS[path], request.SerializeToString()))
            assert to_json(answer) == rest.post(path, body).json, path

    def test_what_is_unset_is_absent(self, channel: grpc.Channel, ids: Ids) -> None:
        ingest(channel, message(ids, "conversation", 1, sender={}, content={}))
        [found] = listed(channel, ids.own).data
        for holder, set_fields, unset_fields in (
            (found, ["channel", "metadata", "last_message"], []),
            (found.channel, ["metadata"], []),
            (found.metadata, ["contact"], ["state", "user_data"]),
            (found.metadata.contact, [], ["avatar_url"]),
            (found.last_message, ["content", "metadata", "sender"], []),
            (found.last_message.sender, [], ["name", "avatar_url"]),
        ):
            holder_message: Any = holder
            assert all(holder_message.HasField(name) for name in set_fields)
            assert not any(holder_message.HasField(name) for name in unset_fields)

    def test_compressed_requests_are_read(self, channel: grpc.Channel, ids: Ids) -> None:
        event = to_event(message(ids, "conversation", 1, content={"text": "x" * 10_000}))
        request = ingest_service_pb2.IngestEventsRequest(events=[event])
        answer = IngestServiceStub(channel).IngestEvents(request, compression=grpc.Compression.Gzip)
        assert answer.accepted == 1


class TestErrors:
    @pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.id)
    def test_wrong_request_is_refused(self, channel: grpc.Channel, refused: Refused) -> None:
        request = request_message(refused.path, refused.body).SerializeToString()
        code, status = failure(channel, METHODS[refused.path], request)
        assert (code, status.code) == (grpc.StatusCode.INVALID_ARGUMENT, 3)
        expect_refusal(status, refused)

    @pytest.mark.parametrize("refused", UNKNOWN, ids=lambda refused: refused.id)
    def test_what_is_not_there_is_not_found(self, channel: grpc.Channel, refused: Refused) -> None:
        request = request_message(refused.path, refused.body).SerializeToString()
        code, status = failure(channel, METHODS[refused.path], request)
        assert (code, status.code) == (grpc.StatusCode.NOT_FOUND, 5)
        expect_refusal(status, refused)

    def test_ids_have_to_be_uuids(self, channel: grpc.Channel) -> None:
        for refused in id_cases():
            request = request_message(refused.path, refused.body).SerializeToString()
            code, status = failure(channel, METHODS[refused.path], request)
            assert code == grpc.StatusCode.INVALID_ARGUMENT, refused
            expect_refusal(status, refused)

    @pytest.mark.parametrize("method", METHODS.values())
    @pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0b"])
    def test_undecodable_request_is_refused(self, channel: grpc.Channel, method: str, data: bytes) -> None:
        code, status = failure(channel, method, data)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        text = "the request is not a message of the method's type"
        expect_refusal(status, Refused(method, {}, "MALFORMED_REQUEST", text))

    @pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\x0a\x03\xed\xa0\x80"])
    def test_text_that_is_no_utf_8_is_refused(self, channel: grpc.Channel, data: bytes) -> None:
        code, status = failure(channel, "ConversationService/GetConversation", data)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        text = "the request is not a message of the method's type"
        expect_refusal(status, Refused("", {}, "MALFORMED_REQUEST", text))

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_number_that_is_not_finite_is_refused(self, channel: grpc.Channel, ids: Ids, number: float) -> None:
        """JSON has no way to say it: a list that holds it could not be answered."""
        ingest(channel, message(ids, "conversation", 1))
        data = Struct()
        data.update({"a": [{"b": number}]})
        request = metadata_service_pb2.UpsertMetadataRequest(subject="conversation", id=ids("conversation"), data=data)
        code, status = failure(channel, "MetadataService/UpsertMetadata", request.SerializeToString())
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        description = "has a number that is not finite"
        expect_refusal(
            status,
            Refused("", {}, "INVALID_FIELD", f"data: {description}", {"field": "data"}, ("data", description)),
        )
        event = to_event(message(ids, "conversation", 2, content={"a": number}))
        answer = IngestServiceStub(channel).IngestEvents(ingest_service_pb2.IngestEventsRequest(events=[event]))
        assert [found.message for found in answer.rejected] == ["message.content: has a number that is not finite"]

    def test_value_of_no_kind_is_refused(self, channel: grpc.Channel, ids: Ids) -> None:
        """JSON cannot say that either."""
        ingest(channel, message(ids, "conversation", 1))
        request = metadata_service_pb2.UpsertMetadataRequest(subject="conversation", id=ids("conversation"))
        request.data.fields["a"].Clear()
        code, _ = failure(channel, "MetadataService/UpsertMetadata", request.SerializeToString())
        assert code == grpc.StatusCode.INVALID_ARGUMENT

    @pytest.mark.parametrize("method", ["ConversationService/Nothing", "NoService/Nothing"])
    def test_unknown_method_is_unimplemented(self, channel: grpc.Channel, method: str) -> None:
        code, status = failure(channel, method, b"")
        assert code == grpc.StatusCode.UNIMPLEMENTED
        expect_refusal(status, Refused("", {}, "UNKNOWN_METHOD", "there is no such method"))

    def test_request_above_the_limit_says_so(self, channel: grpc.Channel) -> None:
        code, status = failure(channel, "IngestService/IngestEvents", b"\x0a\x80\x80\x80\x09" + bytes(9 << 21))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        info = ErrorInfo()
        assert status.details[0].Unpack(info)
        assert (info.reason, info.domain) == ("REQUEST_TOO_LARGE", DOMAIN)

    def test_deep_event_is_rejected_alone(self, channel: grpc.Channel, ids: Ids) -> None:
        events = [to_event(message(ids, "conversation", n, content=nested(levels))) for n, levels in ((1, 20), (2, 21))]
        answer = IngestServiceStub(channel).IngestEvents(ingest_service_pb2.IngestEventsRequest(events=events))
        assert (answer.accepted, [found.index for found in answer.rejected]) == (1, [1])


def reflected(channel: grpc.Channel, service: str, requests: Sequence[Any]) -> list[Any]:
    """Return the answers of a version of reflection, as messages of v1alpha."""
    call: Any = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(call(iter(requests), timeout=10))


class TestReflection:
    def test_services(self, channel: grpc.Channel) -> None:
        others = {
            "grpc.health.v1.Health",
            *REFLECTIONS,
            "conversations.v1.HealthService",
        }
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
        assert services == SERVICES | others

    def test_both_versions_give_the_same_answers(self, channel: grpc.Channel) -> None:
        ask = reflection_pb2.ServerReflectionRequest
        requests = [
            ask(list_services=""),
            ask(file_containing_symbol="conversations.v1.Conversation"),
            *(ask(file_containing_symbol=service) for service in REFLECTIONS),
            ask(file_by_filename="google/rpc/status.proto"),
            ask(all_extension_numbers_of_type="google.protobuf.MethodOptions"),
            ask(file_containing_symbol="conversations.v1.Nothing"),
            ask(host="a"),
        ]
        answers = [reflected(channel, service, requests) for service in REFLECTIONS]
        kinds = [answer.WhichOneof("message_response") for answer in answers[0]]
        assert kinds == [
            "list_services_response",
            *["file_descriptor_response"] * 4,
            "all_extension_numbers_response",
            *["error_response"] * 2,
        ]
        assert answers[0] == answers[1]

    @pytest.mark.parametrize("service", REFLECTIONS)
    def test_a_version_describes_itself(self, channel: grpc.Channel, service: str) -> None:
        file = ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(service)
        [method] = file.service[0].method
        package = service.removesuffix(".ServerReflection")
        assert (file.package, method.input_type) == (package, f".{package}.ServerReflectionRequest")

    @pytest.mark.parametrize("protocol", ["grpc-v1", "grpc-v1alpha"])
    @pytest.mark.parametrize("target", ["grpc_target", "envoy_target"])
    def test_a_tool_can_call_by_either(self, stack: Stack, target: str, protocol: str) -> None:
        url = f"http://{getattr(stack, target)}/conversations.v1.TagService/ListTags"
        options = ["--http2-prior-knowledge", "--protocol", "grpc", "--reflect-protocol", protocol]
        called = subprocess.run([BUF, "curl", *options, url], capture_output=True, text=True, timeout=30, check=False)
        assert (called.returncode, called.stderr) == (0, "")
        assert isinstance(json.loads(called.stdout), dict)

    @pytest.mark.parametrize(
        "symbol",
        [
            "conversations.v1.Conversation",
            "google.rpc.ErrorInfo",
            "google.rpc.BadRequest",
            "google.rpc.RetryInfo",
            "google.protobuf.Struct",
            "google.api.http",
            "grpc.health.v1.Health",
        ],
    )
    def test_symbols_are_found(self, channel: grpc.Channel, symbol: str) -> None:
        file = ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(symbol)
        names = {item.name for item in file.message_type}
        names |= {item.name for item in file.service} | {item.name for item in file.extension}
        assert symbol.rpartition(".")[2] in names

    def test_a_client_without_protos_can_call(self, channel: grpc.Channel, ids: Ids) -> None:
        ingest(channel, message(ids, "conversation", 1))
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        for service in sorted(SERVICES):
            assert pool.FindServiceByName(service).methods
        method = pool.FindServiceByName(f"{DOMAIN}.ConversationService").methods_by_name["ListConversations"]
        request: Any = GetMessageClass(method.input_type)()
        json_format.ParseDict({"filters": ids.own}, request)
        data = untyped(channel, "ConversationService/ListConversations", request.SerializeToString())
        answer: Any = GetMessageClass(method.output_type).FromString(data)
        assert [found.id for found in answer.data] == [ids("conversation")]


def health(channel: grpc.Channel) -> Any:
    # Its methods have no types.
    return HealthStub(channel)


class TestHealth:
    @pytest.mark.parametrize("service", ["", *sorted(SERVICES)])
    def test_every_service_serves(self, channel: grpc.Channel, service: str) -> None:
        answer = health(channel).Check(HealthCheckRequest(service=service))
        assert answer.status == HealthCheckResponse.SERVING

    def test_health_can_be_watched(self, channel: grpc.Channel) -> None:
        watch = health(channel).Watch(HealthCheckRequest())
        assert next(watch).status == HealthCheckResponse.SERVING
        watch.cancel()

    def test_unknown_service_is_not_found(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            health(channel).Check(HealthCheckRequest(service="nobody"))
        error: Any = caught.value
        assert error.code() == grpc.StatusCode.NOT_FOUND


def web_answer(rest: Rest, method: str, request: bytes, **headers: str) -> Answer:
    frame = struct.pack(">BI", 0, len(request)) + request
    sent = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers}
    return rest.request("POST", f"/{DOMAIN}.{method}", frame, **sent)


def grpc_web(rest: Rest, method: str, request: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Call by gRPC-Web, and return the messages and the trailers, wherever they came."""
    answer = web_answer(rest, method, request)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/grpc-web+proto")
    messages, trailers, body = [], dict(answer.headers), answer.body
    while body:
        kind, length = struct.unpack(">BI", body[:5])
        part, body = body[5 : 5 + length], body[5 + length :]
        if kind & 0x80:
            trailers |= dict(line.split(":", 1) for line in part.decode().strip().split("\r\n"))
        else:
            messages.append(part)
    return messages, {name: value.strip() for name, value in trailers.items()}


def web_status(trailers: dict[str, str]) -> Status:
    data = trailers["grpc-status-details-bin"]
    status = Status.FromString(b64decode(data + "=" * (-len(data) % 4)))
    assert status.code == int(trailers["grpc-status"])
    return status


class TestGrpcWeb:
    def test_a_list(self, rest: Rest, stack: Stack, ids: Ids) -> None:
        with open_channel(stack.grpc_target) as channel:
            ingest(channel, *(message(ids, f"c{n}", n, n) for n in range(3)))
        request = conversation_service_pb2.ListConversationsRequest(filters=ids.own, page_size=2)
        [data], trailers = grpc_web(rest, "ConversationService/ListConversations", request.SerializeToString())
        answer = conversation_service_pb2.ListConversationsResponse.FromString(data)
        assert [found.id for found in answer.data] == [ids("c2"), ids("c1")]
        assert answer.pagination_data.filtered_total == 3
        assert trailers["grpc-status"] == "0"

    @pytest.mark.parametrize("refused", [UNKNOWN[0], REFUSED[0], REFUSED[-1]], ids=lambda refused: refused.id)
    def test_an_error(self, rest: Rest, refused: Refused) -> None:
        request = request_message(refused.path, refused.body).SerializeToString()
        messages, trailers = grpc_web(rest, METHODS[refused.path], request)
        assert messages == []
        expect_refusal(web_status(trailers), refused)

    def test_out_of_time_is_never_called_anything_else(self, rest: Rest) -> None:
        """Whoever notices first, server or Envoy. A client's own library would say it before either does."""
        said = set()
        for _ in range(40):
            answer = web_answer(rest, "ConversationService/ListConversations", b"", **{"grpc-timeout": "1u"})
            said.add((answer.status, answer.headers.get("grpc-status", "0")))
        assert (200, "4") in said
        assert said <= {(200, "4"), (200, "0")}


class TestWorkers:
    def test_json_calls_are_shared(self, workers: list[str]) -> None:
        assert len(workers) == 2

    def test_grpc_calls_are_shared(self, stack: Stack, workers: list[str]) -> None:
        with open_channel(stack.envoy_target) as channel:
            headers = []
            for _ in range(30):
                _, call = ConversationServiceStub(channel).ListConversations.with_call(
                    conversation_service_pb2.ListConversationsRequest()
                )
                headers.append({name: value for name, value in call.initial_metadata() if isinstance(value, str)})
        assert sorted(workers_of(stack, headers)) == workers

    @pytest.mark.parametrize("port", ["direct", "envoy"])
    async def test_many_calls_at_once_are_all_answered(self, stack: Stack, ids: Ids, port: str) -> None:
        target = stack.grpc_target if port == "direct" else stack.envoy_target
        async with grpc.aio.insecure_channel(target) as channel:
            lists = ConversationServiceStub(channel)
            ingests = IngestServiceStub(channel)

            async def write_and_read(n: int) -> str:
                event = to_event(message(ids, n, n))
                try:
                    await ingests.IngestEvents(ingest_service_pb2.IngestEventsRequest(events=[event]))
                    request = conversation_service_pb2.ListConversationsRequest(filters=f"id:{ids(n)}")
                    answer = await lists.ListConversations(request)
                except grpc.aio.AioRpcError as error:
                    return f"{error.code().name}: {error.details()}"
                return "" if [found.id for found in answer.data] == [ids(n)] else "wrong answer"

            outcomes = await asyncio.gather(*(write_and_read(n) for n in range(500)))
        assert Counter(outcomes) == {"": 500}

    def test_what_one_worker_wrote_the_other_reads_at_once(self, workers: list[str], ids: Ids) -> None:
        with open_channel(workers[0]) as one, open_channel(workers[1]) as two:
            read_your_writes(one, two, ids)

    def test_what_one_port_wrote_the_other_reads_at_once(self, stack: Stack, ids: Ids) -> None:
        with open_channel(stack.grpc_target) as one, open_channel(stack.envoy_target) as two:
            read_your_writes(one, two, ids)


def read_your_writes(one: grpc.Channel, two: grpc.Channel, ids: Ids) -> None:
    """Write through one and read through the other, in turns, by list, filter, word pattern and id."""
    for n in range(200):
        writer, reader = (one, two) if n % 2 else (two, one)
        name = f"word{n}x"
        ingest(
            writer,
            message(ids, n, n, n),
            metadata("conversation", ids(n), contact={"display_name": name}, user_data={"n": n}),
        )
        newest = listed(reader, ids.own, page_size=1)
        assert ([found.id for found in newest.data], newest.pagination_data.filtered_total) == ([ids(n)], n + 1)
        found = listed(reader, f"{ids.own} AND display_name:*ord{n}x AND metadata.user_data.n:{n}", page_size=1)
        assert [conversation.id for conversation in found.data] == [ids(n)]
        ConversationServiceStub(writer).MarkConversationRead(
            conversation_service_pb2.MarkConversationReadRequest(conversation_id=ids(n))
        )
        request = conversation_service_pb2.GetConversationRequest(conversation_id=ids(n))
        assert ConversationServiceStub(reader).GetConversation(request).metadata.unread_count == 0
        assert listed(reader, f"{ids.own} AND unread_count:0").pagination_data.filtered_total == n + 1


def workers_of(stack: Stack, headers: list[Any]) -> set[str]:
    """Return the workers that gave the answers with these headers."""
    wanted = {found["x-request-id"] for found in headers}
    assert len(wanted) == len(headers)
    deadline = time.monotonic() + LOG_SECONDS
    while True:
        complete, _, _ = (stack.data_dir / "logs" / "access.log").read_text().rpartition("\n")
        lines = [json.loads(line) for line in complete.splitlines()]
        workers = {line["request_id"]: line["worker"] for line in lines if line["request_id"] in wanted}
        if len(workers) == len(wanted):
            return set(workers.values())
        assert time.monotonic() < deadline, "the access log lacks calls"
        time.sleep(0.1)
