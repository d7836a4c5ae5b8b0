"""Parses a filter in Lucene's classic grammar; knows no fields.

    query  := clause { [ AND | OR ] clause }
    clause := [ + | - | NOT ] [ field ":" ] ( leaf | "(" query ")" [ ^number ] )

What a conjunction or a modifier means is left to `bind`: it depends on which clauses have words.
"""

import math
import re
import struct
from collections.abc import Iterator

from conversations.errors import FilterSyntaxError, FilterTooLargeError
from conversations.filters.language.lexer import Token, TokenKind, syntax_error, tokenize, unescape
from conversations.filters.language.syntax import (
    Clause,
    Conjunction,
    Expression,
    FieldName,
    Fuzzy,
    Group,
    Modifier,
    Phrase,
    Prefix,
    Range,
    Regex,
    Wildcard,
    Word,
)

__all__ = ["MAX_CLAUSES", "MAX_FILTER_BYTES", "MAX_LEVELS", "parse"]

MAX_FILTER_BYTES = 4096
"""The longest filter, in bytes of UTF-8."""

MAX_LEVELS = 64
"""The deepest nesting of parentheses."""

MAX_CLAUSES = 256
"""The most words, phrases, patterns and ranges in a filter."""


def parse(text: str) -> Group:
    """Return the clauses of a filter that is not blank.

    Raises:
        FilterSyntaxError: The filter does not parse.
        FilterTooLargeError: It has more than MAX_LEVELS levels or MAX_CLAUSES clauses.
    """
    return _Parser(text).query(opened_at=None)


_CONJUNCTIONS = {TokenKind.AND: Conjunction.AND, TokenKind.OR: Conjunction.OR}
_MODIFIERS = {
    TokenKind.PLUS: Modifier.REQUIRED,
    TokenKind.MINUS: Modifier.PROHIBITED,
    TokenKind.NOT: Modifier.PROHIBITED,
}


