"""What all calls share: context, admission, deadlines, errors, health, reflection."""

from conversations.rpc.admission import Admission, Limits
from conversations.rpc.calls import MAX_REQUEST_BYTES, Answer, Call, Context, Interceptor, Method
from conversations.rpc.handlers import MAX_HEADER_BYTES, Handlers
from conversations.rpc.health import Health
from conversations.rpc.interceptors import INTERCEPTORS
from conversations.rpc.peers import Peers
from conversations.rpc.reflection import reflection_methods
from conversations.rpc.server import make_server
from conversations.rpc.statuses import DOMAIN, to_status

__all__ = [
    "DOMAIN",
    "INTERCEPTORS",
    "MAX_HEADER_BYTES",
    "MAX_REQUEST_BYTES",
    "Admission",
    "Answer",
    "Call",
    "Context",
    "Handlers",
    "Health",
    "Interceptor",
    "Limits",
    "Method",
    "Peers",
    "make_server",
    "reflection_methods",
    "to_status",
]
