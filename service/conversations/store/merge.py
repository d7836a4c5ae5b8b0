"""Deep merging of JSON objects, and changes that can be merged before the object exists that they change.

A patch is a JSON object in which `null` removes a key, an object is merged and anything else replaces, as in RFC 7396.
Patches do not compose: `{"a": null}` then `{"a": {"b": 1}}` is not one patch. Changes do: an object whose values are
`{"drop": true}`, `{"set": value}` or `{"merge": changes}`.
"""

from typing import Any

__all__ = ["JsonObject", "add_patch", "apply_changes", "is_changes", "merge_patch", "to_patches"]

JsonObject = dict[str, Any]


def merge_patch(document: JsonObject, patch: JsonObject) -> JsonObject:
    """Return the document with the patch merged in; neither argument changes."""
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge_patch(_object(merged.get(key)), value)
        else:
            merged[key] = value
    return merged


def add_patch(changes: JsonObject, patch: JsonObject) -> JsonObject:
    """Return changes that do what `changes` do and then the patch."""
    added = dict(changes)
    for key, value in patch.items():
        match value, added.get(key):
            case None, _:
                added[key] = {"drop": True}
            case dict(), None:
                added[key] = {"merge": add_patch({}, value)}
            case dict(), {"merge": before}:
                added[key] = {"merge": add_patch(before, value)}
            case dict(), node:
                added[key] = {"set": merge_patch(_object((node or {}).get("set")), value)}
            case _:
                added[key] = {"set": value}
    return added


def is_changes(document: JsonObject) -> bool:
    """Return whether an object is changes as made by `add_patch`."""
    for node in document.values():
        match node:
            case {"drop": True} | {"set": _} if len(node) == 1:
                pass
            case {"merge": dict() as inner} if len(node) == 1 and is_changes(inner):
                pass
            case _:
                return False
    return True


def apply_changes(document: JsonObject, changes: JsonObject) -> JsonObject:
    """Return the document with the changes made; neither argument changes."""
    changed = dict(document)
    for key, node in changes.items():
        match node:
            case {"set": value}:
                changed[key] = value
            case {"merge": inner}:
                changed[key] = apply_changes(_object(changed.get(key)), inner)
            case _:
                changed.pop(key, None)
    return changed


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def to_patches(changes: JsonObject) -> list[JsonObject]:
    """Return patches that together do what the changes do: at most one that removes, then one that sets."""
    return [patch for patch in (_removals(changes), _values(changes)) if patch]


def _removals(changes: JsonObject) -> JsonObject:
    patch: JsonObject = {}
    for key, node in changes.items():
        if "merge" not in node:
            patch[key] = None
        elif inner := _removals(node["merge"]):
            patch[key] = inner
    return patch


def _values(changes: JsonObject) -> JsonObject:
    patch: JsonObject = {}
    for key, node in changes.items():
        if "set" in node:
            patch[key] = node["set"]
        elif "merge" in node:
            patch[key] = _values(node["merge"])
    return patch
