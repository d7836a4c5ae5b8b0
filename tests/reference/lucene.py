"""What a filter means, evaluated word by word: the second opinion on the service's translator.

A filter becomes one Python predicate over the fields of a conversation. Nothing here is fast or clever, and nothing
is shared with the service: it is written from the rules that `tests/data/filters` come with.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache, partial
from typing import Any

from tests.reference.model import RejectedError, to_millis
from tests.reference.patterns import DECIMAL, WordTest, fuzzy, phrase_fits, wildcard
from tests.reference.regexes import regex
from tests.reference.words import NUMBERS, WHITE_SPACE, Fields, RefusedError, fields, lower, split

__all__ = ["Fields", "RefusedError", "fields", "lower", "matches", "split"]

ALIASES = {
    "displayName": "display_name",
    "channelId": "channel_id",
    "createdAt": "created_at",
    "tagIds": "tag_ids",
    "lastMessageAt": "last_message_at",
    "unreadCount": "unread_count",
    "unread_message_count": "unread_count",
    "unreadMessageCount": "unread_count",
}
KEYWORDS = {"id", "channel_id", "source", "state"}
TEXTS = {"display_name", "tag_ids"}
TIMES = {"created_at", "last_message_at"}
DEFAULT_FIELDS = ("id", "display_name")
MAX_FILTER_BYTES = 4096
DAY_MS = 24 * 60 * 60 * 1000


Test = Callable[[Fields], bool]


def matches(filter_text: str, conversation: Fields) -> bool:
    """Tell whether the filter matches; raises `RefusedError` whatever the conversation if it is no filter."""
    return compile_filter(filter_text)(conversation)


# Of the tokens that fit at a place the longest wins, of two as long the one further up.
BLANK = r"[ \t\n\r\u3000]"
ESCAPED = r"\\[\s\S]"
START = rf'(?:[^ \t\n\r\u3000+\-!():^\[\]"{{}}~*?\\/]|{ESCAPED})'
CHAR = rf"(?:{START}|[+\-])"

TOKENS = {
    "text": [
        ("AND", r"AND|&&"),
        ("OR", r"OR|\|\|"),
        ("NOT", r"NOT|!"),
        ("PLUS", r"\+"),
        ("MINUS", r"-"),
        ("BARE", rf"[+\-!]{BLANK}"),
        ("OPEN", r"\("),
        ("CLOSE", r"\)"),
        ("COLON", r":"),
        ("STAR", r"\*"),
        ("BOOST", r"\^"),
        ("QUOTED", rf'"(?:[^"\\]|{ESCAPED})*"'),
        ("TERM", rf"{START}{CHAR}*"),
        ("TILDE", rf"~{CHAR}*"),
        ("PREFIX", rf"{START}{CHAR}*\*"),
        ("WILD", rf"(?:{START}|[*?])(?:{CHAR}|[*?])*"),
        ("REGEX", r"/(?:\\/|[^/])*/"),
        ("FROM", r"[\[{]"),
    ],
    "boost": [("NUMBER", r"[0-9]+(?:\.[0-9]+)?")],
    "range": [
        ("TO", r"TO"),
        ("UNTIL", r"[\]}]"),
        ("BOUND_QUOTED", r'"(?:\\"|[^"])+"'),
        ("BOUND", r"[^ \]}]+"),
    ],
}
PATTERNS = {state: [(kind, re.compile(pattern)) for kind, pattern in kinds] for state, kinds in TOKENS.items()}
NEXT_STATE = {"BOOST": "boost", "NUMBER": "text", "FROM": "range", "UNTIL": "text"}

Token = tuple[str, str]
END: Token = ("END", "")


def tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    state, at = "text", 0
    while at < len(text):
        if state != "boost" and re.match(BLANK, text[at]):
            at += 1
            continue
        found = [(kind, match.group()) for kind, pattern in PATTERNS[state] if (match := pattern.match(text, at))]
        if not found:
            raise RefusedError(f"nothing fits at {at}")
        kind, image = max(found, key=lambda token: len(token[1]))
        tokens.append((kind, image))
        state, at = NEXT_STATE.get(kind, state), at + len(image)
    return tokens


def unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match["hex"]:
            return chr(int(match["hex"], 16))
        if match["char"] in ("", "u"):
            raise RefusedError(f"bad escape in {text}")
        return match["char"]

    plain = re.sub(r"\\(?:u(?P<hex>[0-9a-fA-F]{4})|(?P<char>[\s\S]|$))", one, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@lru_cache(maxsize=100_000)
def compile_filter(text: str) -> Test:
    if len(text.encode()) > MAX_FILTER_BYTES:
        raise RefusedError("too long")
    if not text.strip():
        return lambda _: True
    reader = Reader(tokenize(text))
    test = reader.query(None)
    if reader.peek() != "END":
        raise RefusedError(f"{reader.tokens[0]} after the end")
    return test or (lambda _: False)


class Reader:
    """The grammar, top down."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = [*tokens, END]

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[min(ahead, len(self.tokens) - 1)][0]

    def take(self, *kinds: str) -> Token | None:
        return self.tokens.pop(0) if self.peek() in kinds else None

    def need(self, *kinds: str) -> Token:
        token = self.take(*kinds)
        if token is None:
            raise RefusedError(f"{self.tokens[0]} where {kinds} should be")
        return token

    def query(self, field: str | None) -> Test | None:
        """Read clauses; None if none of them has words."""
        clauses: list[tuple[str, Test]] = []
        first = True
        while first or self.peek() not in ("END", "CLOSE"):
            joined = None if first else self.take("AND", "OR")
            first = False
            sign = self.take("PLUS", "MINUS", "NOT")
            test = self.clause(field)
            after_and = joined is not None and joined[0] == "AND"
            if after_and and clauses and clauses[-1][0] != "-":
                clauses[-1] = ("+", clauses[-1][1])
            if test is None:
                continue
            if sign is not None and sign[0] != "PLUS":
                clauses.append(("-", test))
            else:
                clauses.append(("+" if sign or after_and else "", test))
        return combine(clauses)

    def clause(self, field: str | None) -> Test | None:
        if self.peek() in ("TERM", "STAR") and self.peek(1) == "COLON":
            kind, image = self.need("TERM", "STAR")
            self.need("COLON")
            field = "*" if kind == "STAR" else known(unescape(image))
        if not self.take("OPEN"):
            return self.term(field)
        test = self.query(field)
        self.need("CLOSE")
        self.boost()
        return test

    def boost(self) -> bool:
        if not self.take("BOOST"):
            return False
        self.need("NUMBER")
        return True

    def term(self, field: str | None) -> Test | None:
        kind, image = self.need("TERM", "STAR", "PREFIX", "WILD", "REGEX", "BARE", "QUOTED", "FROM")
        if kind == "FROM":
            low, _, high = self.bound(), self.need("TO"), self.bound()
            until = self.need("UNTIL")
            self.boost()
            return range_test(field, low, high, image == "[", until[1] == "]")
        boosted = self.boost()
        tilde = self.take("TILDE")
        if not boosted:
            self.boost()
        return single_test(field, kind, image, tilde[1][1:] if tilde else None)

    def bound(self) -> str | None:
        kind, image = self.need("BOUND", "BOUND_QUOTED", "TO")
        if image == "*":
            return None
        return unescape(image[1:-1] if kind == "BOUND_QUOTED" else image)


