"""The corpus is as skewed as it says, and the same in every run."""

from collections import Counter

from bench.corpus import TAGS, rows


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
