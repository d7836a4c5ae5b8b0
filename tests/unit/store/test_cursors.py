"""Cursors: opaque, bound to their list, in one spelling only."""

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.errors import CursorError, CursorMismatchError
from conversations.store.cursors import MAX_OFFSET, Cursor, Direction, decode_cursor, encode_cursor

SCOPE = "conversations source:facebook"
ID = "a688d36c-a85e-44af-bc02-4248c2c97622"
CURSOR = encode_cursor(SCOPE, "older", "1546851704000", ID)
DAMAGED = "cursor: is damaged; use next_cursor or previous_cursor exactly as returned"
ALPHABET = string.ascii_letters + string.digits + "-_"


def forged(payload: str, scope: str = SCOPE) -> str:
    """Return a cursor with the right digests around a payload that the service never made."""
    data = payload.encode()
    digests = b"".join(blake2b(part, digest_size=9).digest() for part in (scope.encode(), data))
    return "c" + urlsafe_b64encode(digests + data).rstrip(b"=").decode()


@given(
    st.text(),
    st.sampled_from(["older", "newer"]),
    st.integers(-(10**14), 10**15 - 1).map(str),
    st.text("0123456789abcdef-", max_size=60),
)
def test_a_cursor_says_what_was_put_in(scope: str, direction: Direction, at_ms: str, key: str) -> None:
    text = encode_cursor(scope, direction, at_ms, key)
    assert decode_cursor(scope, text) == Cursor(direction, at_ms, key)
    assert not text.isdigit()
    assert set(text) <= set(ALPHABET)


def test_an_empty_cursor_is_the_newest() -> None:
    assert decode_cursor(SCOPE, "") == Cursor("older", "", "", 0)


@pytest.mark.parametrize(("text", "offset"), [("0", 0), ("7", 7), ("007", 7), ("100000", 100_000)])
def test_digits_are_an_offset(text: str, offset: int) -> None:
    assert decode_cursor(SCOPE, text) == Cursor("older", offset=offset)


@pytest.mark.parametrize("text", ["100001", "999999", "1000000", "0100001", "9" * 5000])
def test_an_offset_above_the_limit_is_refused(text: str) -> None:
    with pytest.raises(CursorError) as caught:
        decode_cursor(SCOPE, text)
    assert caught.value.message == f"cursor: an offset may be {MAX_OFFSET} at most; follow next_cursor instead"
    assert type(caught.value) is CursorError


@given(st.data())
def test_every_changed_character_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(CURSOR) - 1))
    character = data.draw(st.sampled_from(ALPHABET + "+/=. é\n").filter(lambda c: c != CURSOR[place]))
    # A changed scope is one of another list.
    with pytest.raises(CursorError):
        decode_cursor(SCOPE, CURSOR[:place] + character + CURSOR[place + 1 :])


@given(st.integers(1, len(CURSOR) - 1))
def test_every_cut_cursor_is_refused(length: int) -> None:
    assert_damaged(CURSOR[:length])
    assert_damaged(CURSOR[length:])


@given(st.text(min_size=1).filter(lambda text: not (text.isascii() and text.isdigit())))
def test_any_other_text_is_refused(text: str) -> None:
    assert_damaged(text)


def other_spellings() -> list[str]:
    """Return texts that base64 alone would read as the same bytes, for payloads of every length modulo 3."""
    spellings = []
    for key in (ID, ID + "a", ID + "ab"):
        cursor = encode_cursor(SCOPE, "older", "1546851704000", key)
        raw = urlsafe_b64decode(cursor[1:] + "=" * (-(len(cursor) - 1) % 4))
        spellings += [f"{cursor}=", f"{cursor}==", f"{cursor}\n", f" {cursor}", f"{cursor[:9]}\n{cursor[9:]}"]
        spellings += [cursor[:5] + "!" + cursor[5:], cursor[1:], "c" + cursor, cursor.upper(), cursor.swapcase()]
        for last in ALPHABET:
            other = cursor[:-1] + last
            padded = other[1:] + "=" * (-(len(other) - 1) % 4)
            if other != cursor and urlsafe_b64decode(padded) == raw:
                spellings.append(other)
    return spellings


def test_a_cursor_has_one_spelling() -> None:
    assert len(other_spellings()) > 30
    for text in other_spellings():
        assert_damaged(text)


@pytest.mark.parametrize("text", ["²", "٣", "１", "-1", "+1", "1.0", " 1", "1 ", "1_000", "0x1", "c", "C" + CURSOR[1:]])
def test_what_is_almost_an_offset_or_a_cursor_is_refused(text: str) -> None:
    assert_damaged(text)


@pytest.mark.parametrize("scope", ["", "conversations ", "conversations source:facebook ", f"messages {ID}"])
def test_a_cursor_of_another_list_is_refused(scope: str) -> None:
    with pytest.raises(CursorMismatchError) as caught:
        decode_cursor(scope, CURSOR)
    assert caught.value.message == "cursor: belongs to another list; leave it out to start anew"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("", id="nothing"),
        pytest.param("o", id="too little"),
        pytest.param("o 1", id="no key"),
        pytest.param(f"o 1 {ID} more", id="too much"),
        pytest.param(f"x 1 {ID}", id="no direction"),
        pytest.param(f"o 5] | @id:{{x {ID}", id="a query for the time"),
        pytest.param(f"o 1e5 {ID}", id="an exponent"),
        pytest.param(f"o (1 {ID}", id="an exclusive bound"),
        pytest.param(f"o 1{'0' * 15} {ID}", id="a time beyond all"),
        pytest.param("o 1 x)|(y", id="a query for the key"),
        pytest.param("o 1 " + "a" * 61, id="a long key"),
        pytest.param(f'["o","1","{ID}"]', id="another form"),
        pytest.param(f"o 1 {ID}\n", id="a line feed"),
    ],
)
def test_a_cursor_that_somebody_made_is_refused(payload: str) -> None:
    """The digests need no secret, and the time goes into a query."""
    assert_damaged(forged(payload))


def test_the_forgery_of_these_tests_is_a_cursor_where_its_payload_is_one() -> None:
    assert decode_cursor(SCOPE, forged(f"o 1 {ID}")) == Cursor("older", "1", ID)


def assert_damaged(text: str) -> None:
    with pytest.raises(CursorError) as caught:
        decode_cursor(SCOPE, text)
    assert caught.value.message == DAMAGED
