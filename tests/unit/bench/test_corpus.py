"""The corpus is as skewed as it says, and the same in every run."""

from collections import Counter
from itertools import islice
from uuid import UUID

from bench.corpus import CHANNELS, TAGS, events, new_messages, rows


def test_two_runs_have_the_same_rows() -> None:
    assert list(rows(100)) == list(rows(100))


def test_user_data_changes_nothing_else() -> None:
    for full, bare in zip(rows(100), rows(100, user_data=False), strict=True):
        assert full.user_data
        assert not bare.user_data
        assert (full.id, full.name, full.tags, full.text) == (bare.id, bare.name, bare.tags, bare.text)


def test_the_skew() -> None:
    found = list(rows(10_000, user_data=False))
    assert all(len(set(row.tags)) == 3 and len(row.text.encode()) == 100 for row in found)
    states, unread = Counter(row.state for row in found), sum(row.unread for row in found)
    tags = Counter(tag for row in found for tag in row.tags)
    assert 6800 < states["CLOSED"] < 7200
    assert 1800 < states["OPEN"] < 2200
    assert 900 < unread < 1100
    assert tags[TAGS[0]] > 5 * tags[TAGS[-1]]


def test_two_values_are_of_one_conversation_each() -> None:
    found = [row.user_data for row in rows(20_000)]
    for name in ("order_total", "last_seen"):
        assert len({data[name] for data in found}) == len(found)
    totals = [data["order_total"] for data in found]
    assert all(isinstance(total, float) != (total == int(str(total).partition(".")[0])) for total in totals)
    days = [str(data["last_seen"])[:7] for data in found]
    assert {min(days), max(days)} == {"2020-07", "2021-12"}
    assert 0.3 < sum(day.startswith("2020") for day in days) / len(days) < 0.36


def test_ids_are_random_uuids() -> None:
    assert all(UUID(row.id).version == 4 and str(UUID(row.id)) == row.id for row in rows(100))


def test_new_messages_have_ids_of_their_own_and_are_later_than_the_corpus_and_each_other() -> None:
    known = {row.id: row for row in rows(100, user_data=False)}
    found = list(islice(new_messages(100), 200))
    times = [max(row.sent_at_ms for row in known.values()), *(row.sent_at_ms for row in found)]
    assert times == sorted(set(times))
    assert {row.id for row in found} <= known.keys()
    assert not {row.message_id for row in found} & {row.message_id for row in known.values()}
    assert len({row.message_id for row in found}) == 200


def test_the_events_have_everything() -> None:
    kinds = Counter(event.WhichOneof("event") for event in events(100, user_data=False))
    read = sum(not row.unread for row in rows(100))
    expected = {"tag": len(TAGS), "channel": len(CHANNELS), "message": 100, "metadata": 100, "read_receipt": read}
    assert kinds == expected