def known(field: str) -> str:
    field = ALIASES.get(field, field)
    if field not in KEYWORDS | TEXTS | NUMBERS and not field.startswith("metadata."):
        raise RefusedError(f"unknown field {field}")
    return field


def combine(clauses: list[tuple[str, Test]]) -> Test | None:
    if not clauses:
        return None
    required = [test for sign, test in clauses if sign == "+"]
    optional = [test for sign, test in clauses if sign == ""]
    prohibited = [test for sign, test in clauses if sign == "-"]

    def test(conversation: Fields) -> bool:
        if any(other(conversation) for other in prohibited):
            return False
        if required:
            return all(other(conversation) for other in required)
        return not optional or any(other(conversation) for other in optional)

    return test


def single_test(field: str | None, kind: str, image: str, tilde: str | None) -> Test | None:
    if field == "*":
        if kind != "STAR":
            raise RefusedError("*: takes * alone")
        return lambda _: True
    if field in NUMBERS:
        return number_test(field, kind, image, tilde)
    plain = unescape(image)
    if kind == "QUOTED":
        return phrase_test(field, split(plain[1:-1]), slop(tilde))
    if kind in ("STAR", "WILD"):
        return any_word(field, wildcard(image))
    if kind == "PREFIX":
        start = lower(plain[:-1])
        return any_word(field, lambda word: word.startswith(start))
    if kind == "REGEX":
        return any_word(field, regex(lower(image[1:-1])))
    text = image[0] if kind == "BARE" else plain
    if tilde is not None:
        return any_word(field, fuzzy(lower(text), tilde))
    # An escaped blank splits a word in several: any of them will do.
    return combine([("", any_word(field, partial(str.__eq__, word))) for word in split(text)])


