"""Lucene's regular expressions: each part maps a word and a place in it to all the places where it can end."""

import re
from collections.abc import Callable

from tests.reference.patterns import WordTest
from tests.reference.words import RefusedError

__all__ = ["regex"]

Ends = Callable[[str, int], set[int]]


def regex(pattern: str) -> WordTest:
    part = RegexReader(pattern).whole()
    return lambda word: len(word) in part(word, 0)


def one_of(accepts: Callable[[str], bool]) -> Ends:
    return lambda word, at: {at + 1} if at < len(word) and accepts(word[at]) else set()


def literally(text: str) -> Ends:
    return lambda word, at: {at + len(text)} if word.startswith(text, at) else set()


def repeated(part: Ends, least: int, most: int | None) -> Ends:
    def ends(word: str, at: int) -> set[int]:
        found, current, times = set[int](), {at}, 0
        while current and (most is None or times <= most):
            if times >= least:
                if current <= found:
                    break
                found |= current
            current = {end for start in current for end in part(word, start)}
            times += 1
        return found

    return ends


class RegexReader:
    """The syntax of Lucene's regular expressions, top down: union, intersection, sequence, repetition, complement."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def take(self, start: str) -> bool:
        if not self.rest.startswith(start):
            return False
        self.rest = self.rest[len(start) :]
        return True

    def char(self) -> str:
        self.take("\\")
        if not self.rest:
            raise RefusedError("the regular expression ends too early")
        char, self.rest = self.rest[0], self.rest[1:]
        return char

    def until(self, end: str) -> str:
        text, found, self.rest = self.rest.partition(end)
        if not found:
            raise RefusedError(f"no {end} in the regular expression")
        return text

    def whole(self) -> Ends:
        part = self.union() if self.rest else literally("")
        if self.rest:
            raise RefusedError(f"{self.rest} in a regular expression")
        return part

    def union(self) -> Ends:
        parts = [self.intersection()]
        while self.take("|"):
            parts.append(self.intersection())
        return lambda word, at: set().union(*(part(word, at) for part in parts))

    def intersection(self) -> Ends:
        parts = [self.sequence()]
        while self.take("&"):
            parts.append(self.sequence())
        return lambda word, at: set.intersection(*(part(word, at) for part in parts))

    def sequence(self) -> Ends:
        parts = [self.repetition()]
        while self.rest and self.rest[0] not in ")|&":
            parts.append(self.repetition())

        def ends(word: str, at: int) -> set[int]:
            reached = {at}
            for part in parts:
                reached = {end for start in reached for end in part(word, start)}
            return reached

        return ends

    def repetition(self) -> Ends:
        part = self.complement()
        while self.rest and self.rest[0] in "?*+{":
            if self.take("{"):
                counts = re.fullmatch(r"([0-9]+)(,([0-9]*))?", self.until("}"))
                if not counts:
                    raise RefusedError("bad count in a regular expression")
                least = int(counts[1])
                most = least if not counts[2] else int(counts[3]) if counts[3] else None
                part = repeated(part, least, most)
            else:
                part = repeated(part, *{"?": (0, 1), "*": (0, None), "+": (1, None)}[self.char()])
        return part

    def complement(self) -> Ends:
        if not self.take("~"):
            return self.simple()
        part = self.complement()
        return lambda word, at: set(range(at, len(word) + 1)) - part(word, at)

    def simple(self) -> Ends:
        if self.take("."):
            return one_of(lambda _: True)
        if self.take("#"):
            return lambda word, at: set()
        if self.take("@"):
            return lambda word, at: set(range(at, len(word) + 1))
        if self.take('"'):
            return literally(self.until('"'))
        if self.take("()"):
            return literally("")
        if self.take("("):
            part = self.union()
            if not self.take(")"):
                raise RefusedError("no ) in a regular expression")
            return part
        if self.take("<"):
            return self.interval(self.until(">"))
        if self.take("["):
            return self.char_class()
        return literally(self.char())

    def interval(self, text: str) -> Ends:
        numbers = re.fullmatch(r"([0-9]+)-([0-9]+)", text)
        if not numbers:
            raise RefusedError("bad interval in a regular expression")
        low, high = sorted((numbers[1], numbers[2]), key=int)
        digits = len(low) if len(low) == len(high) else None

        def ends(word: str, at: int) -> set[int]:
            return {
                end
                for end in range(at + 1, len(word) + 1)
                if re.fullmatch("[0-9]+", word[at:end])
                and int(low) <= int(word[at:end]) <= int(high)
                and digits in (None, end - at)
            }

        return ends

    def char_class(self) -> Ends:
        negative = self.take("^")
        spans: list[tuple[str, str]] = []
        while not spans or not self.rest.startswith("]"):
            low = self.char()
            high = self.char() if self.take("-") else low
            if high < low:
                raise RefusedError("a range of characters that runs backwards")
            spans.append((low, high))
        self.rest = self.rest[1:]
        return one_of(lambda char: any(low <= char <= high for low, high in spans) != negative)
