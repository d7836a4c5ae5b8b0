"""The doctor's findings, as sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["KINDS", "Finding", "Findings"]


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be wrong. Of `is|are` the first is the singular, the second the plural."""

    noun: str
    claim: str
    remedy: str
    """What a repair does."""


_OWN = "its|their"

KINDS = {
    "setup": Kind("record", "of how Redis was set up cannot be read", "rewritten, from the keys"),
    "index": Kind("index|indexes", "is|are missing", "built"),
    "key type": Kind("key", "has|have the wrong type of value", "set aside"),
    "key name": Kind("key", "has|have a name that cannot be, or is|are in the wrong partition", "set aside"),
    "set entry": Kind("entry|entries of a set", "has|have no record", "removed"),
    "column": Kind("block|blocks of a column", "cannot be read", "set aside, and written again"),
    "rows": Kind("count|counts", "of the rows of columns is|are wrong", "counted again"),
    "column value": Kind("block|blocks of a column", "has|have values that no conversation has", "removed"),
    "column size": Kind("count|counts", "of the values in a column is|are wrong", "counted again"),
    "long value": Kind("long value", "belongs|belong to no line of a column", "removed"),
    "tag": Kind("tag", "cannot be read", "set aside"),
    "tag listed": Kind("tag", "is|are missing from the list", "added"),
    "channel": Kind("channel", "cannot be read in full", "rebuilt from what can be read; the rest is set aside"),
    "channel copy": Kind("copy|copies of a channel", "differs|differ from the channel", "rebuilt"),
    "channel listed": Kind("channel", "is|are missing from the list", "added"),
    "message": Kind("message", "cannot be read", "set aside"),
    "message facts": Kind("message", f"is|are stored with facts other than {_OWN} own", "corrected from the message"),
    "message changes": Kind("message", "has|have changes of metadata that cannot be read", "set aside"),
    "message order": Kind("message", f"is|are not at {_OWN} place in the order of the conversation", "put there"),
    "message unread": Kind("message", "is|are counted as unread and should not be, or the reverse", "corrected"),
    "message waiting": Kind("message", "waits|wait without being noted, or the reverse", "corrected"),
    "message channel": Kind("message", "came by an unknown channel", "the channel is added"),
    "place": Kind("entry|entries of a conversation's messages", "belongs|belong to no message", "removed"),
    "lost": Kind(
        "conversation",
        f"has|have lost {_OWN} record, but not {_OWN} messages",
        "rebuilt from the messages; what agents had added is gone",
    ),
    "empty": Kind("conversation", "has|have no message", "what is known waits for one"),
    "latest": Kind("conversation", "ends|end with a message that cannot be read", "shown with the one before"),
    "facts": Kind(
        "conversation",
        "has|have metadata, a state, tags or a time of reading that cannot be read, or tags that were deleted",
        "set aside; what can be read stays",
    ),
    "shown": Kind("conversation", f"is|are shown or found differently from what {_OWN} facts say", "rebuilt"),
    "listed": Kind("conversation", "is|are missing from the list, or at a wrong time", "added"),
    "waiting": Kind("conversation", "waits|wait for a message without being noted, or the reverse", "corrected"),
    "early": Kind("conversation", f"has|have a second record, from before {_OWN} first message", "set aside"),
    "columns": Kind("conversation", f"has|have no row of {_OWN} own in the columns, or other values there", "written"),
    "indexed": Kind("conversation", "is|are not found by the index", "indexed again"),
    "counts": Kind("count|counts", "of unread conversations is|are wrong", "counted again"),
}

_FIRST_FEW = 5
_MAX_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with one record."""

    kind: str
    """One of KINDS."""
    partition: int
    id: str
    """The record's id, or a key."""
    note: str = ""

    def __str__(self) -> str:
        text = ascii(self.id)[1:-1]
        return f"{text} ({ascii(self.note)[1:-1]})" if self.note else text


@dataclass(slots=True)
class Findings:
    """All findings, each once; of very many, only how many they are."""

    kept: dict[Finding, None] = field(default_factory=dict)
    """The first _MAX_KEPT."""
    further: dict[str, int] = field(default_factory=dict)
    """How many more there are of a kind."""

    def __bool__(self) -> bool:
        return bool(self.kept)

    def add(self, kind: str, partition: int, id: str, note: str = "") -> None:
        """Add a finding."""
        if len(self.kept) < _MAX_KEPT:
            self.kept[Finding(kind, partition, id, note)] = None
        else:
            self.further[kind] = self.further.get(kind, 0) + 1

    def add_all(self, others: "Findings") -> None:
        """Add all of others."""
        for finding in others.kept:
            self.add(finding.kind, finding.partition, finding.id, finding.note)
        for kind, count in others.further.items():
            self.further[kind] = self.further.get(kind, 0) + count

    def sentences(self, *, repaired: bool = False, verbose: bool = False) -> Iterator[str]:
        """Yield a sentence for each kind, with the number and a few of the ids.

        Args:
            repaired: Include what was done.
            verbose: Include all kept ids.
        """
        by_kind: dict[str, list[Finding]] = {}
        for finding in self.kept:
            by_kind.setdefault(finding.kind, []).append(finding)
        for name, kind in KINDS.items():
            found = by_kind.get(name, [])
            count = len(found) + self.further.get(name, 0)
            if not count:
                continue
            noun = kind.noun if "|" in kind.noun or count == 1 else f"{kind.noun}s"
            sentence = _inflected(count, f"{count} {noun} {kind.claim}")
            remedy = f" ({kind.remedy})" if repaired else ""
            named = found if verbose else found[:_FIRST_FEW]
            more = f" and {count - len(named)} more" if count > len(named) else ""
            yield f"{sentence}{remedy}: {', '.join(map(str, named))}{more}"


def _inflected(count: int, text: str) -> str:
    return re.sub(r"(\w+)\|(\w+)", r"\1" if count == 1 else r"\2", text)
