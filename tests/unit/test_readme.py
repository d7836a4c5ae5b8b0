"""The README tells the truth, as far as a program can check it."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest
from google.protobuf import json_format
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from conversations.filters import compile_filter, explain, render
from conversations.local.demo import demo_events
from conversations.schema import FIELDS
from conversations.settings import Settings
from conversations.v1.conversation_service_pb2 import ListConversationsResponse
from conversations.v1.event_pb2 import Event

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FILTERS_CHAPTER = README.split("## Filters")[1].split("\n## ")[0]
FILTERS = re.findall(r"^\| `([^`]+)` \|", FILTERS_CHAPTER, re.MULTILINE)
JSON_BLOCKS = re.findall(r"```json\n(.*?)```", README, re.DOTALL)


def default_of(field: FieldInfo) -> str:
    default: Any = field.default
    if default is None:
        return "none"
    return f"`{default.get_secret_value() if isinstance(default, SecretStr) else default}`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_named_with_its_default(name: str) -> None:
    row = f"| `CONVERSATIONS_{name.upper()}` | {default_of(Settings.model_fields[name])} | "
    assert row in README


def test_no_setting_is_named_that_does_not_exist() -> None:
    named = {name.lower() for name in re.findall(r"CONVERSATIONS_([A-Z_]+)", README)}
    assert named == set(Settings.model_fields)


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^    |`)make ([a-z0-9]+)", README, re.MULTILINE))
    assert named >= {"run", "test", "help", "setup"}
    assert named <= targets


def test_paths_are_those_of_the_protos() -> None:
    protos = "".join(path.read_text() for path in (ROOT / "protos/conversations/v1").glob("*.proto"))
    bound = set(re.findall(r'^      post: "(/[^"]+)"', protos, re.MULTILINE))
    named = set(re.findall(r"`(/[a-z]+\.[A-Za-z-]+)`", README))
    assert named == bound


def test_the_answer_shown_is_that_of_the_demo_inbox() -> None:
    answer = json.loads(JSON_BLOCKS[0])
    json_format.ParseDict(answer, ListConversationsResponse())
    (shown,) = answer["data"]
    events = demo_events(datetime.fromisoformat("2024-06-01T12:00:00Z").astimezone(UTC))
    messages = [event["message"] for event in events if "message" in event]
    of_it = [message for message in messages if message["conversation_id"] == shown["id"]]
    (channel,) = [event["channel"] for event in events if event.get("channel", {}).get("id") == of_it[-1]["channel_id"]]
    (change,) = [event["metadata"] for event in events if event.get("metadata", {}).get("id") == shown["id"]]
    last = {key: value for key, value in of_it[-1].items() if key not in ("conversation_id", "channel_id")}
    assert shown == {
        "id": shown["id"],
        "channel": channel,
        "created_at": of_it[0]["sent_at"],
        "metadata": change["metadata"] | {"unread_count": 2},
        "last_message": last | {"state": "DELIVERED", "metadata": {}},
    }
    assert answer["pagination_data"]["total"] == len({message["conversation_id"] for message in messages})


def test_the_events_shown_are_events() -> None:
    events = [json_format.Parse(line, Event()) for line in JSON_BLOCKS[1].splitlines()]
    assert [event.WhichOneof("event") for event in events] == ["channel", "tag", "message", "metadata", "read_receipt"]


def test_there_are_ten_example_filters() -> None:
    assert len(FILTERS) == 10


@pytest.mark.parametrize("text", FILTERS)
def test_an_example_filter_is_understood(text: str) -> None:
    compile_filter(text)


def test_every_field_of_a_filter_is_named() -> None:
    sentence = re.search(r"^- Fields: .*?\.$", FILTERS_CHAPTER, re.MULTILINE | re.DOTALL)
    assert sentence is not None
    assert all(f"`{field.name.removesuffix('<path>')}`" in sentence[0] for field in FIELDS)


def test_the_worked_example_is_what_the_compiler_makes() -> None:
    chapter = (ROOT / "docs/architecture.md").read_text().split("### One filter, from text to page")[1]
    text = re.findall(r"^    (\S.*)$", chapter, re.MULTILINE)[0]
    compiled = compile_filter(text)
    written = re.sub(r"\s+", " ", chapter).replace(", [", ",[")
    assert f"text {compiled.query.text} " in written
    predicate = json.dumps(msgpack.unpackb(compiled.predicate), separators=(",", ":"))
    assert f"predicate {predicate} " in written
    assert render(explain(compiled)).replace("\n", "\n    ") in chapter