class _Parser:
    """One pass over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self._tokens: Iterator[Token] = tokenize(text)
        self._previous: Token | None = None
        self._token = next(self._tokens)
        self._peeked: Token | None = None
        self._levels = 0
        self._clauses = 0

    def query(self, opened_at: int | None) -> Group:
        """Parse clauses up to the end, or up to the parenthesis that closes the one at `opened_at`."""
        position = self._token.position
        clauses = [self._clause(None)]
        while not self._at(TokenKind.END, TokenKind.RIGHT_PAREN):
            conjunction = _CONJUNCTIONS.get(self._token.kind)
            if conjunction is not None:
                self._take()
            clauses.append(self._clause(conjunction))
        if self._at(TokenKind.RIGHT_PAREN) and opened_at is None:
            raise syntax_error(self._token.position, _CLOSES_NONE)
        if self._at(TokenKind.END) and opened_at is not None:
            raise syntax_error(opened_at, "this `(` is never closed; write `\\(` for the sign itself")
        return Group(tuple(clauses), position)

    def _at(self, *kinds: TokenKind) -> bool:
        return self._token.kind in kinds

    def _take(self) -> Token:
        token = self._previous = self._token
        self._token = self._peeked or next(self._tokens)
        self._peeked = None
        return token

    def _peek(self) -> Token:
        if self._peeked is None:
            self._peeked = next(self._tokens)
        return self._peeked

    def _clause(self, conjunction: Conjunction | None) -> Clause:
        modifier = _MODIFIERS.get(self._token.kind)
        if modifier is not None:
            self._take()
        field = None
        if self._at(TokenKind.WORD, TokenKind.STAR) and self._peek().kind is TokenKind.COLON:
            name = self._take()
            self._take()
            field = FieldName(unescape(name.text, name.position), name.position)
        if self._at(TokenKind.LEFT_PAREN):
            return Clause(conjunction, modifier, field, self._group())
        self._clauses += 1
        if self._clauses > MAX_CLAUSES:
            raise _too_large(self._token.position, MAX_CLAUSES, "words, phrases, patterns and ranges")
        return Clause(conjunction, modifier, field, self._leaf())

    def _group(self) -> Group:
        self._levels += 1
        opening = self._take()
        if self._levels > MAX_LEVELS:
            raise _too_large(opening.position, MAX_LEVELS, "levels of parentheses")
        group = self.query(opening.position)
        self._take()
        self._levels -= 1
        if self._at(TokenKind.BOOST):
            self._take()
        return group

    def _leaf(self) -> Expression:
        match self._token.kind:
            case TokenKind.WORD:
                return self._word()
            case TokenKind.QUOTED:
                return self._phrase()
            case TokenKind.RANGE_START:
                return self._range()
            case TokenKind.STAR | TokenKind.WILDCARD | TokenKind.PREFIX | TokenKind.REGEX:
                return self._pattern()
            case _:
                raise _unexpected(self._token, self._previous)

    def _word(self) -> Word | Fuzzy:
        token = self._take()
        text = unescape(token.text, token.position)
        tilde = self._tilde_and_boost()
        if tilde is None:
            return Word(text, token.position)
        return Fuzzy(text, _edits(tilde, len(text)), token.position)

    def _phrase(self) -> Phrase:
        token = self._take()
        text = unescape(token.text[1:-1], token.position + 1)
        tilde = self._tilde_and_boost()
        return Phrase(text, 0 if tilde is None else _slop(tilde.text[1:]), token.position)

    def _pattern(self) -> Prefix | Wildcard | Regex:
        token = self._take()
        self._tilde_and_boost()
        text = unescape(token.text, token.position)
        if token.kind is TokenKind.PREFIX:
            return Prefix(text[:-1], token.position)
        if token.kind is TokenKind.REGEX:
            return Regex(token.text[1:-1], token.position)
        return Wildcard(token.text, token.position)

    def _tilde_and_boost(self) -> Token | None:
        """Take `~` and `^` in either order, each at most once, and return the `~`."""
        tilde = None
        if self._at(TokenKind.BOOST):
            self._take()
            if self._at(TokenKind.TILDE):
                tilde = self._take()
        elif self._at(TokenKind.TILDE):
            tilde = self._take()
            if self._at(TokenKind.BOOST):
                self._take()
        return tilde

    def _range(self) -> Range:
        opening = self._take()
        low_position = self._token.position
        low = self._bound()
        if not self._at(TokenKind.TO):
            raise _no_to(self._token)
        self._take()
        high_position = self._token.position
        high = self._bound()
        if not self._at(TokenKind.RANGE_END):
            raise syntax_error(
                self._token.position,
                'a range has two bounds; put one that holds a blank in quotes, as in `["2019-01-01 00:00:00Z" TO *]`',
            )
        closing = self._take()
        if self._at(TokenKind.BOOST):
            self._take()
        return Range(low, high, opening.text == "[", closing.text == "]", opening.position, low_position, high_position)

    def _bound(self) -> str | None:
        token = self._token
        if token.kind is TokenKind.RANGE_END:
            raise syntax_error(
                token.position, "the range lacks a bound; a range looks like `[2 TO 5]`, an open one like `[2 TO *]`"
            )
        self._take()
        if token.kind is TokenKind.QUOTED_BOUND:
            return unescape(token.text[1:-1], token.position + 1)
        return None if token.text == "*" else unescape(token.text, token.position)


_CLOSES_NONE = "`)` closes no parenthesis; write `\\)` for the sign itself"


def _no_to(token: Token) -> FilterSyntaxError:
    if token.text.upper() == "TO":
        return syntax_error(token.position, f"`{token.text}` has to be in upper case: `[2 TO 5]`")
    return syntax_error(
        token.position,
        "a range needs ` TO ` between its bounds, as in `[2 TO 5]` or `[2 TO *]`; a bound with a blank goes in quotes",
    )


def _too_large(position: int, limit: int, what: str) -> FilterTooLargeError:
    message = f"at position {position}: a filter has at most {limit} {what}; this one has more"
    return FilterTooLargeError(message, position, limit=str(limit))


def _unexpected(token: Token, previous: Token | None) -> FilterSyntaxError:
    """Return the error for a token where a word, phrase, pattern, range or group has to be."""
    kind = token.kind
    before = previous.kind if previous is not None else None
    what = _CLOSES_NONE  # What is left is a `)` at the start of a filter.
    if before is TokenKind.COLON and kind in _MODIFIERS:
        sign = token.text
        what = (
            f"{kind.value} has to stand before the field, as in `{sign}source:viber`;"
            f" one that belongs to the value is escaped: `\\{sign}1`"
        )
    elif before in _MODIFIERS and kind in _MODIFIERS:
        what = "a clause has one `+`, `-` or `NOT` at most; write `NOT (NOT ada)` for two"
    elif kind in _CONJUNCTIONS:
        what = (
            f"{kind.value} needs a clause on either side, as in `ada {kind.name} bob`;"
            f' to find the word, write `"{token.text}"`'
        )
    elif kind is TokenKind.COLON:
        what = (
            "a colon may follow the name of a field only; one that belongs to a value"
            ' has to be in quotes or escaped: `"12:30"`, `12\\:30`'
        )
    elif kind in (TokenKind.TILDE, TokenKind.BOOST):
        sign = token.text[0]
        what = f"`{sign}` has to follow a word or a phrase, as in `ada{sign}1`; write `\\{sign}` for the sign itself"
    elif kind is TokenKind.RIGHT_PAREN and before is TokenKind.LEFT_PAREN:
        what = "there is nothing between these parentheses"
    elif kind in (TokenKind.END, TokenKind.RIGHT_PAREN) and before is TokenKind.COLON:
        what = "a value has to follow `:`, as in `source:facebook`, or `*` for any value"
    elif kind in (TokenKind.END, TokenKind.RIGHT_PAREN) and previous is not None:
        what = f"something has to follow {previous.kind.value}, as in `source:facebook AND NOT state:open`"
    return syntax_error(token.position, what)


_JAVA_FLOAT = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<special>NaN|Infinity)"
    r"|(?P<hex>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[fFdD]?"
    r"|(?P<decimal>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?)"
)


def _float(text: str) -> float | None:
    """Return the 32-bit number that Java's Float.parseFloat returns for a text; None if it fails."""
    match = _JAVA_FLOAT.fullmatch(text)
    if match is None:
        return None
    try:
        number = float.fromhex(match["hex"]) if match["hex"] else float(match["special"] or match["decimal"])
        number = float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        number = math.inf
    return -number if match["sign"] == "-" else number


def _slop(text: str) -> int:
    number = _float(text)
    if number is None or math.isnan(number):
        return 0
    return int(max(-(2.0**31), min(number, 2.0**31 - 1)))


def _edits(tilde: Token, length: int) -> int:
    """Return how many edits a `~` allows in a word of `length` code points."""
    number = _float(tilde.text[1:])
    if number is None:
        return 2
    if number < 0 or (number >= 1 and number != int(min(number, 2.0**31))):
        raise syntax_error(
            tilde.position,
            "`~` takes 0, 1 or 2 edits, or a similarity below 1: `ada~1`, `ada~0.7`",
        )
    if number >= 1:
        return int(min(number, 2))
    if number == 0 or math.isnan(number):
        return 0
    return min(int((1.0 - number) * length), 2)
