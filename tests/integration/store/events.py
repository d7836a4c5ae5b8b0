"""Short ways to say what happens, and to ask what the store answers."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import json_format

from conversations.filters import compile_filter
from conversations.servicers.events import read_event
from conversations.store import Change, ConversationPage, Store
from conversations.v1 import conversation_pb2, event_pb2, message_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse
from conversations.v1.message_service_pb2 import ListMessagesResponse

CHANNEL = "318efa04-7cc1-4200-988e-50699d0dd6e3"


def uuid(kind: str, number: int) -> str:
    """Return the id of a thing: `c` for a conversation, `m` for a message, and so on. Greater number, greater id."""
    # Something in the middle that spreads ids over partitions.
    noise = (number + 1) * 2_654_435_761 >> 8 & 0xFFF
    return f"{number:08x}-{ord(kind):04x}-4{noise:03x}-8000-{number:012x}"


def conversation_id(number: int) -> str:
    return uuid("c", number)


def message_id(number: int) -> str:
    return uuid("m", number)


def tag_id(number: int) -> str:
    return uuid("t", number)


def time_text(second: float) -> str:
    """Return a time so many seconds into a day of 2019."""
    minutes, seconds = divmod(second, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"2019-01-07T{hours:02d}:{minutes:02d}:{seconds:06.3f}Z"


def event(**fields: Any) -> Change:
    return read_event(json_format.ParseDict(fields, event_pb2.Event()))


def message(conversation: int, number: int, second: float = 0, **fields: Any) -> Change:
    """A message of the contact, sent so many seconds into a day."""
    facts: dict[str, Any] = {
        "id": message_id(number),
        "conversation_id": conversation_id(conversation),
        "channel_id": CHANNEL,
        "sender": {"id": "sender"},
        "content": {"text": "Hello"},
        "from_contact": True,
        "sent_at": time_text(second),
        "source": "facebook",
    }
    return event(message=facts | fields)


def metadata(conversation: int, **patch: Any) -> Change:
    return event(metadata={"subject": "conversation", "id": conversation_id(conversation), "metadata": patch})


def named(conversation: int, name: str) -> Change:
    return metadata(conversation, contact={"display_name": name})


def message_metadata(number: int, **patch: Any) -> Change:
    return event(metadata={"subject": "message", "id": message_id(number), "metadata": patch})


def channel_metadata(id: str, **patch: Any) -> Change:
    return event(metadata={"subject": "channel", "id": id, "metadata": patch})


def channel(id: str, **fields: Any) -> Change:
    return event(channel={"id": id, "source": "facebook", **fields})


def tag(number: int, name: str = "Urgent", color: str = "tag-red") -> Change:
    return event(tag={"id": tag_id(number), "name": name, "color": color})


def receipt(conversation: int, second: float) -> Change:
    return event(read_receipt={"conversation_id": conversation_id(conversation), "read_at": time_text(second)})


async def apply(store: Store, *changes: Change) -> None:
    """Apply events, of which none may be refused."""
    assert not await store.ingest.apply(changes)


async def page(store: Store, filters: str = "", cursor: str = "", limit: int = 100) -> ConversationPage:
    return await store.listing.page(compile_filter(filters), cursor, limit)


def ids_of(page: ConversationPage) -> list[str]:
    return [conversation.id for conversation in ListConversationsResponse.FromString(page.conversations).data]


async def find(store: Store, filters: str = "") -> set[int]:
    """Return the numbers of the conversations that match, and check that the total counts them."""
    found = await page(store, filters)
    ids = ids_of(found)
    assert found.filtered_total == len(ids)
    return {int(id[:8], 16) for id in ids}


async def get(store: Store, conversation: int) -> conversation_pb2.Conversation:
    return conversation_pb2.Conversation.FromString(await store.conversations.get(conversation_id(conversation)))


async def messages(store: Store, conversation: int) -> list[message_pb2.Message]:
    listed = await store.messages.list_page(conversation_id(conversation), "", 100)
    return list(ListMessagesResponse.FromString(listed.messages).data)


async def walk(store: Store, filters: str, limit: int, *, start: str = "") -> AsyncIterator[ConversationPage]:
    """Yield the pages from a cursor to the last one."""
    cursor = start
    while True:
        found = await page(store, filters, cursor, limit)
        yield found
        cursor = found.next_cursor
        if not cursor:
            return
