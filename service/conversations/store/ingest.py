"""Events: applied each atomically, those of one conversation in their order, those of several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from conversations.errors import InvalidFieldError
from conversations.store.channels import Channels
from conversations.store.client import Client
from conversations.store.conversations import Conversations
from conversations.store.documents import ConversationPatch, IncomingMessage
from conversations.store.functions import Steps
from conversations.store.merge import JsonObject
from conversations.store.messages import Messages
from conversations.store.tags import Tags
from conversations.v1 import channel_pb2, tag_pb2

__all__ = ["ConversationChanged", "Happening", "Ingest", "Patched", "Read"]


@dataclass(frozen=True, slots=True)
class Read:
    """A conversation was read."""

    conversation_id: str
    read_at_ms: int


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """The metadata of a conversation changed."""

    id: str
    patch: ConversationPatch


@dataclass(frozen=True, slots=True)
class Patched:
    """The metadata of a message or channel changed."""

    subject: Literal["message", "channel"]
    id: str
    patch: JsonObject


Happening = channel_pb2.Channel | tag_pb2.Tag | IncomingMessage | Read | ConversationChanged | Patched
"""An event that was found valid."""


class Ingest:
    """The way in for events."""

    def __init__(
        self, client: Client, conversations: Conversations, messages: Messages, channels: Channels, tags: Tags
    ) -> None:
        self._client = client
        self._conversations = conversations
        self._messages = messages
        self._channels = channels
        self._tags = tags

    async def apply(self, happenings: Sequence[Happening]) -> dict[int, InvalidFieldError]:
        """Apply events; when it returns, every reader sees them.

        Events of different subjects do not depend on each other, save that conversations get a deleted tag again only
        after the event that brings it back.

        Returns:
            By index, the events that were refused for what they would have made of what is stored.
        """
        refused: dict[int, InvalidFieldError] = {}
        for _, run in groupby(enumerate(happenings), key=lambda numbered: isinstance(numbered[1], tag_pb2.Tag)):
            lanes: dict[str, list[tuple[int, Steps[None]]]] = {}
            for index, happening in run:
                subject, steps = self._steps(happening)
                lanes.setdefault(subject, []).append((index, steps))
            await self._client.run_all([_in_turn(lane, refused) for lane in lanes.values()])
        return refused

    def _steps(self, happening: Happening) -> tuple[str, Steps[None]]:
        """Return what an event is about, and what it does."""
        match happening:
            case channel_pb2.Channel():
                return happening.id, self._channels.put_steps(happening)
            case tag_pb2.Tag():
                return happening.id, self._tags.put_steps(happening)
            case IncomingMessage():
                return happening.conversation_id, self._conversations.message_steps(happening)
            case Read():
                steps = self._conversations.receipt_steps(happening.conversation_id, happening.read_at_ms)
                return happening.conversation_id, steps
            case ConversationChanged():
                return happening.id, self._conversations.patch_steps(happening.id, happening.patch)
            case Patched(subject="message"):
                return happening.id, self._messages.patch_steps(happening.id, happening.patch)
            case Patched():
                return happening.id, self._channels.patch_steps(happening.id, happening.patch)


def _in_turn(lane: Sequence[tuple[int, Steps[None]]], refused: dict[int, InvalidFieldError]) -> Steps[None]:
    for index, steps in lane:
        try:
            yield from steps
        except InvalidFieldError as error:
            refused[index] = error
