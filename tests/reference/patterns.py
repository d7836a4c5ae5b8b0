"""Words against wildcards and distances, and texts against phrases."""

import re
import struct
from collections.abc import Callable, Sequence

from tests.reference.words import RefusedError, lower

__all__ = ["DECIMAL", "WordTest", "fuzzy", "phrase_fits", "wildcard"]

WordTest = Callable[[str], bool]
DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def phrase_fits(value: Sequence[str], words: Sequence[str], allowed: int) -> bool:
    """Tell whether some choice of different places of the words is close enough together."""
    places = [[at for at, other in enumerate(value) if other == word] for word in words]

    def choose(chosen: list[int]) -> bool:
        shifts = [at - i for i, at in enumerate(chosen)]
        if shifts and max(shifts) - min(shifts) > allowed:
            return False
        if len(chosen) == len(words):
            return True
        return any(choose([*chosen, at]) for at in places[len(chosen)] if at not in chosen)

    return choose([])


def wildcard(image: str) -> WordTest:
    # A piece is (what it is, escaped or not): only a bare * or ? is special, only a bare letter is lower-cased.
    pieces = [
        ("", piece[1]) if piece[0] == "\\" else (piece, lower(piece)) for piece in re.findall(r"\\[\s\S]|[\s\S]", image)
    ]

    def test(word: str) -> bool:
        reached = {0}
        for special, char in pieces:
            if special == "*":
                reached = set(range(min(reached), len(word) + 1))
            else:
                reached = {at + 1 for at in reached if at < len(word) and (special == "?" or word[at] == char)}
            if not reached:
                return False
        return len(word) in reached

    return test


def fuzzy(word: str, tilde: str) -> WordTest:
    edits = 2
    if DECIMAL.fullmatch(tilde):
        number = struct.unpack("f", struct.pack("f", float(tilde)))[0]
        if number < 0 or (number >= 1 and number != int(number)):
            raise RefusedError(f"~{tilde}")
        edits = int(number if number >= 1 or number == 0 else (1 - number) * len(word))
    return lambda other: distance(word, other) <= min(edits, 2)


def distance(a: str, b: str) -> int:
    """Return the least number of edits, a swap of neighbours being one and nothing edited twice."""
    if abs(len(a) - len(b)) > 2:
        return 3
    rows = [[i + j if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 1] + b[j - 2]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]
