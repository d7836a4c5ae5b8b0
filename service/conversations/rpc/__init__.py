"""What all calls share, whatever they ask: admission, requests, deadlines, errors, health, reflection."""

from conversations.rpc.admission import Admission, Limits
from conversations.rpc.handlers import MAX_HEADER_BYTES, Handlers, Method
from conversations.rpc.health import Health
from conversations.rpc.peers import Peers
from conversations.rpc.reflection import reflection_methods
from conversations.rpc.server import make_server
from conversations.rpc.statuses import DOMAIN, to_status

__all__ = [
    "DOMAIN",
    "MAX_HEADER_BYTES",
    "Admission",
    "Handlers",
    "Health",
    "Limits",
    "Method",
    "Peers",
    "make_server",
    "reflection_methods",
    "to_status",
]
