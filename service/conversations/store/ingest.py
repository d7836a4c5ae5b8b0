"""Applies changes: each atomically, those of one subject in order, those of several subjects concurrently."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby

from conversations.errors import DamagedRecordError, InvalidFieldError
from conversations.store.changes import (
    Change,
    MarkRead,
    PatchChannel,
    PatchConversation,
    PatchMessage,
    PutChannel,
    PutMessage,
    PutTag,
    reads_first,
    subject_of,
)
from conversations.store.channels import Channels
from conversations.store.client import Client
from conversations.store.conversations import Conversations
from conversations.store.functions import Steps
from conversations.store.messages import Messages
from conversations.store.tags import Tags
from conversations.times import now_ms

__all__ = ["Ingest"]


# By index.
_Rejected = dict[int, InvalidFieldError | DamagedRecordError]


class Ingest:
    """Applies the changes that events make."""

    def __init__(
        self, client: Client, conversations: Conversations, messages: Messages, channels: Channels, tags: Tags
    ) -> None:
        self._client = client
        self._conversations = conversations
        self._messages = messages
        self._channels = channels
        self._tags = tags

    async def apply(self, changes: Sequence[Change]) -> dict[int, InvalidFieldError | DamagedRecordError]:
        """Apply changes; when it returns, every reader sees them.

        Changes of different subjects are independent, except that conversations get a deleted tag only after the
        change that restores it.

        Returns:
            By index, the errors of rejected changes: their result would be invalid, or a stored record is damaged.
        """
        rejected: _Rejected = {}
        for _, run in groupby(enumerate(changes), key=lambda numbered: isinstance(numbered[1], PutTag)):
            lanes: dict[str, list[tuple[int, Change]]] = {}
            for index, change in run:
                lanes.setdefault(subject_of(change), []).append((index, change))
            await self._run(lanes, rejected)
        return rejected

    async def _run(self, lanes: Mapping[str, Sequence[tuple[int, Change]]], rejected: _Rejected) -> None:
        """Run all lanes concurrently; a subject that another call is changing waits for its turn."""
        turns = self._client.turns
        together, taken, later = [], [], []
        try:
            for subject, lane in lanes.items():
                steps = self._in_turn(lane, rejected)
                if not any(reads_first(change) for _, change in lane):
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

    def _in_turn(self, lane: Sequence[tuple[int, Change]], rejected: _Rejected) -> Steps[None]:
        for index, change in lane:
            try:
                yield from self._steps(change)
            except (InvalidFieldError, DamagedRecordError) as error:
                rejected[index] = error

    def _steps(self, change: Change) -> Steps[None]:
        """Return the steps of a change."""
        match change:
            case PutChannel(channel):
                return self._channels.put_steps(channel)
            case PutTag(tag):
                return self._tags.put_steps(tag)
            case PutMessage():
                return self._conversations.message_steps(change)
            case MarkRead(id, read_at_ms):
                return self._conversations.receipt_steps(id, read_at_ms, now_ms())
            case PatchConversation(id, patch):
                return self._conversations.patch_steps(id, patch)
            case PatchMessage(id, document):
                return self._messages.patch_steps(id, document)
            case PatchChannel(id, document):
                return self._channels.patch_steps(id, document)
