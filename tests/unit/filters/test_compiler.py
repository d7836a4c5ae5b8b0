"""The whole way from text to query."""

import pytest

from conversations.errors import FilterError, FilterSyntaxError, FilterTooLargeError
from conversations.filters import MAX_FILTER_BYTES, CompiledFilter, Query, compile_filter, metadata_fields


@pytest.mark.parametrize("text", ["", " ", " \t\n\r\u3000", "*:*", "id:*", "a OR *"])
def test_matches_all(text: str) -> None:
    compiled = compile_filter(text)
    assert compiled.matches_all
    assert compiled.query == Query("*", is_exact=True)


@pytest.mark.parametrize("text", ['""', "a", "state:*", "NOT *:*", "\u00a0"])
def test_does_not_match_all(text: str) -> None:
    assert not compile_filter(text).matches_all


def test_is_cached() -> None:
    assert compile_filter("source:facebook") is compile_filter("source:facebook")


def test_size_is_counted_in_bytes() -> None:
    compile_filter("é" * (MAX_FILTER_BYTES // 2))
    with pytest.raises(FilterTooLargeError) as caught:
        compile_filter("é" * (MAX_FILTER_BYTES // 2) + "x")
    assert caught.value.metadata["limit"] == str(MAX_FILTER_BYTES)


def test_half_a_surrogate_pair() -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        compile_filter("ab\ud83e")
    assert caught.value.position == 2


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4096,
        "[" * 4096,
        '"' * 4095,
        "/" * 4095,
        "\\" * 4095,
        "~" * 4096,
        "a~" * 2048,
        "NOT " * 1024,
        "/" + "(" * 4000 + "/",
        "/" + "~" * 4000 + "a/",
        "/" + "a?" * 2000 + "/",
        "/" + "[a-z]{1000}" * 300 + "/",
        "/" + ".*a" * 1000 + "/",
        "*a" * 2000,
        "?" * 4000,
    ],
)
def test_any_text_gives_a_query_or_a_filter_error(text: str) -> None:
    match outcome(text):
        case CompiledFilter() as compiled:
            assert compiled.text == text
        case error:
            assert 0 <= error.position <= len(text)


def outcome(text: str) -> CompiledFilter | FilterError:
    try:
        return compile_filter(text)
    except FilterError as error:
        return error


def test_which_metadata_are_asked() -> None:
    text = 'a *:* metadata.l:"" metadata.k:(b OR [1 TO 2]) -(metadata.l:* metadata.k:c) metadata.tags.x:* "" state:open'
    found = metadata_fields(compile_filter(text).expression)
    assert found == {"metadata.k": text.index("b OR"), "metadata.l": text.index("* metadata.k:c")}
    assert metadata_fields(compile_filter('""').expression) == {}


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("a AND b AND NOT c", []),
        ("a OR b c", []),
        ("(a AND b) OR c", []),
        ("a OR b AND c", ["at position 0: AND binds no tighter than OR"]),
        ("x AND (a AND b c)", ["at position 7: AND binds no tighter than OR"]),
        ("+a AND b", []),
        ("*", []),
        ("*son", ["at position 0: `*son` starts with a wildcard"]),
        ("a*b a? a*", []),
        ("display_name:?a", ["at position 13: `?a` starts with a wildcard"]),
        ("ada and bob", ["at position 4: `and` is looked for as a word; the operator is in upper case, `AND`"]),
        ("source=facebook", ["at position 0: `source=facebook` is looked for as a word"]),
        ("unread_count>=2", ["write `unread_count:[2 TO *]`"]),
        ("metadata.k:>=100", ["`>=100` is looked for as a word; to compare, write `metadata.k:[100 TO *]`"]),
        ("display_name:<b", ["write `display_name:[* TO b}`"]),
        ("metadata.k:=100", []),
        ("unread_count>2", ["write `unread_count:{2 TO *]`"]),
        ("unread_count<=2", ["write `unread_count:[* TO 2]`"]),
        ("unread_count<2", ["write `unread_count:[* TO 2}`"]),
        ("unread_count==2", ["write `unread_count:2`"]),
        ("a=b", []),
        ("display_name:'ada lovelace'", ["at position 13: the quote in `'ada` is a part of the word"]),
        ("display_name:a688d36c-a85e-44af-bc02-4248c2c97622", ["looks like an id"]),
        ("displayName:A688D36C-A85E-44AF-BC02-4248C2C97622", ["looks like an id"]),
        ("a688d36c-a85e-44af-bc02-4248c2c97622", []),
        ("metadata.k:[100 TO 200]", ["at position 11: `metadata.k` holds words, and the range compares text"]),
        (
            "metadata.k:(a OR {2 TO *]) AND -metadata.l:[* TO 5]",
            ["position 17: `metadata.k`", "position 43: `metadata.l`"],
        ),
        ("metadata.k:[* TO *] unread_count:[1 TO 2] display_name:[a TO b]", []),
        ("metadata.unread_count:[1 TO 2]", []),
    ],
)
def test_warnings(text: str, warnings: list[str]) -> None:
    found = compile_filter(text).warnings
    assert len(found) == len(warnings)
    assert all(part in warning for part, warning in zip(warnings, found, strict=True))