def any_word(field: str | None, word_test: WordTest) -> Test:
    names = DEFAULT_FIELDS if field is None else (field,)
    test = cache(word_test)
    return lambda conversation: any(test(word) for name in names for word in conversation.words.get(name, ()))


def slop(tilde: str | None) -> int:
    if tilde is None or not DECIMAL.fullmatch(tilde):
        return 0
    return int(float(tilde))


def phrase_test(field: str | None, words: list[str], allowed: int) -> Test | None:
    if len(words) < 2:
        # Lucene has no phrase here, and so no slop to look at.
        return any_word(field, partial(str.__eq__, words[0])) if words else None
    if allowed < 0:
        raise RefusedError("negative slop")
    names = set(DEFAULT_FIELDS if field is None else (field,)) - KEYWORDS
    return lambda conversation: any(
        phrase_fits(value, words, allowed) for name in names for value in conversation.texts.get(name, ())
    )


def range_test(field: str | None, low: str | None, high: str | None, with_low: bool, with_high: bool) -> Test:
    if field == "*":
        raise RefusedError("*: takes * alone")
    if field in NUMBERS:
        first = None if low is None else whole(field, low)[0]
        last = None if high is None else whole(field, high)[0]
        return lambda conversation: between(conversation.numbers[field], first, last, with_low, with_high)
    start, stop = low if low is None else lower(low), high if high is None else lower(high)
    return any_word(field, lambda word: between(word, start, stop, with_low, with_high))


def between(value: Any, low: Any, high: Any, with_low: bool, with_high: bool) -> bool:
    above = low is None or low < value or (with_low and low == value)
    below = high is None or value < high or (with_high and high == value)
    return above and below


def number_test(field: str, kind: str, image: str, tilde: str | None) -> Test | None:
    if kind == "STAR":
        return lambda _: True
    if kind not in ("TERM", "QUOTED") or (tilde is not None and kind == "TERM"):
        raise RefusedError(f"{field} takes numbers")
    if slop(tilde) < 0:
        raise RefusedError("negative slop")
    values = WHITE_SPACE.split(unescape(image[1:-1] if kind == "QUOTED" else image))
    spans = [whole(field, value) for value in values if value]
    if kind == "QUOTED" and len(spans) > 1:
        raise RefusedError(f"{field} takes numbers, not phrases")
    return combine([("", partial(within, field, span)) for span in spans])


def within(field: str, span: tuple[int, int], conversation: Fields) -> bool:
    return span[0] <= conversation.numbers[field] <= span[1]


def whole(field: str, text: str) -> tuple[int, int]:
    """Return the first and the last number that a value stands for."""
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text), int(text)
    if field not in TIMES:
        raise RefusedError(f"{text} is no number")
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            midnight = (date.fromisoformat(text) - date(1970, 1, 1)).days * DAY_MS
            return midnight, midnight + DAY_MS - 1
        return to_millis(text), to_millis(text)
    except (RejectedError, ValueError):
        raise RefusedError(f"{text} is no time") from None
