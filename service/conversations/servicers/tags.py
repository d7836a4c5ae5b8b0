"""TagService."""

from uuid import uuid4

from google.protobuf.empty_pb2 import Empty

from conversations.rpc import Context
from conversations.servicers.events import MAX_TAG_NAME
from conversations.servicers.requests import check_name, read_color, read_id
from conversations.store import Store
from conversations.v1 import tag_pb2
from conversations.v1 import tag_service_pb2 as pb

__all__ = ["TagServicer"]


class TagServicer:
    """Implements TagService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def CreateTag(self, request: pb.CreateTagRequest, context: Context) -> tag_pb2.Tag:
        check_name(request.name, "name", MAX_TAG_NAME)
        id = read_id(request.id, "id") if request.id else str(uuid4())
        tag = tag_pb2.Tag(id=id, name=request.name, color=read_color(request.color, "color"))
        await self._store.tags.create(tag)
        return tag

    async def UpdateTag(self, request: pb.UpdateTagRequest, context: Context) -> Empty:
        id, name, color = read_id(request.id, "id"), None, None
        if request.HasField("name"):
            check_name(request.name, "name", MAX_TAG_NAME)
            name = request.name
        if request.HasField("color"):
            color = read_color(request.color, "color")
        await self._store.tags.update(id, name, color)
        return Empty()

    async def DeleteTag(self, request: pb.DeleteTagRequest, context: Context) -> Empty:
        await self._store.tags.delete(read_id(request.id, "id"))
        return Empty()

    async def ListTags(self, request: pb.ListTagsRequest, context: Context) -> pb.ListTagsResponse:
        tags = await self._store.tags.list_all()
        return pb.ListTagsResponse(tags=tags, data=tags)
