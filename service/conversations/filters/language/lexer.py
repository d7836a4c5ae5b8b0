"""Splits a filter into tokens, as Lucene's classic query parser does: the longest match wins.

Source:
    https://lucene.apache.org/core/8_8_1/queryparser/org/apache/lucene/queryparser/classic/package-summary.html
"""

import re
from collections.abc import Generator, Iterator
from enum import Enum
from typing import NamedTuple

from conversations.errors import FilterSyntaxError

__all__ = ["BLANKS", "Token", "TokenKind", "syntax_error", "tokenize", "unescape"]


class TokenKind(Enum):
    """The kind of a token, as named in messages."""

    AND = "`AND`"
    OR = "`OR`"
    NOT = "`NOT`"
    PLUS = "`+`"
    MINUS = "`-`"
    LEFT_PAREN = "`(`"
    RIGHT_PAREN = "`)`"
    COLON = "`:`"
    BOOST = "`^`"
    TILDE = "`~`"
    STAR = "`*`"
    WORD = "a word"
    PREFIX = "a prefix"
    WILDCARD = "a wildcard"
    QUOTED = "a phrase"
    REGEX = "a regular expression"
    RANGE_START = "a range"
    BOUND = "a bound"
    QUOTED_BOUND = "a quoted bound"
    TO = "`TO`"
    RANGE_END = "the end of a range"
    END = "the end"


class Token(NamedTuple):
    """A token and its position."""

    kind: TokenKind
    text: str
    """As in the filter, escapes and quotes included."""
    position: int
    """Index of its first code point."""


BLANKS = " \t\n\r\u3000"
_CHARACTER = rf'(?:[^{BLANKS}!():^\[\]"{{}}~*?\\/]|\\.)'
_NO_SIGN = r"(?![+\-])"

# `+`, `-` and `!` before a blank are words; that token is longer, so it comes before the sign.
_DEFAULT = re.compile(
    rf"(?P<word>{_NO_SIGN}(?:{_CHARACTER}|[*?])++)"
    rf"|(?P<blanks>[{BLANKS}]+)"
    rf"|(?P<bare>[+\-!])[{BLANKS}]"
    r"|(?P<sign>[+\-!():\[{])"
    r'|(?P<quoted>"(?:[^"\\]|\\.)*+")'
    rf"|(?P<tilde>~{_CHARACTER}*+)"
    r"|(?P<boost>\^[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<regex>/(?:\\/|[^/])*/)",
    re.DOTALL,
)
_BOUND = re.compile(r"[^ \]}]+")
_QUOTED_BOUND = re.compile(r'"(?:\\"|[^"])+"')

_ESCAPED_PAIR = re.compile(r"\\.", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.?)", re.DOTALL)
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")

_KINDS = {
    "AND": TokenKind.AND,
    "&&": TokenKind.AND,
    "OR": TokenKind.OR,
    "||": TokenKind.OR,
    "NOT": TokenKind.NOT,
    "*": TokenKind.STAR,
    "+": TokenKind.PLUS,
    "-": TokenKind.MINUS,
    "!": TokenKind.NOT,
    "(": TokenKind.LEFT_PAREN,
    ")": TokenKind.RIGHT_PAREN,
    ":": TokenKind.COLON,
    "[": TokenKind.RANGE_START,
    "{": TokenKind.RANGE_START,
    "bare": TokenKind.WORD,
    "quoted": TokenKind.QUOTED,
    "tilde": TokenKind.TILDE,
    "boost": TokenKind.BOOST,
    "regex": TokenKind.REGEX,
}


