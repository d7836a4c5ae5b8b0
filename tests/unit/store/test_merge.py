"""Merging of patches, and changes that can be kept before what they change is there."""

import copy
from functools import reduce
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.store.merge import JsonObject, add_patch, apply_changes, merge_patch, to_patches

# Few keys, so that patches meet.
KEYS = st.sampled_from(["a", "b", "set", "merge", "drop"])
SCALARS = st.one_of(st.booleans(), st.integers(-2, 2), st.text("xy", max_size=2))
LISTS = st.lists(st.one_of(st.none(), SCALARS, st.dictionaries(KEYS, st.one_of(st.none(), SCALARS))), max_size=2)


def objects(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    return st.dictionaries(
        KEYS, st.recursive(leaves, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8), max_size=3
    )


PATCHES = objects(st.one_of(st.none(), SCALARS, LISTS))
DOCUMENTS = objects(st.one_of(SCALARS, LISTS))


def collected(patches: list[JsonObject]) -> JsonObject:
    nothing: JsonObject = {}
    return reduce(add_patch, patches, nothing)


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        ({}, {}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {}),
        ({}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
        ({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": "text"}, {"a": "text"}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({}, {"a": [None, {"b": None}]}, {"a": [None, {"b": None}]}),
        ({}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"a": 0}, {"a": False}, {"a": False}),
    ],
)
def test_merge_patch(document: JsonObject, patch: JsonObject, merged: JsonObject) -> None:
    result = merge_patch(document, patch)
    # Equality alone takes False for 0.
    assert repr(result) == repr(merged)


@given(DOCUMENTS, st.lists(PATCHES, max_size=5))
def test_collected_changes_do_what_the_patches_do_in_turn(document: JsonObject, patches: list[JsonObject]) -> None:
    changes = collected(patches)
    assert apply_changes(document, changes) == reduce(merge_patch, patches, document)


VALUES: list[Any] = [None, 1, {}, {"b": 1}, {"b": None}, {"c": {"d": 2}}]


@pytest.mark.parametrize("document", [{}, {"a": 0}, {"a": {"b": 0, "c": {"e": 0}}}], ids=str)
def test_every_way_of_changing_a_key_four_times(document: JsonObject) -> None:
    for values in product(VALUES, repeat=4):
        patches: list[JsonObject] = [{"a": value} for value in values]
        assert apply_changes(document, collected(patches)) == reduce(merge_patch, patches, document), values


@given(DOCUMENTS, st.lists(PATCHES, max_size=5))
def test_changes_made_twice_are_made_once(document: JsonObject, patches: list[JsonObject]) -> None:
    """A redelivered message may have the changes already."""
    changes = collected(patches)
    once = apply_changes(document, changes)
    assert apply_changes(once, changes) == once


@given(DOCUMENTS, st.lists(PATCHES, max_size=5))
def test_exported_patches_restore_the_changes(document: JsonObject, patches: list[JsonObject]) -> None:
    changes = collected(patches)
    exported = to_patches(changes)
    assert len(exported) <= 2
    restored = collected(exported)
    assert restored == changes
    assert apply_changes(document, restored) == reduce(merge_patch, patches, document)
    assert to_patches(restored) == exported


@given(DOCUMENTS, PATCHES, PATCHES)
def test_arguments_stay_as_they_are(document: JsonObject, patch: JsonObject, other: JsonObject) -> None:
    changes = add_patch({}, patch)
    before = copy.deepcopy((document, patch, other, changes))
    merge_patch(document, patch)
    add_patch(changes, other)
    apply_changes(document, changes)
    to_patches(changes)
    assert (document, patch, other, changes) == before


def test_a_removal_before_an_object_is_kept() -> None:
    """The reason for changes: no single patch says this."""
    changes = add_patch(add_patch({}, {"a": None}), {"a": {"b": 1}})
    assert apply_changes({"a": {"old": 1}}, changes) == {"a": {"b": 1}}
    assert to_patches(changes) == [{"a": None}, {"a": {"b": 1}}]


def test_nothing_changed_needs_no_patch() -> None:
    assert to_patches({}) == []
    assert to_patches(add_patch({}, {})) == []
