"""MessageService."""

from conversations.rpc import Context
from conversations.servicers.requests import read_id, read_page_size
from conversations.servicers.wire import page_bytes
from conversations.store import Store
from conversations.v1 import message_service_pb2 as pb

__all__ = ["MessageServicer"]


class MessageServicer:
    """Implements MessageService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> bytes:
        id = read_id(request.conversation_id, "conversation_id")
        page = await self._store.messages.list_page(id, request.cursor, read_page_size(request.page_size))
        pagination_data = pb.MessagePaginationData(
            previous_cursor=page.previous_cursor, next_cursor=page.next_cursor, total=page.total
        )
        return page_bytes(page.messages, pagination_data.SerializeToString())
