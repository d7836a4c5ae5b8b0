"""ChannelService."""

from conversations.servicers.requests import read_id
from conversations.store import Store
from conversations.v1 import channel_pb2
from conversations.v1 import channel_service_pb2 as pb

__all__ = ["ChannelServicer"]


class ChannelServicer:
    """The channels."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ListChannels(self, _request: pb.ListChannelsRequest) -> pb.ListChannelsResponse:
        return pb.ListChannelsResponse(data=await self._store.channels.list_all())

    async def GetChannel(self, request: pb.GetChannelRequest) -> channel_pb2.Channel:
        return await self._store.channels.get(read_id(request.channel_id, "channel_id"))
