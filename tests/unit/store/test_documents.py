"""The two shapes of what is stored: protobuf on the outside, parts of hashes on the inside."""

import json
from bisect import bisect_right
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from conversations import terms
from conversations.errors import InvalidFieldError
from conversations.store.documents import (
    MAX_DOCUMENT_BYTES,
    channel_head,
    channel_metadata,
    document_parts,
    dump_document,
    dump_json,
    is_document,
    load_json,
    message_bytes,
    to_json,
    to_struct,
)
from conversations.store.merge import JsonObject
from conversations.v1 import channel_pb2, conversation_pb2, message_pb2

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


def struct(document: JsonObject) -> Struct:
    """Return a Struct as a request has it, not made by the code under test."""
    return json_format.ParseDict(document, Struct())


def leaf_terms(document: JsonObject) -> list[str]:
    return document_parts(document)["terms"].split()


# Between two values of an array.
GAP = b"\xfe"


def words(document: JsonObject) -> list[tuple[str, str]]:
    values = document_parts(document)["values"]
    words = [(name, word) for name, value in values.items() for word in value.split(b" ")]
    return [(name, word.decode()) for name, word in words if word != GAP]


def leaf(path: str, *leaf_words: str) -> list[str]:
    """Return the terms of a leaf that comes first at its path."""
    return [terms.metadata_exists(path), *(terms.metadata_term(path, word) for word in leaf_words)]


@given(OBJECTS)
def test_free_data_comes_back_as_it_went_in(document: JsonObject) -> None:
    assert to_json(struct(document)) == document
    assert json_format.MessageToDict(to_struct(document)) == document
    assert load_json(dump_json(document).encode()) == document


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"": ""},
        {"a": None},
        {"a": []},
        {"a": {}},
        {"a": [[], {}, None, [None], {"b": {}}]},
        {"a": 0, "b": -0.5, "c": 2**53 - 1, "d": -(2**53) + 1, "e": 1e300, "f": 5e-324},
        {"a": True, "b": False, "c": 1, "d": "1"},
        {"a.b": 1, "a": {"b": 2}},
        {"😀": "é\u0000\n\u2028"},
    ],
    ids=repr,
)
def test_hard_cases_of_free_data_come_back(document: JsonObject) -> None:
    restored = to_json(to_struct(load_json(dump_json(to_json(struct(document))).encode())))
    # Equality alone takes True for 1.
    assert json.dumps(restored, sort_keys=True) == json.dumps(document, sort_keys=True)
    assert to_struct(restored) == struct(document)


def test_whole_numbers_are_integers_as_far_as_they_are_exact() -> None:
    numbers = to_json(struct({"a": 12.0, "b": 12.5, "c": float(2**53), "d": 1e22, "e": 0.0, "f": -0.0}))
    assert {key: repr(number) for key, number in numbers.items()} == {
        "a": "12",
        "b": "12.5",
        "c": "9007199254740992",
        "d": "1e+22",
        "e": "0",
        "f": "-0.0",
    }


def test_no_text_is_an_empty_object() -> None:
    assert load_json(b"") == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Abc", "abc"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (12.0, "12"),
        (12.5, "12.5"),
        (0.1, "0.1"),
        (-0.5, "-0.5"),
        (2**53 - 1, "9007199254740991"),
    ],
    ids=repr,
)
def test_a_leaf_is_indexed_as_its_shortest_text(value: Any, text: str) -> None:
    document = to_json(struct({"user_data": {"n": value}}))
    assert leaf_terms(document) == leaf("user_data.n", text)
    assert words(document) == [("metadata.user_data.n", text)]


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (1e15, "1000000000000000", "1e+15"),
        (1e16, "10000000000000000", "1e+16"),
        (-1.5e300, "-15" + "0" * 299, "-1.5e+300"),
        (0.00005, "0.00005", "5e-05"),
        (-0.0, "0", "-0"),
        (1.0000000000000002e-7, "0.00000010000000000000002", "1.0000000000000002e-07"),
    ],
    ids=repr,
)
def test_a_number_is_found_by_its_digits_and_as_it_is_shown(value: float, digits: str, shown: str) -> None:
    document = to_json(struct({"user_data": {"n": value}}))
    assert words(document) == [("metadata.user_data.n", digits), ("metadata.user_data.n", shown)]
    assert float(digits) == float(shown) == value


