"""Pages of records of which some are damaged."""

from hypothesis import given
from hypothesis import strategies as st

from conversations.store.pages import fill_page

Row = tuple[int, bytes, bytes]


class Records:
    """Records in their order, each sound or not."""

    def __init__(self, sound: list[bool]) -> None:
        self._rows = [(number, b"key", b"sound" if is_sound else b"damaged") for number, is_sound in enumerate(sound)]
        self.asked: list[int] = []
        self.judged: list[int] = []

    async def fetch(self, last: Row | None, wanted: int) -> tuple[list[Row], bool]:
        self.asked.append(wanted)
        start = last[0] + 1 if last is not None else 0
        return self._rows[start : start + wanted], len(self._rows) > start + wanted

    def judge(self, row: Row) -> Row:
        self.judged.append(row[0])
        return row[0], row[1], row[2] if row[2] == b"sound" else b""


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 6))
async def test_a_page_is_filled_with_sound_records_as_far_as_there_are(sound: list[bool], limit: int) -> None:
    records = Records(sound)
    rows, more = await fill_page(limit, records.fetch, records.judge)
    places = [number for number, is_sound in enumerate(sound) if is_sound]
    # Up to the last that fits; where there are fewer, to the end.
    end = places[limit - 1] + 1 if len(places) >= limit else len(sound)
    assert rows == [(number, b"key", b"sound" if sound[number] else b"") for number in range(end)]
    assert more == (end < len(sound))
    assert records.judged == list(range(end))
    assert records.asked[0] == limit


async def test_a_page_is_given_up_where_damage_does_not_end() -> None:
    records = Records([False] * 5000)
    rows, more = await fill_page(3, records.fetch, records.judge)
    assert (len(rows), more) == (3 + 19 * 100, True)
    assert records.asked == [3] + [100] * 19


async def test_what_is_said_to_be_there_and_does_not_come_ends_a_page() -> None:
    async def fetch(last: Row | None, wanted: int) -> tuple[list[Row], bool]:
        return [], True

    assert await fill_page(3, fetch, Records([]).judge) == ([], False)
