"""Predicates, and what they mean: those of parts follow from those that have none."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

__all__ = ["holds", "predicates"]


def predicates(atoms: "st.SearchStrategy[list[Any]]") -> "st.SearchStrategy[list[Any]]":
    """Return predicates of up to six atoms."""
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(lambda kind, parts: [kind, *parts], st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)),
            st.builds(lambda part: ["not", part], inner),
        ),
        max_leaves=6,
    )


def holds(predicate: Sequence[Any], is_true: Callable[[Sequence[Any]], bool]) -> bool:
    """Return whether a predicate is true, by its atoms."""
    match predicate:
        case ["and", *parts]:
            return all(holds(part, is_true) for part in parts)
        case ["or", *parts]:
            return any(holds(part, is_true) for part in parts)
        case ["not", part]:
            return not holds(part, is_true)
        case _:
            return is_true(predicate)
