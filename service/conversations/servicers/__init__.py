"""The gRPC services: a request comes in, other packages do the work, a response goes out.

A method returns its response message, or the serialised one if the store has the bytes. If a request isn't simply
parsed as its message, a `parse_` method next to it does it.
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
