"""ChannelService."""

from conversations.rpc import Context
from conversations.servicers.requests import read_id, read_source
from conversations.store import Store
from conversations.v1 import channel_pb2
from conversations.v1 import channel_service_pb2 as pb

__all__ = ["ChannelServicer"]


class ChannelServicer:
    """Implements ChannelService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ListChannels(self, request: pb.ListChannelsRequest, context: Context) -> pb.ListChannelsResponse:
        source = read_source(request.source, "source") if request.source else ""
        channels = await self._store.channels.list_all()
        return pb.ListChannelsResponse(data=[channel for channel in channels if source in ("", channel.source)])

    async def GetChannel(self, request: pb.GetChannelRequest, context: Context) -> channel_pb2.Channel:
        return await self._store.channels.get(read_id(request.channel_id, "channel_id"))
