"""The JSON of the reference to protobuf and back."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from conversations.v1.event_pb2 import Event

__all__ = ["to_event", "to_json", "to_struct"]

FREE = {"message": ("content", "metadata"), "channel": ("metadata",), "metadata": ("metadata",)}


def to_event(event: dict[str, Any]) -> Event:
    """Return the event as protobuf; unlike protobuf's own JSON, numbers in free documents need not be finite."""
    plain = {
        kind: {key: value for key, value in body.items() if key not in FREE.get(kind, ())}
        for kind, body in event.items()
    }
    message = ParseDict(plain, Event())
    for kind, body in event.items():
        for key in FREE.get(kind, ()):
            if body.get(key) is not None:
                part = getattr(getattr(message, kind), key)
                part.CopyFrom(to_value(body[key]) if isinstance(part, Value) else to_struct(body[key]))
    return message


def to_struct(document: dict[str, Any]) -> Struct:
    return Struct(fields={key: to_value(value) for key, value in document.items()})


def to_value(value: Any) -> Value:
    match value:
        case None:
            return Value(null_value=0)  # type: ignore[arg-type]
        case bool():
            return Value(bool_value=value)
        case int() | float():
            return Value(number_value=value)
        case str():
            return Value(string_value=value)
        case dict():
            return Value(struct_value=to_struct(value))
        case _:
            return Value(list_value=ListValue(values=[to_value(item) for item in value]))


def to_json(message: Message) -> dict[str, Any]:
    """Return an answer as the JSON that the contract shows."""
    answer: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return answer
