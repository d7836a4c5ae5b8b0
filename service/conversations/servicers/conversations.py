"""ConversationService."""

from google.protobuf.empty_pb2 import Empty

from conversations.errors import InvalidFieldError
from conversations.filters import compile_filter
from conversations.rpc import Context
from conversations.servicers.events import MAX_DISPLAY_NAME
from conversations.servicers.requests import check_name, read_id, read_page_size
from conversations.servicers.wire import page_bytes
from conversations.store import ConversationPatch, Store
from conversations.times import now_ms
from conversations.v1 import conversation_pb2
from conversations.v1 import conversation_service_pb2 as pb

__all__ = ["ConversationServicer"]


class ConversationServicer:
    """Implements ConversationService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ListConversations(self, request: pb.ListConversationsRequest, context: Context) -> bytes:
        limit = read_page_size(request.page_size)
        page = await self._store.listing.page(compile_filter(request.filters), request.cursor, limit)
        pagination_data = pb.PaginationData(
            previous_cursor=page.previous_cursor,
            next_cursor=page.next_cursor,
            filtered_total=page.filtered_total,
            total=page.total,
            badge_unread_count=page.unread,
        )
        return page_bytes(page.conversations, pagination_data.SerializeToString())

    async def GetConversation(self, request: pb.GetConversationRequest, context: Context) -> bytes:
        return await self._store.conversations.get(read_id(request.conversation_id, "conversation_id"))

    async def MarkConversationRead(self, request: pb.MarkConversationReadRequest, context: Context) -> Empty:
        await self._store.conversations.mark_read(read_id(request.conversation_id, "conversation_id"), now_ms())
        return Empty()

    async def TagConversation(self, request: pb.TagConversationRequest, context: Context) -> Empty:
        id, tag_id = read_id(request.conversation_id, "conversation_id"), read_id(request.tag_id, "tag_id")
        await self._store.tags.require(tag_id)
        await self._store.conversations.tag(id, tag_id)
        return Empty()

    async def UntagConversation(self, request: pb.UntagConversationRequest, context: Context) -> Empty:
        id, tag_id = read_id(request.conversation_id, "conversation_id"), read_id(request.tag_id, "tag_id")
        await self._store.tags.require(tag_id)
        await self._store.conversations.untag(id, tag_id)
        return Empty()

    async def SetConversationState(self, request: pb.SetConversationStateRequest, context: Context) -> Empty:
        states = {
            conversation_pb2.ConversationMetadata.OPEN: "OPEN",
            conversation_pb2.ConversationMetadata.CLOSED: "CLOSED",
        }
        id = read_id(request.conversation_id, "conversation_id")
        if request.state not in states:
            raise InvalidFieldError("state", "has to be OPEN or CLOSED")
        await self._store.conversations.set_state(id, states[request.state])
        return Empty()

    async def RemoveConversationState(self, request: pb.RemoveConversationStateRequest, context: Context) -> Empty:
        await self._store.conversations.set_state(read_id(request.conversation_id, "conversation_id"), None)
        return Empty()

    async def UpdateContact(self, request: pb.UpdateContactRequest, context: Context) -> Empty:
        id = read_id(request.conversation_id, "conversation_id")
        check_name(request.display_name, "display_name", MAX_DISPLAY_NAME)
        patch = ConversationPatch({"contact": {"display_name": request.display_name}})
        await self._store.conversations.patch(id, patch)
        return Empty()
