"""The REST paths: the HTTP bindings of the protos, as in the file that Envoy reads them from."""

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
"""Pattern of the content types that Envoy's filters take for gRPC."""

_PACKAGE = "conversations.v1"


@dataclass(frozen=True, slots=True)
class RestRoute:
    """One path."""

    path: str
    verb: str
    """`POST`, with the whole message as body, or `GET`, without any."""
    method: str
    """Full name of the gRPC method."""
    success_status: int
    """204 where the method answers nothing, 201 where it creates, otherwise 200."""
    fields: dict[str, bool] | None
    """The names that the body's keys may have, and whether the field is free data; None where it is not for the
    transcoder to read."""
    streams: bool
    """Whether the answer is a stream."""


@dataclass(frozen=True, slots=True)
class GrpcStream:
    """A method of gRPC whose answers are a stream."""

    path: str
    is_dialogue: bool
    """Whether its requests are a stream too."""


def descriptor_set() -> bytes:
    """Return the protos, for the transcoder."""
    return DESCRIPTORS.read_bytes()


def rest_routes() -> list[RestRoute]:
    """Return a route for each HTTP binding in the protos, aliases too.

    Raises:
        ValueError: A binding is neither POST with the whole message as body nor GET, or a request has a message in it,
            whose keys nobody would check.
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
    """Return the methods of the protos whose answers are a stream."""
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
    """Return what proto3 JSON calls the fields of a request, and whether they are free data."""
    for field in request.field:
        if field.type == FieldDescriptorProto.TYPE_MESSAGE and not field.type_name.startswith(".google.protobuf."):
            raise ValueError(f"{request.name}.{field.name}: a request through REST may not have messages of ours")
    return {
        name: field.type == FieldDescriptorProto.TYPE_MESSAGE
        for field in request.field
        for name in (field.name, field.json_name)
    }


def _bindings(method: MethodDescriptorProto) -> Iterator[tuple[str, str]]:
    if not method.options.HasExtension(http_option):
        return  # for gRPC alone
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
