"""Events as JSON text: each is read on its own, and errors name the field.

protobuf's own JSON parser builds a whole request at once, silently rounds large integers, and its errors speak of
protobuf.
"""

from conversations.event_json.messages import MAX_FREE_BYTES, MAX_LEVELS
from conversations.event_json.text import MAX_EVENT_TEXT, parse_event, read_events

__all__ = ["MAX_EVENT_TEXT", "MAX_FREE_BYTES", "MAX_LEVELS", "parse_event", "read_events"]
