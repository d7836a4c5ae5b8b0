"""Lucene's regular expressions, as tables.

Source:
    https://lucene.apache.org/core/8_8_1/core/org/apache/lucene/util/automaton/RegExp.html
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from conversations.filters.language import syntax_error
from conversations.filters.patterns.automata import MAX_CODE_POINT, MAX_DEPTH, MAX_WORK, Automaton, Node, Nodes
from conversations.filters.patterns.tables import Table, table_of

__all__ = ["Budget", "CompiledRegex", "compile_regex"]


@dataclass(frozen=True, slots=True)
class CompiledRegex:
    """A regular expression, ready to be matched."""

    table: Table
    work: int
    """What it took to compile it, as in MAX_WORK."""


@lru_cache(maxsize=256)
def compile_regex(text: str, position: int) -> CompiledRegex:
    """Return a regular expression in lower case, compiled.

    Args:
        text: The text between the slashes.
        position: Where it starts in the filter, for errors.

    Raises:
        FilterSyntaxError: The expression is malformed.
        FilterTooLargeError: It is nested too deeply, or takes more than MAX_WORK.
    """
    nodes = Nodes(position)
    automaton = Automaton(nodes, _Parser(text, position, nodes).parse())
    return CompiledRegex(table_of(automaton), nodes.work)


class Budget:
    """What the regular expressions of one filter may take together: as much as a single one."""

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._counted: set[int] = set()

    def compile_regex(self, text: str, position: int) -> Table:
        """Return the table of a regular expression. One that is asked of several fields counts once.

        Raises:
            FilterSyntaxError: The expression is malformed.
            FilterTooLargeError: It is nested too deeply, or takes more than is left of MAX_WORK.
        """
        compiled = compile_regex(text, position)
        if position not in self._counted:
            self._counted.add(position)
            self._left -= compiled.work
        if self._left < 0:
            raise Nodes(position).too_complex(MAX_WORK)
        return compiled.table


class _Parser:
    """Lucene's RegExp parser, rule by rule."""

    def __init__(self, text: str, position: int, nodes: Nodes) -> None:
        self._text = text
        self._offset = position
        self._nodes = nodes
        self._at = 0
        self._levels = 0

    def parse(self) -> Node:
        if not self._text:
            return self._nodes.empty
        node = self._union()
        if self._at < len(self._text):
            raise syntax_error(self._offset + self._at, "`)` closes no parenthesis of the regular expression")
        return node

    def _peek(self, characters: str) -> bool:
        return self._at < len(self._text) and self._text[self._at] in characters

    def _match(self, character: str) -> bool:
        if not self._peek(character):
            return False
        self._at += 1
        return True

    def _next(self) -> str:
        if self._at == len(self._text):
            raise syntax_error(self._offset + self._at, "the regular expression ends where a character has to follow")
        self._at += 1
        return self._text[self._at - 1]

    def _expect(self, character: str, opened_at: int) -> None:
        if not self._match(character):
            raise syntax_error(
                self._offset + opened_at,
                f"`{self._text[opened_at]}` lacks its `{character}` in the regular expression;"
                f" write `\\{self._text[opened_at]}` for the sign itself",
            )

    def _union(self) -> Node:
        parts = [self._intersection()]
        while self._match("|"):
            parts.append(self._intersection())
        return self._nodes.union(parts)

    def _intersection(self) -> Node:
        parts = [self._concatenation()]
        while self._match("&"):
            parts.append(self._concatenation())
        return self._nodes.intersection(parts)

    def _concatenation(self) -> Node:
        parts = [self._repeat()]
        while self._at < len(self._text) and not self._peek(")|&"):
            parts.append(self._repeat())
        return self._nodes.concatenation(parts)

    def _repeat(self) -> Node:
        node = self._complement()
        while self._peek("?*+{"):
            match self._next():
                case "?":
                    node = self._nodes.union([self._nodes.empty, node])
                case "*":
                    node = self._repeated(node, 0, None)
                case "+":
                    node = self._repeated(node, 1, None)
                case _:
                    node = self._repeated(node, *self._bounds())
        return node

    def _repeated(self, node: Node, low: int, high: int | None) -> Node:
        if high is None and self._nodes.matches_nothing(node):
            node = self._nodes.nothing
        return self._nodes.repeat(node, low, high)

    def _bounds(self) -> tuple[int, int | None]:
        opened_at = self._at - 1
        low = self._number()
        if low is None:
            raise syntax_error(
                self._offset + opened_at,
                "`{` needs numbers after it in a regular expression, as in `a{2,5}`; write `\\{` for the sign itself",
            )
        high: int | None = low
        if self._match(","):
            high = self._number()
        self._expect("}", opened_at)
        return low, high

    def _number(self) -> int | None:
        start = self._at
        while self._peek("0123456789"):
            self._at += 1
        digits = self._text[start : self._at]
        if len(digits.lstrip("0")) > 9:
            raise syntax_error(self._offset + start, f"the number {digits[:12]}... is too large for a repetition")
        return int(digits) if digits else None

    def _complement(self) -> Node:
        complements = 0
        while self._match("~"):
            complements += 1
        node = self._simple()
        return self._nodes.complement(node) if complements % 2 else node

    def _simple(self) -> Node:
        start = self._at
        if self._match("["):
            return self._class(start)
        if self._match("."):
            return self._nodes.any_character()
        if self._match("#"):
            return self._nodes.nothing
        if self._match("@"):
            return self._nodes.anything
        if self._match('"'):
            return self._nodes.string(self._up_to('"', start))
        if self._match("("):
            return self._parentheses(start)
        if self._match("<"):
            return self._interval(self._up_to(">", start), start)
        return self._nodes.character(self._character())

    def _parentheses(self, start: int) -> Node:
        if self._match(")"):
            return self._nodes.empty
        self._levels += 1
        if self._levels > MAX_DEPTH:
            raise self._nodes.too_complex(MAX_DEPTH)
        node = self._union()
        self._expect(")", start)
        self._levels -= 1
        return node

    def _up_to(self, character: str, start: int) -> str:
        end = self._text.find(character, self._at)
        if end < 0:
            self._at = len(self._text)
            self._expect(character, start)
        inside = self._text[self._at : end]
        self._at = end + 1
        return inside

    def _class(self, start: int) -> Node:
        negated = self._match("^")
        ranges = [self._class_range()]
        while self._at < len(self._text) and not self._peek("]"):
            ranges.append(self._class_range())
        self._expect("]", start)
        return self._nodes.characters(_others(ranges) if negated else ranges)

    def _class_range(self) -> tuple[int, int]:
        start = self._at
        first = ord(self._character())
        last = ord(self._character()) if self._match("-") else first
        if first > last:
            raise syntax_error(
                self._offset + start,
                f"the range {self._text[start : self._at]} of the regular expression is the wrong way round",
            )
        return first, last

    def _character(self) -> str:
        self._match("\\")
        return self._next()

    def _interval(self, inside: str, start: int) -> Node:
        low, _, high = inside.partition("-")
        if (
            not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit())
            or max(int(low), int(high)) >= 2**31
        ):
            raise syntax_error(
                self._offset + start,
                "`<` starts an interval of numbers, as in `<10-99>`; write `\\<` for the sign itself",
            )
        first, last = sorted((int(low), int(high)))
        if len(low) == len(high):
            return self._digits(str(first).zfill(len(low)), str(last).zfill(len(low)))
        zeros = self._nodes.repeat(self._nodes.character("0"), 0, None)
        return self._nodes.concatenation([zeros, self._nodes.union(self._numbers(first, last))])

    def _numbers(self, first: int, last: int) -> list[Node]:
        """Return the numbers between two, without leading zeros, for each number of digits."""
        parts = []
        for length in range(len(str(first)), len(str(last)) + 1):
            lowest = 0 if length == 1 else 10 ** (length - 1)
            parts.append(self._digits(str(max(first, lowest)), str(min(last, 10**length - 1))))
        return parts

    def _digits(self, first: str, last: str) -> Node:
        """Return the strings of digits between two of the same length."""
        if len(first) == 1 or first == last:
            return self._nodes.string(first) if first == last else self._nodes.characters([(ord(first), ord(last))])
        rest = len(first) - 1
        digit = self._nodes.characters([(ord("0"), ord("9"))])
        if first.strip("0") == last.strip("9") == "":
            return self._nodes.repeat(digit, len(first), len(first))
        if first[0] == last[0]:
            return self._nodes.concatenation([self._nodes.character(first[0]), self._digits(first[1:], last[1:])])
        parts = [
            self._nodes.concatenation([self._nodes.character(first[0]), self._digits(first[1:], "9" * rest)]),
            self._nodes.concatenation([self._nodes.character(last[0]), self._digits("0" * rest, last[1:])]),
        ]
        if ord(first[0]) + 1 < ord(last[0]):
            between = self._nodes.characters([(ord(first[0]) + 1, ord(last[0]) - 1)])
            parts.append(self._nodes.concatenation([between, self._nodes.repeat(digit, rest, rest)]))
        return self._nodes.union(parts)


def _others(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the code points outside of ranges."""
    others = []
    following = 0
    for first, last in sorted(ranges):
        if first > following:
            others.append((following, first - 1))
        following = max(following, last + 1)
    if following <= MAX_CODE_POINT:
        others.append((following, MAX_CODE_POINT))
    return others