@pytest.mark.parametrize("value", [None, "", "  ", "\u2003", {}, [], [[]], [None], {"b": None}], ids=repr)
def test_what_has_no_word_is_not_indexed(value: Any) -> None:
    document = {"user_data": {"a": value}}
    assert leaf_terms(document) == []
    assert words(document) == []


def test_every_leaf_is_indexed_at_its_dotted_path() -> None:
    document = {"user_data": {"erp": {"id": "Abc def"}, "ünï: x": "😀"}, "other": "x"}
    assert leaf_terms(document) == [
        *leaf("user_data.erp.id", "abc", "def"),
        *leaf("user_data.ünï: x", "😀"),
        *leaf("other", "x"),
    ]
    assert words(document) == [
        ("metadata.user_data.erp.id", "abc"),
        ("metadata.user_data.erp.id", "def"),
        ("metadata.user_data.ünï: x", "😀"),
        ("metadata.other", "x"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"a": ["ada b", "c d"]}, id="array"),
        pytest.param({"a": [["ada b"], ["c d"]]}, id="arrays in an array"),
        pytest.param({"a": ["ada b", None, "", {}, "c d"]}, id="what has no words between"),
    ],
)
def test_no_phrase_reaches_from_one_value_of_an_array_into_the_next(document: JsonObject) -> None:
    found = leaf_terms(document)
    assert found == [*leaf("a", "ada", "b"), found[3], *leaf("a", "c", "d")[1:]]
    # The gap can be no word's term.
    assert found[3] == "g"


def test_objects_of_an_array_share_the_path_of_their_keys() -> None:
    document = {"a": [{"b": "one two"}, {"b": "three"}, {"c": "four"}]}
    assert leaf_terms(document) == [*leaf("a.b", "one", "two"), "g", *leaf("a.b", "three")[1:], *leaf("a.c", "four")]


def test_keys_with_dots_share_the_path_of_nested_ones() -> None:
    assert leaf_terms({"a.b": "one", "a": {"b": "two"}}) == [*leaf("a.b", "one"), "g", *leaf("a.b", "two")[1:]]


def test_a_column_has_the_words_in_their_order() -> None:
    assert words({"a": ["x y", "x"], "b": "x"}) == [
        ("metadata.a", "x"),
        ("metadata.a", "y"),
        ("metadata.a", "x"),
        ("metadata.b", "x"),
    ]


def test_the_parts_of_a_document() -> None:
    document = {"contact": {"display_name": "Ada Ü", "avatar_url": "http://x"}, "user_data": {"k": 1}}
    parts = document_parts(document)
    contact = conversation_pb2.Contact(display_name="Ada Ü", avatar_url="http://x")
    assert parts["name"] + parts["avatar"] == contact.SerializeToString()
    metadata = conversation_pb2.ConversationMetadata.FromString(parts["data"])
    assert metadata == conversation_pb2.ConversationMetadata(user_data=struct({"k": 1}))
    assert parts["name_terms"] == "nada n_c3bc"
    # The name is a field of its own, and a leaf of the metadata as well.
    assert parts["values"]["display_name"] == parts["values"]["metadata.contact.display_name"] == "ada ü".encode()


def test_what_is_absent_has_no_part() -> None:
    nothing = {"name": b"", "avatar": b"", "data": b"", "name_terms": "", "terms": "", "values": {}}
    assert document_parts({}) == document_parts({"contact": {}}) == nothing


def test_empty_user_data_is_there() -> None:
    data = document_parts({"user_data": {}})["data"]
    assert conversation_pb2.ConversationMetadata.FromString(data).HasField("user_data")


def test_an_empty_avatar_is_there() -> None:
    avatar = document_parts({"contact": {"avatar_url": ""}})["avatar"]
    assert conversation_pb2.Contact.FromString(avatar).HasField("avatar_url")


