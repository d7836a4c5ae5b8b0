"""`grpc.reflection.v1` and `v1alpha`, which describe services to programs without their protos.

The library has v1alpha only. The messages of v1 are the same under another name, so the same code answers both.

Source:
    https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

from conversations.rpc.calls import Method

__all__ = ["reflection_methods"]


def reflection_methods(services: Sequence[str]) -> list[Method]:
    """Return the methods of reflection.

    Args:
        services: Full names of the services to describe, besides reflection itself.
    """
    files = (reflection_pb2.DESCRIPTOR, _describe_v1())
    described = [file.services_by_name["ServerReflection"] for file in files]
    servicer = reflection.aio.ReflectionServicer([*services, *(service.full_name for service in described)])

    parse = reflection_pb2.ServerReflectionRequest.FromString
    return [Method(service.methods[0], servicer.ServerReflectionInfo, parse) for service in described]


def _describe_v1() -> Any:
    """Add v1 to the default pool, where reflection finds it, and return its file."""
    older = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(older)
    file = text_format.Parse(text_format.MessageToString(older).replace("v1alpha", "v1"), FileDescriptorProto())
    file.options.ClearField("deprecated")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)
