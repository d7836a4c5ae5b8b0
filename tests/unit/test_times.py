"""Times: RFC 3339 text in, milliseconds, and text with three fraction digits out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.times import format_time, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        pytest.param("1970-01-01T00:00:00Z", 0, id="the epoch"),
        pytest.param("2019-01-07T09:01:44Z", 1_546_851_704_000, id="no fraction"),
        pytest.param("2019-01-07T09:01:44.000Z", 1_546_851_704_000, id="as answers have it"),
        pytest.param("2019-01-07t09:01:44z", 1_546_851_704_000, id="lower case"),
        pytest.param("2019-01-07 09:01:44Z", 1_546_851_704_000, id="a blank for the T"),
        pytest.param("2019-01-07T09:01:44+00:00", 1_546_851_704_000, id="offset of zero"),
        pytest.param("2019-01-07T09:01:44-00:00", 1_546_851_704_000, id="unknown offset"),
        pytest.param("2019-01-07T14:31:44+05:30", 1_546_851_704_000, id="east"),
        pytest.param("2019-01-06T22:01:44-11:00", 1_546_851_704_000, id="west, the day before"),
        pytest.param("2019-01-08T09:00:44+23:59", 1_546_851_704_000, id="greatest offset"),
        pytest.param("2019-01-07T09:01:44.5Z", 1_546_851_704_500, id="one fraction digit"),
        pytest.param("2019-01-07T09:01:44.05Z", 1_546_851_704_050, id="two fraction digits"),
        pytest.param("2019-01-07T09:01:44.9999999999Z", 1_546_851_704_999, id="finer fractions are cut"),
        pytest.param("2016-12-31T23:59:60Z", 1_483_228_800_000, id="a leap second is the next second"),
        pytest.param("2016-12-31T23:59:60.75Z", 1_483_228_800_000, id="its fraction is dropped"),
        pytest.param("2016-12-31T15:59:60-08:00", 1_483_228_800_000, id="a leap second with an offset"),
        pytest.param("2020-02-29T00:00:00Z", 1_582_934_400_000, id="leap day"),
        pytest.param("1969-12-31T23:59:59.999Z", -1, id="just before 1970"),
        pytest.param("1969-12-31T23:59:59.9999Z", -1, id="before 1970 fractions are cut too, not rounded"),
        pytest.param("0001-01-01T00:00:00Z", FIRST_MS, id="first moment"),
        pytest.param("0001-01-01T01:00:00+01:00", FIRST_MS, id="first moment with an offset"),
        pytest.param("9999-12-31T23:59:59.999Z", LAST_MS, id="last moment"),
        pytest.param("9999-12-31T23:59:59.999999Z", LAST_MS, id="last moment, finer"),
    ],
)
def test_parses_every_form_of_rfc_3339(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("2019-01-07", id="a date alone"),
        pytest.param("09:01:44Z", id="a time alone"),
        pytest.param("2019-01-07T09:01:44", id="no zone"),
        pytest.param("2019-01-07T09:01Z", id="no seconds"),
        pytest.param("2019-01-07T09:01:44.Z", id="a point without digits"),
        pytest.param("2019-01-07T09:01:44,5Z", id="a comma"),
        pytest.param("2019-01-07T09:01:44+0530", id="offset without a colon"),
        pytest.param("2019-01-07T09:01:44+05", id="offset without minutes"),
        pytest.param("20190107T090144Z", id="basic format"),
        pytest.param("19-01-07T09:01:44Z", id="year of two digits"),
        pytest.param("12019-01-07T09:01:44Z", id="year of five digits"),
        pytest.param("2019-W01-1T09:01:44Z", id="week date"),
        pytest.param("2019-13-07T09:01:44Z", id="month 13"),
        pytest.param("2019-02-29T09:01:44Z", id="no leap year"),
        pytest.param("2019-01-07T24:00:00Z", id="hour 24"),
        pytest.param("2019-01-07T09:60:44Z", id="minute 60"),
        pytest.param("2019-01-07T09:01:61Z", id="second 61"),
        pytest.param("2019-01-07T09:01:44+24:00", id="offset of a day"),
        pytest.param("2019-01-07T09:01:44+05:60", id="offset with minute 60"),
        pytest.param("0000-01-01T00:00:00Z", id="year 0"),
        pytest.param("0001-01-01T00:00:00+00:01", id="year 0 in UTC"),
        pytest.param("9999-12-31T23:59:59-00:01", id="year 10000 in UTC"),
        pytest.param("9999-12-31T23:59:60Z", id="a leap second that is year 10000"),
        pytest.param("1546851704000", id="milliseconds"),
        pytest.param(" 2019-01-07T09:01:44Z", id="blank before"),
        pytest.param("2019-01-07T09:01:44Z\n", id="line break behind"),
        pytest.param("٢٠١٩-٠١-٠٧T٠٩:٠١:٤٤Z", id="digits of another script"),
        pytest.param("2019-01-07T09:01:44.٥Z", id="a fraction of another script"),
    ],
)
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_time(text)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_546_851_704_007, "2019-01-07T09:01:44.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-1001, "1969-12-31T23:59:58.999Z"),
        (FIRST_MS, "0001-01-01T00:00:00.000Z"),
        (-30_610_224_000_000, "1000-01-01T00:00:00.000Z"),
        (LAST_MS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_formats_with_exactly_three_fraction_digits(ms: int, text: str) -> None:
    assert format_time(ms) == text


@given(st.integers(FIRST_MS, LAST_MS))
def test_what_is_formatted_parses_to_the_same(ms: int) -> None:
    text = format_time(ms)
    assert len(text) == 24
    assert parse_time(text) == ms


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.timezones()))
def test_any_zone_gives_the_moment_in_utc(moment: datetime) -> None:
    offset = moment.utcoffset()
    # RFC 3339 has no seconds in an offset; the zones of long ago do.
    if offset is None or offset % timedelta(minutes=1):
        return
    assert parse_time(moment.isoformat()) == (moment - EPOCH) // timedelta(milliseconds=1)
