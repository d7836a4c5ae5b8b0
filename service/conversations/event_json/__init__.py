"""Events as JSON text: each is read alone, whatever the others are, and an error names its field.

protobuf's own reader of JSON builds a whole request at once, rounds large integers without a word, and its errors speak
of protobuf.
"""

from conversations.event_json.messages import MAX_FREE_BYTES, MAX_LEVELS
from conversations.event_json.text import MAX_EVENT_TEXT, parse_event, read_events

__all__ = ["MAX_EVENT_TEXT", "MAX_FREE_BYTES", "MAX_LEVELS", "parse_event", "read_events"]
