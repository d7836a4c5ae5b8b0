"""The REST paths: the HTTP bindings of the protos, from the descriptor set that Envoy reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.api.annotations_pb2 import http as http_option
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

__all__ = [
    "FOLDER",
    "GRPC_TYPES",
    "GrpcStream",
    "RestRoute",
    "descriptor_set",
    "grpc_streams",
    "rest_routes",
    "service_names",
]

FOLDER = Path(__file__).parent / "envoy"
"""Templates and scripts of Envoy's configuration."""

DESCRIPTORS = FOLDER / "conversations.binpb"

GRPC_TYPES = r"application/grpc(-web(-text)?)?([+].*)?"
"""Pattern of the content types that Envoy's filters treat as gRPC."""

_PACKAGE = "conversations.v1"


@dataclass(frozen=True, slots=True)
class RestRoute:
    """One path."""

    path: str
    verb: str
    """`POST`, with the whole message as body, or `GET`, without a body."""
    method: str
    """Full name of the gRPC method."""
    success_status: int
    """204 if the method returns nothing, 201 if it creates, otherwise 200."""
    fields: dict[str, bool] | None
    """The allowed keys of the body, and whether the field is free-form data; None if the transcoder does not read
    it."""
    streams: bool
    """Whether the response is a stream."""


@dataclass(frozen=True, slots=True)
class GrpcStream:
    """A gRPC method whose responses are a stream."""

    path: str
    is_bidirectional: bool
    """Whether its requests are a stream too."""


def descriptor_set() -> bytes:
    """Return the descriptor set of the protos, for the transcoder."""
    return DESCRIPTORS.read_bytes()


def rest_routes() -> list[RestRoute]:
    """Return a route for each HTTP binding in the protos, including aliases.

    Raises:
        ValueError: A binding is neither POST with the whole message as body nor GET, or a request contains a message,
            whose keys would not be checked.
    """
    requests = {f".{_PACKAGE}.{message.name}": message for file in _files() for message in file.message_type}
    return [
        RestRoute(
            path,
            verb,
            f"{service}.{method.name}",
            _success_status(method),
            _fields(requests[method.input_type]) if verb == "POST" and method.input_type in requests else None,
            method.server_streaming,
        )
        for service, methods in _services().items()
        for method in methods
        for verb, path in _bindings(method)
    ]


def grpc_streams() -> list[GrpcStream]:
    """Return the methods of the protos whose responses are a stream."""
    return [
        GrpcStream(f"/{service}/{method.name}", method.client_streaming)
        for service, methods in _services().items()
        for method in methods
        if method.server_streaming
    ]


def service_names() -> list[str]:
    """Return the full names of the services that have REST paths."""
    return list(_services())


def _files() -> list[FileDescriptorProto]:
    files = FileDescriptorSet.FromString(descriptor_set()).file
    return [file for file in files if file.package == _PACKAGE]


def _services() -> dict[str, list[MethodDescriptorProto]]:
    return {f"{_PACKAGE}.{service.name}": list(service.method) for file in _files() for service in file.service}


def _fields(request: DescriptorProto) -> dict[str, bool]:
    """Return the proto3 JSON names of a request's fields, and whether they are free-form data."""
    for field in request.field:
        if field.type == FieldDescriptorProto.TYPE_MESSAGE and not field.type_name.startswith(".google.protobuf."):
            raise ValueError(f"{request.name}.{field.name}: a REST request must not contain messages of our own")
    return {
        name: field.type == FieldDescriptorProto.TYPE_MESSAGE
        for field in request.field
        for name in (field.name, field.json_name)
    }


def _bindings(method: MethodDescriptorProto) -> Iterator[tuple[str, str]]:
    if not method.options.HasExtension(http_option):
        return  # gRPC only
    rule = method.options.Extensions[http_option]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        wanted_body = {"post": "*", "get": ""}.get(verb)
        path = getattr(binding, verb) if wanted_body is not None else ""
        if binding.body != wanted_body or "{" in path:
            raise ValueError(f"{method.name}: only POST with body '*' and GET, with a fixed path, have a route")
        yield verb.upper(), path


def _success_status(method: MethodDescriptorProto) -> int:
    if method.output_type == ".google.protobuf.Empty":
        return 204
    return 201 if method.name.startswith("Create") else 200
