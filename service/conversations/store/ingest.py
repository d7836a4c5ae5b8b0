"""Events: applied each atomically, those of one conversation in their order, those of several side by side."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from conversations.errors import DamagedRecordError, InvalidFieldError
from conversations.store.channels import Channels
from conversations.store.client import Client
from conversations.store.conversations import Conversations
from conversations.store.documents import ConversationPatch, IncomingMessage
from conversations.store.functions import Steps
from conversations.store.merge import JsonObject
from conversations.store.messages import Messages
from conversations.store.tags import Tags
from conversations.times import now_ms
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

# By index.
_Refused = dict[int, InvalidFieldError | DamagedRecordError]

# They read what is there before they change it.
_READ_FIRST = (ConversationChanged, Patched, channel_pb2.Channel)


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

    async def apply(self, happenings: Sequence[Happening]) -> dict[int, InvalidFieldError | DamagedRecordError]:
        """Apply events; when it returns, every reader sees them.

        Events of different subjects do not depend on each other, save that conversations get a deleted tag again only
        after the event that brings it back.

        Returns:
            By index, the events that were refused for what they would have made of what is stored, or because that is
            damaged.
        """
        refused: _Refused = {}
        for _, run in groupby(enumerate(happenings), key=lambda numbered: isinstance(numbered[1], tag_pb2.Tag)):
            lanes: dict[str, list[tuple[int, Happening]]] = {}
            for index, happening in run:
                lanes.setdefault(_subject(happening), []).append((index, happening))
            await self._run(lanes, refused)
        return refused

    async def _run(self, lanes: Mapping[str, Sequence[tuple[int, Happening]]], refused: _Refused) -> None:
        """Run all lanes side by side; what others are changing just then waits for its turn."""
        turns = self._client.turns
        together, taken, later = [], [], []
        try:
            for subject, lane in lanes.items():
                steps = self._in_turn(lane, refused)
                if not any(isinstance(happening, _READ_FIRST) for _, happening in lane):
                    together.append(steps)
                elif turns.take(subject):
                    taken.append(subject)
                    together.append(steps)
                else:
                    later.append(self._client.run_in_turn(subject, steps))
            if later:
                await asyncio.gather(self._client.run_all(together), *later)
            else:
                await self._client.run_all(together)
        finally:
            for subject in taken:
                turns.give(subject)

    def _in_turn(self, lane: Sequence[tuple[int, Happening]], refused: _Refused) -> Steps[None]:
        for index, happening in lane:
            try:
                yield from self._steps(happening)
            except (InvalidFieldError, DamagedRecordError) as error:
                refused[index] = error

    def _steps(self, happening: Happening) -> Steps[None]:
        """Return what an event does."""
        match happening:
            case channel_pb2.Channel():
                return self._channels.put_steps(happening)
            case tag_pb2.Tag():
                return self._tags.put_steps(happening)
            case IncomingMessage():
                return self._conversations.message_steps(happening)
            case Read():
                return self._conversations.receipt_steps(happening.conversation_id, happening.read_at_ms, now_ms())
            case ConversationChanged():
                return self._conversations.patch_steps(happening.id, happening.patch)
            case Patched(subject="message"):
                return self._messages.patch_steps(happening.id, happening.patch)
            case Patched():
                return self._channels.patch_steps(happening.id, happening.patch)


def _subject(happening: Happening) -> str:
    """Return the id of what an event is about."""
    return happening.conversation_id if isinstance(happening, IncomingMessage | Read) else happening.id
