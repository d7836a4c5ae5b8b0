"""What is stored is read as what the service writes, or is damage that is reported."""

from collections.abc import Callable
from typing import Any

import pytest

from conversations.errors import DamagedRecordError
from conversations.store import damage
from conversations.store.damage import read_changes, read_count, read_document, read_object, report_damage


@pytest.mark.parametrize(
    ("read", "text", "kind"),
    [
        (lambda text: read_object("message", "x", text), b"[]", "message"),
        (lambda text: read_document("x", text), b"{", "conversation"),
        (lambda text: read_document("x", text), b'{"contact":5}', "conversation"),
        (lambda text: read_changes("channel", "x", text), b"5", "channel"),
        (lambda text: read_changes("channel", "x", text), b'{"k":1}', "channel"),
        (lambda text: read_changes("message", "x", text), b'{"k":{"merge":{"k":{}}}}', "message"),
    ],
)
def test_what_the_service_does_not_write_is_damage(read: Callable[[bytes], Any], text: bytes, kind: str) -> None:
    assert read(b"") == read(b"{}") == {}
    with pytest.raises(DamagedRecordError) as caught:
        read(text)
    assert (caught.value.kind, caught.value.id) == (kind, "x")


@pytest.mark.parametrize(
    ("text", "count"),
    [(b"0", 0), (b"9999999999", 10**10 - 1), (b"10000000000", None), (b"", None), (b"-1", None), (b"1.0", None)],
)
def test_counts(text: bytes, count: int | None) -> None:
    assert read_count(text) == count


def test_a_record_is_named_once_an_hour(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 10_000.0
    monkeypatch.setattr(damage, "monotonic", lambda: now)
    damage._named.clear()

    def named() -> list[str]:
        lines = [record.getMessage().split()[2] for record in caplog.records]
        caplog.clear()
        return lines

    for kind, id in (("tag", "a"), ("tag", "a"), ("tag", "b"), ("channel", "a")):
        report_damage(kind, id)
    assert named() == ["a", "b", "a"]
    now += 3599
    report_damage("tag", "a")
    report_damage("tag", "c")
    assert named() == ["c"]
    now += 2
    report_damage("tag", "a")
    report_damage("tag", "c")
    assert named() == ["a"]


def test_so_many_records_are_named_in_an_hour(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(damage, "monotonic", lambda: 0.0)
    damage._named.clear()
    for number in range(1005):
        report_damage("tag", f"{number}")
    assert len(caplog.records) == 1000
    damage._named.clear()
