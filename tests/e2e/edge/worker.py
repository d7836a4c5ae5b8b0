"""A worker that does as its requests and its standard input say.

    python -m tests.e2e.edge.worker --port 50061

It prints `ready` when it listens, and `done` for each line that it has read:

    health SERVING x     what it says of its service x from now on: the name of a status of grpc.health.v1; without a
                         service, what it says of itself
    report {"code": 14}  what GetHealth answers from now on: a failure, or without a code an answer with its `causes`
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterable, Mapping
from typing import Any

import click
import grpc
import uvloop
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from conversations.v1.conversation_service_pb2 import (
    GetConversationRequest,
    ListConversationsRequest,
    ListConversationsResponse,
)
from conversations.v1.health_service_pb2 import GetHealthRequest, GetHealthResponse
from conversations.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from conversations.v1.metadata_service_pb2 import UpsertMetadataRequest
from conversations.v1.tag_pb2 import Tag
from conversations.v1.tag_service_pb2 import CreateTagRequest, ListTagsRequest, ListTagsResponse

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
PACKAGE = "conversations.v1"

Context = grpc.aio.ServicerContext[Any, Any]
Failure = Mapping[str, Any]


class Worker:
    """Its servicers."""

    def __init__(self) -> None:
        self.health = health.aio.HealthServicer()
        self.report: Failure = {}
        self.calls = 0

    async def list_conversations(
        self, request: ListConversationsRequest, context: Context
    ) -> ListConversationsResponse:
        """Do what `filters` says.

        `sleep 1.5`, `answer 5000000`: a cursor of so many bytes, `headers`: the cursor is the JSON of what came.
        The answer has the page size, and the whole seconds until the deadline, at most 1000.
        """
        self.calls += 1
        answer = ListConversationsResponse()
        command, _, argument = request.filters.partition(" ")
        if command == "sleep":
            await asyncio.sleep(float(argument))
        elif command == "answer":
            answer.pagination_data.next_cursor = "x" * int(argument)
        elif command == "headers":
            answer.pagination_data.next_cursor = json.dumps(
                [[k, str(v)] for k, v in context.invocation_metadata() or ()]
            )
        elif command == "calls":
            answer.pagination_data.badge_unread_count = self.calls
        answer.pagination_data.total = request.page_size
        remaining = context.time_remaining()
        answer.pagination_data.filtered_total = 1000 if remaining is None else min(int(remaining), 1000)
        return answer

    async def get_conversation(self, request: GetConversationRequest, context: Context) -> bytes:
        """Fail as `conversation_id` says: the JSON of a failure."""
        await fail(context, json.loads(request.conversation_id))
        return b""

    async def create_tag(self, request: CreateTagRequest, context: Context) -> Tag:
        """Answer a tag of the name."""
        return Tag(id="1", name=request.name)

    async def list_tags(self, request: ListTagsRequest, context: Context) -> ListTagsResponse:
        """Answer no tag."""
        return ListTagsResponse()

    async def ingest_events(self, request: IngestEventsRequest, context: Context) -> IngestEventsResponse:
        """Answer how many events came."""
        return IngestEventsResponse(accepted=len(request.events))

    async def ingest_json(self, request: AsyncIterable[HttpBody], context: Context) -> IngestEventsResponse:
        """Answer how many bytes came, MAX_MESSAGE_BYTES at most."""
        size = 0
        async for part in request:
            size += len(part.data)
        if size > MAX_MESSAGE_BYTES:
            await fail(context, {"code": 8})  # as gRPC refuses by itself, without details
        return IngestEventsResponse(accepted=size)

    async def get_health(self, request: GetHealthRequest, context: Context) -> GetHealthResponse:
        """Answer what standard input said."""
        if "code" in self.report:
            await fail(context, self.report)
        causes = self.report.get("causes", [])
        return GetHealthResponse(
            status=GetHealthResponse.DEGRADED if causes else GetHealthResponse.SERVING, causes=causes
        )

    async def upsert_metadata(self, request: UpsertMetadataRequest, context: Context) -> bytes:
        """Fail with what it was told of rounded numbers, if it was."""
        rounded = dict(context.invocation_metadata() or ()).get("x-conversations-rounded-number")
        if rounded is not None:
            await fail(context, {"code": 6, "message": rounded})
        return b""

    async def obey(self, line: str) -> None:
        """Do what a line of standard input says."""
        command, _, argument = line.strip().partition(" ")
        if command == "health":
            status, _, service = argument.partition(" ")
            await self.health.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
        elif command == "report":
            self.report = json.loads(argument)
        print("done", flush=True)


async def fail(context: Context, failure: Failure) -> None:
    """Fail with a `code`, and, where they are given, a `message`, a `reason` and the seconds until a `retry`."""
    status = Status(code=failure["code"], message=failure.get("message", "as you wish"))
    if "reason" in failure:
        status.details.add().Pack(ErrorInfo(reason=failure["reason"], domain="test"))
    if "retry" in failure:
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=failure["retry"])))
    if status.details:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    code = next(code for code in grpc.StatusCode if code.value[0] == failure["code"])
    await context.abort(code, status.message)


def _method(function: Any, request: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    async def parsed(data: bytes, context: Context) -> Any:
        try:
            message = request.FromString(data)
        except DecodeError:
            await fail(context, {"code": 3, "reason": "MALFORMED_REQUEST"})
        return await function(message, context)

    return grpc.unary_unary_rpc_method_handler(
        parsed,
        response_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
    )


def _handlers(worker: Worker) -> list[grpc.GenericRpcHandler]:
    async def nothing(request: Any, context: Context) -> bytes:
        return b""

    services = {
        "ConversationService": {
            "ListConversations": _method(worker.list_conversations, ListConversationsRequest),
            "GetConversation": _method(worker.get_conversation, GetConversationRequest),
            "MarkConversationRead": _method(nothing, GetConversationRequest),
        },
        "MetadataService": {"UpsertMetadata": _method(worker.upsert_metadata, UpsertMetadataRequest)},
        "TagService": {
            "CreateTag": _method(worker.create_tag, CreateTagRequest),
            "ListTags": _method(worker.list_tags, ListTagsRequest),
        },
        "IngestService": {
            "IngestEvents": _method(worker.ingest_events, IngestEventsRequest),
            "IngestJson": grpc.stream_unary_rpc_method_handler(
                worker.ingest_json, HttpBody.FromString, IngestEventsResponse.SerializeToString
            ),
        },
        "HealthService": {"GetHealth": _method(worker.get_health, GetHealthRequest)},
    }
    return [grpc.method_handlers_generic_handler(f"{PACKAGE}.{name}", methods) for name, methods in services.items()]


async def _serve(port: int) -> None:
    worker = Worker()
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            # Above what Envoy lets through.
            ("grpc.max_metadata_size", 128 * 1024),
            ("grpc.absolute_max_metadata_size", 128 * 1024),
        ]
    )
    server.add_generic_rpc_handlers(tuple(_handlers(worker)))
    health_pb2_grpc.add_HealthServicer_to_server(worker.health, server)
    reflection.enable_server_reflection([f"{PACKAGE}.ConversationService", reflection.SERVICE_NAME], server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await worker.obey(line)
    await server.stop(0)


@click.command(help=__doc__)
@click.option("--port", required=True, type=int, help="Port to listen on.")
def main(port: int) -> None:
    """Serve until standard input ends."""
    uvloop.run(_serve(port))


if __name__ == "__main__":
    main()