def syntax_error(position: int, what: str) -> FilterSyntaxError:
    """Return the error for a place in a filter that does not parse."""
    return FilterSyntaxError(f"at position {position}: {what}", position)


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of a filter, the last of kind END.

    Raises:
        FilterSyntaxError: No token matches; raised after the tokens before that place.
    """
    position = 0
    while position < len(text):
        match = _DEFAULT.match(text, position)
        if match is None:
            raise _no_token(text, position)
        group = match.lastgroup
        position = match.end()
        if group == "blanks":
            continue
        part = match[str(group)]
        if group == "word":
            yield Token(_KINDS.get(part) or _word_kind(part), part, match.start())
        elif group == "sign":
            yield Token(_KINDS[part], part, match.start())
            if part in "[{":
                position = yield from _range_tokens(text, match.start())
        else:
            yield Token(_KINDS[str(group)], part, match.start())
    yield Token(TokenKind.END, "", len(text))


def _word_kind(text: str) -> TokenKind:
    if "*" not in text and "?" not in text:
        return TokenKind.WORD
    plain = _ESCAPED_PAIR.sub("x", text)
    wildcards = plain.count("*") + plain.count("?")
    if wildcards == 0:
        return TokenKind.WORD
    return TokenKind.PREFIX if wildcards == 1 and plain.endswith("*") else TokenKind.WILDCARD


def _range_tokens(text: str, start: int) -> Generator[Token, None, int]:
    """Yield the tokens after the opening bracket at `start`, and return the position after the closing one."""
    position = start + 1
    while position < len(text):
        if text[position] == " ":
            position += 1
        elif text[position] in "]}":
            yield Token(TokenKind.RANGE_END, text[position], position)
            return position + 1
        else:
            token = _bound(text, position)
            yield token
            position += len(token.text)
    raise syntax_error(start, "the range is not closed; a range looks like `[2 TO 5]` or `{2 TO *}`")


def _bound(text: str, position: int) -> Token:
    bare = _BOUND.match(text, position)
    assert bare is not None, "neither a blank nor a bracket"
    quoted = _QUOTED_BOUND.match(text, position)
    if quoted is not None and quoted.end() >= bare.end():
        return Token(TokenKind.QUOTED_BOUND, quoted[0], position)
    return Token(TokenKind.TO if bare[0] == "TO" else TokenKind.BOUND, bare[0], position)


def _no_token(text: str, position: int) -> FilterSyntaxError:
    character = text[position]
    if character == "\\":
        return syntax_error(position, "a backslash has nothing after it to escape; write `\\\\` for a backslash")
    if character == '"':
        return syntax_error(
            position, 'the quote is not closed; a phrase looks like `"ada lovelace"`, a quote like `\\"`'
        )
    if character == "^":
        return syntax_error(
            position, "`^` needs a number right after it, as in `ada^2`; write `\\^` for the sign itself"
        )
    if character == "/":
        return syntax_error(
            position,
            "the regular expression is not closed; it stands between two slashes, as in `/ad[ae]/`,"
            " and a slash itself is written `\\/`",
        )
    return syntax_error(
        position, f"`{character}` closes no range; a range looks like `[2 TO 5]`, the sign itself `\\{character}`"
    )


def unescape(text: str, position: int) -> str:
    """Return text without its backslashes; a pair of escaped surrogates becomes its one code point.

    A surrogate without its other half becomes U+FFFD, as in Lucene.

    Args:
        text: Part of a filter, as a token has it.
        position: Where it starts, for the error.

    Raises:
        FilterSyntaxError: A `\\u` isn't followed by four hexadecimal digits.
    """
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        escaped = match[1]
        if len(escaped) == 5:
            return chr(int(escaped[1:], 16))
        if escaped == "u":
            raise syntax_error(
                position + match.start(), "`\\u` needs four hexadecimal digits, as in `\\u00e9`; escape no letter `u`"
            )
        if not escaped:
            raise syntax_error(position + match.start(), "a backslash has nothing after it to escape")
        return escaped

    unescaped = _ESCAPE.sub(replace, text)
    return _SURROGATES.sub(_join_surrogates, unescaped)


def _join_surrogates(match: re.Match[str]) -> str:
    return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
