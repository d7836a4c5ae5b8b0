"""MetadataService."""

from google.protobuf.empty_pb2 import Empty

from conversations.errors import InvalidFieldError
from conversations.rpc import Context
from conversations.servicers.requests import check_free_data, read_id
from conversations.store import ConversationPatch, Store, to_json
from conversations.v1 import metadata_service_pb2 as pb

__all__ = ["MetadataServicer"]


class MetadataServicer:
    """Implements MetadataService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def UpsertMetadata(self, request: pb.UpsertMetadataRequest, context: Context) -> Empty:
        id = read_id(request.id, "id")
        if not request.HasField("data"):
            raise InvalidFieldError("data", "is missing")
        # It becomes `user_data`: a separate object in a conversation, part of the metadata elsewhere.
        check_free_data(request.data, "data", level=1 if request.subject == "conversation" else 2)
        patch = {"user_data": to_json(request.data)}
        match request.subject:
            case "conversation":
                await self._store.conversations.patch(id, ConversationPatch(patch))
            case "message":
                await self._store.messages.patch(id, patch)
            case "channel":
                await self._store.channels.patch(id, patch)
            case _:
                raise InvalidFieldError("subject", "has to be conversation, message or channel")
        return Empty()