def test_a_channel_is_its_head_and_its_metadata() -> None:
    channel = channel_pb2.Channel(id="x", source="facebook", connected=True, metadata=struct({"name": "Page"}))
    metadata, unnamed = channel_metadata({"name": "Page"})
    assert (channel_head(channel) + metadata, unnamed) == (channel.SerializeToString(), b"")
    assert channel.HasField("metadata")


@pytest.mark.parametrize("document", [{}, {"name": ""}, {"name": None}, {"name": 5}, {"name": "\u200b\u00a0"}])
def test_a_channel_without_a_name_that_can_be_seen_has_none(document: dict[str, Any]) -> None:
    assert channel_metadata({**document, "k": 1}) == (channel_metadata({"k": 1})[0], b"1")
    assert channel_pb2.Channel.FromString(channel_metadata(document)[0]).HasField("metadata")


def test_message_bytes_replace_the_metadata_alone() -> None:
    content = Value(string_value="Body=Hi")
    message = message_pb2.Message(id="x", content=content, metadata=struct({"old": 1}))
    stored = message_pb2.Message.FromString(message_bytes(message, struct({"new": 2})))
    assert stored == message_pb2.Message(id="x", content=content, metadata=struct({"new": 2}))
    assert to_json(message.metadata) == {"old": 1}


def size(document: JsonObject) -> int:
    return to_struct(document).ByteSize()


LARGEST = "x" * (MAX_DOCUMENT_BYTES - size({"k": "x" * 60_000}) + 60_000)
"""With the key `k`, as large as a document may be."""


def test_a_document_grows_to_its_bound_and_no_further() -> None:
    largest = {"k": LARGEST}
    assert size(largest) == MAX_DOCUMENT_BYTES
    assert json.loads(dump_document(largest)) == largest
    assert message_bytes(message_pb2.Message(), to_struct(largest))
    larger = {"k": LARGEST + "x"}
    for grow in (lambda: dump_document(larger), lambda: message_bytes(message_pb2.Message(), to_struct(larger))):
        with pytest.raises(InvalidFieldError) as caught:
            grow()
        assert caught.value.message == "metadata: would grow beyond 65536 bytes"


@pytest.mark.parametrize("item", [0, None, True, {}, [], "", {"": 0}])
def test_what_is_short_as_json_is_measured_as_protobuf(item: Any) -> None:
    most = bisect_right(range(40_000), MAX_DOCUMENT_BYTES, key=lambda number: size({"k": [item] * number})) - 1
    dump_document({"k": [item] * most})
    with pytest.raises(InvalidFieldError):
        dump_document({"k": [item] * (most + 1)})


def nested(levels: int, inner: str) -> bytes:
    return ('{"k":' * levels + inner + "}" * levels).encode()


@pytest.mark.parametrize(
    "text",
    [
        *(b"5", b"[]", b"null", b'"k"', b"{", b"\xff", b'{"k":NaN}', b'{"k":-Infinity}', b'{"k":"\\ud800"}', b" "),
        *(nested(65, "0"), nested(64, "[]"), nested(64, "{}"), nested(100_000, "0")),
    ],
)
def test_what_the_service_does_not_store_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some are of other libraries
        load_json(text)


@pytest.mark.parametrize("text", [b"{}", nested(64, "0"), nested(63, "[]"), b'{"k":[[1],[2],[{}]]}', b'{"":null}'])
def test_what_the_service_stores_is_read(text: bytes) -> None:
    assert load_json(text) == json.loads(text)


NO_OBJECTS: list[Any] = [None, 5, "x", []]
NO_TEXTS: list[Any] = [None, 5, {}]


@pytest.mark.parametrize(
    ("document", "can_be"),
    [
        ({}, True),
        ({"contact": {}, "user_data": {}, "other": 5}, True),
        ({"contact": {"display_name": "", "avatar_url": "", "other": 5}, "user_data": {"k": 5}}, True),
        *(({name: value}, False) for name in ("contact", "user_data") for value in NO_OBJECTS),
        *(({"contact": {name: value}}, False) for name in ("display_name", "avatar_url") for value in NO_TEXTS),
    ],
)
def test_what_a_conversations_metadata_can_be(document: JsonObject, can_be: bool) -> None:
    assert is_document(document) == can_be
