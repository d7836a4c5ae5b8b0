"""What the clients and the inbox page of Airy Core rely on, call by call."""

from typing import Any

import pytest
from tests.e2e.cases import Ids, at, message
from tests.rest import Rest

Json = dict[str, Any]


@pytest.fixture
def ids(request: pytest.FixtureRequest) -> Ids:
    return Ids(f"airy {request.node.name}")


def ask(rest: Rest, path: str, body: Json | None = None) -> Any:
    answer = rest.post(path, body)
    assert answer.status in (200, 201), answer
    return answer.json


def tell(rest: Rest, path: str, body: Json) -> None:
    answer = rest.post(path, body)
    assert (answer.status, answer.body) == (204, b"")


def test_the_inbox_lists_pages_of_twenty_by_cursor_and_by_number(rest: Rest, ids: Ids) -> None:
    events = [message(ids, f"conversation {number}", number, number) for number in range(25)]
    assert ask(rest, "/events.ingest", {"events": events})["accepted"] == 25
    first = ask(rest, "/conversations.list", {"page_size": None, "cursor": None, "filters": ids.own})
    paging = first["pagination_data"]
    assert (len(first["data"]), paging["previous_cursor"], paging["filtered_total"]) == (20, "", 25)
    second = ask(rest, "/conversations.list", {"cursor": paging["next_cursor"], "filters": ids.own})
    assert second == ask(rest, "/conversations.list", {"cursor": 20, "filters": ids.own}) | {
        "pagination_data": second["pagination_data"]
    }
    assert [len(second["data"]), second["pagination_data"]["next_cursor"]] == [5, ""]


def test_a_conversation_has_every_part_that_the_page_reads(rest: Rest, ids: Ids) -> None:
    ask(rest, "/events.ingest", {"events": [message(ids, "conversation", 1)]})
    found = ask(rest, "/conversations.info", {"conversation_id": ids("conversation")})
    assert found["channel"]["metadata"]["name"] == f"Facebook {ids('channel')[-5:]}"
    assert found["metadata"]["contact"]["display_name"] == f"Facebook {ids('conversation')[-5:]}"
    assert (found["metadata"]["tags"], found["metadata"]["unread_count"]) == ({}, 1)
    last = found["last_message"]
    assert (last["delivery_state"], last["from_contact"], last["sent_at"]) == ("DELIVERED", True, at(0))
    [shown] = ask(rest, "/messages.list", {"conversation_id": ids("conversation"), "cursor": None})["data"]
    assert shown == last


def test_agents_read_tag_and_close_by_either_spelling(rest: Rest, ids: Ids) -> None:
    ask(rest, "/events.ingest", {"events": [message(ids, "conversation", 1)]})
    id = {"conversation_id": ids("conversation")}
    tag = ask(rest, "/tags.create", {"name": "Urgent", "color": "tag-red"})
    for path in ("/conversations.markRead", "/conversations.mark-read", "/conversations.read"):
        tell(rest, path, id)
    tell(rest, "/conversations.tag", id | {"tag_id": tag["id"]})
    for path in ("/conversations.setState", "/conversations.set-state"):
        tell(rest, path, id | {"state": "CLOSED"})
    for path in ("/conversations.updateContact", "/conversations.update-contact"):
        tell(rest, path, id | {"display_name": "Ada Lovelace"})
    shown = ask(rest, "/conversations.info", id)["metadata"]
    assert shown == {
        "contact": {"display_name": "Ada Lovelace"},
        "tags": {tag["id"]: ""},
        "unread_count": 0,
        "state": "CLOSED",
    }
    for filters in ("display_name:*Lovelace", f"tag_ids:{tag['id']}", "state:CLOSED", "unread_count:0"):
        found = ask(rest, "/conversations.list", {"filters": f"({filters}) AND {ids.own}"})
        assert [one["id"] for one in found["data"]] == [ids("conversation")], filters
    tell(rest, "/conversations.untag", id | {"tag_id": tag["id"]})
    tell(rest, "/conversations.removeState", id)
    assert ask(rest, "/conversations.info", id)["metadata"]["tags"] == {}


def test_lists_of_tags_and_channels_are_data(rest: Rest, ids: Ids) -> None:
    channels = [
        {"channel": {"id": ids(source), "source": source, "source_channel_id": "x", "connected": True}}
        for source in ("facebook", "twilio.sms")
    ]
    ask(rest, "/events.ingest", {"events": channels})
    tag = {"id": ids("tag"), "name": "Later", "color": "tag-blue"}
    for _ in range(2):
        assert ask(rest, "/tags.create", tag | {"id": tag["id"].upper()}) == tag
    listed = ask(rest, "/tags.list")
    assert listed["data"] == listed["tags"]
    assert tag in listed["data"]
    answer = rest.post("/tags.create", tag | {"name": "Sooner"})
    assert (answer.status, answer.json["details"][0]["reason"]) == (409, "TAG_EXISTS")
    everything = ask(rest, "/channels.list")["data"]
    assert {ids("facebook"), ids("twilio.sms")} <= {channel["id"] for channel in everything}
    found = ask(rest, "/channels.list", {"source": "twilio.sms"})["data"]
    assert found == [channel for channel in everything if channel["source"] == "twilio.sms"]
    assert all(channel["metadata"]["name"] for channel in everything)


def test_the_source_is_that_of_the_channel(rest: Rest, ids: Ids) -> None:
    ask(rest, "/events.ingest", {"events": [message(ids, "conversation", 1, source="twilio.sms")]})
    id = {"conversation_id": ids("conversation")}
    assert ask(rest, "/conversations.info", id)["metadata"]["contact"]["display_name"].startswith("Sms ")
    channel = {"id": ids("channel"), "source": "viber", "metadata": {"name": "Viber"}}
    ask(rest, "/events.ingest", {"events": [{"channel": channel}]})
    found = ask(rest, "/conversations.list", {"filters": f"source:viber AND {ids.own}"})["data"]
    assert [one["metadata"]["contact"]["display_name"] for one in found] == [f"Viber {ids('conversation')[-5:]}"]
    assert found[0]["last_message"]["source"] == "twilio.sms"
