"""The gRPC services: a request comes in, rooms are asked, a response goes out.

A method returns its response message, or the bytes of one where the store keeps them ready. Where a request is not
simply parsed as its message, a `parse_` beside the method says how.
"""

from conversations.servicers.channels import ChannelServicer
from conversations.servicers.conversations import ConversationServicer
from conversations.servicers.filters import FilterServicer
from conversations.servicers.health import HealthServicer
from conversations.servicers.ingest import IngestServicer
from conversations.servicers.messages import MessageServicer
from conversations.servicers.metadata import MetadataServicer
from conversations.servicers.tags import TagServicer

__all__ = [
    "ChannelServicer",
    "ConversationServicer",
    "FilterServicer",
    "HealthServicer",
    "IngestServicer",
    "MessageServicer",
    "MetadataServicer",
    "TagServicer",
]
