"""What the doctor found, in sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["KINDS", "Finding", "Findings"]


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be wrong. Of `is|are` the first is said of one, the second of several."""

    noun: str
    claim: str
    remedy: str
    """What becomes of it where it is mended."""


_OWN = "its|their"

KINDS = {
    "setup": Kind("record", "of how Redis was set up cannot be read", "written again, from what the keys say"),
    "index": Kind("index|indexes", "is|are missing", "built"),
    "key type": Kind("key", "holds|hold another type of value than it should", "set aside"),
    "key name": Kind("key", "has|have no id in its|their name, or lies|lie in the wrong partition", "set aside"),
    "set entry": Kind("entry|entries of a set", "stands|stand for nothing", "removed"),
    "word": Kind("word", "of a dictionary cannot be read", "removed"),
    "word place": Kind("word", "of a dictionary has|have no place of its|their own in it", "given one"),
    "tag": Kind("tag", "cannot be read", "set aside"),
    "tag listed": Kind("tag", "is|are missing in the list", "entered"),
    "channel": Kind("channel", "cannot be read in whole", "made again from what can be read; the rest is set aside"),
    "channel copy": Kind("copy|copies of a channel", "differs|differ from the channel", "made again"),
    "channel listed": Kind("channel", "is|are missing in the list", "entered"),
    "message": Kind("message", "cannot be read", "set aside"),
    "message facts": Kind("message", f"is|are kept with other facts than {_OWN} own", "put right from the message"),
    "message changes": Kind("message", "has|have changes of metadata that cannot be read", "set aside"),
    "message order": Kind("message", f"is|are not at {_OWN} place in the order of the conversation", "put there"),
    "message unread": Kind("message", "is|are counted as unread and should not be, or the reverse", "put right"),
    "message waiting": Kind("message", "waits|wait without being noted, or the reverse", "put right"),
    "message channel": Kind("message", "came by a channel that is not known", "the channel is entered"),
    "place": Kind("entry|entries of a conversation's messages", "stands|stand for no message", "removed"),
    "lost": Kind(
        "conversation",
        f"has|have lost {_OWN} record, but not {_OWN} messages",
        "made again from the messages; what agents had added is gone",
    ),
    "empty": Kind("conversation", "has|have no message", "what is known waits for one"),
    "latest": Kind("conversation", "ends|end with a message that cannot be read", "shown with the one before"),
    "facts": Kind(
        "conversation",
        "has|have metadata, a state, tags or a time of reading that cannot be read, or tags that were deleted",
        "set aside; what can be read stays",
    ),
    "shown": Kind("conversation", f"is|are shown or found otherwise than {_OWN} facts say", "made again"),
    "listed": Kind("conversation", "is|are missing in the list, or at a wrong time", "entered"),
    "waiting": Kind("conversation", "waits|wait for a message without being noted, or the reverse", "put right"),
    "early": Kind("conversation", f"has|have a second record, of the time before {_OWN} first message", "set aside"),
    "words": Kind("conversation", "has|have words that the dictionaries lack", "entered"),
    "ids": Kind("conversation", "is|are missing in the dictionary of ids", "entered"),
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
    """What it is about: an id, or a key."""
    note: str = ""

    def __str__(self) -> str:
        text = ascii(self.id)[1:-1]
        return f"{text} ({ascii(self.note)[1:-1]})" if self.note else text


@dataclass(slots=True)
class Findings:
    """Everything that was found, each thing once; of very many, only how many they are."""

    kept: dict[Finding, None] = field(default_factory=dict)
    """The first _MAX_KEPT."""
    further: dict[str, int] = field(default_factory=dict)
    """How many more there are of a kind."""

    def __bool__(self) -> bool:
        return bool(self.kept)

    def add(self, kind: str, partition: int, id: str, note: str = "") -> None:
        """Note one."""
        if len(self.kept) < _MAX_KEPT:
            self.kept[Finding(kind, partition, id, note)] = None
        else:
            self.further[kind] = self.further.get(kind, 0) + 1

    def add_all(self, others: "Findings") -> None:
        """Note all of others."""
        for finding in others.kept:
            self.add(finding.kind, finding.partition, finding.id, finding.note)
        for kind, count in others.further.items():
            self.further[kind] = self.further.get(kind, 0) + count

    def sentences(self, *, mended: bool = False, verbose: bool = False) -> Iterator[str]:
        """Yield a sentence for each kind, with the number and a few of the ids.

        Args:
            mended: Say what became of them.
            verbose: Name all that are kept.
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
            sentence = _said_of(count, f"{count} {noun} {kind.claim}")
            remedy = f" ({kind.remedy})" if mended else ""
            named = found if verbose else found[:_FIRST_FEW]
            more = f" and {count - len(named)} more" if count > len(named) else ""
            yield f"{sentence}{remedy}: {', '.join(map(str, named))}{more}"


def _said_of(count: int, text: str) -> str:
    return re.sub(r"(\w+)\|(\w+)", r"\1" if count == 1 else r"\2", text)
