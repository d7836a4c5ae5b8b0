"""Binds the expressions of a filter to fields, types and values.

Lucene's rules for clauses are applied here: every clause of a group becomes required, optional or prohibited, and a
clause without words is dropped.
"""

import re

from conversations.errors import FilterTooLargeError
from conversations.filters.expressions import (
    Boolean,
    BoundClause,
    BoundExpression,
    Everything,
    Exists,
    IdRange,
    Nothing,
    Occur,
    Pattern,
    Term,
    ValuePrefix,
    WordPhrase,
    any_of,
)
from conversations.filters.fields import find_field, tag_of
from conversations.filters.language import (
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
    syntax_error,
)
from conversations.filters.numbers import bind_number
from conversations.filters.patterns import (
    MAX_FLOATING,
    Between,
    Budget,
    Glob,
    Near,
    Predicate,
    RegularExpression,
    StartsWith,
    WordPattern,
)
from conversations.schema import DEFAULT_FIELDS, ID, TAG_IDS, Field, FieldKind
from conversations.terms import lower, split_words

__all__ = ["bind"]


def bind(query: Group) -> BoundExpression:
    """Return the typed expression of a parsed filter.

    Raises:
        UnknownFieldError: It names a field that does not exist.
        FilterValueError: It asks a number field for something else.
        FilterSyntaxError: A regular expression or a slop in it is malformed.
        FilterTooLargeError: Its regular expressions are too complex.
    """
    bound = _bind_group(query, None, Budget())
    return Nothing(None, "there is no word in the filter", query.position) if bound is None else bound


def _bind_group(group: Group, field: FieldName | None, budget: Budget) -> BoundExpression | None:
    """Return a group as Lucene's addClause would; None if none of its clauses has words."""
    clauses: list[BoundClause] = []
    for clause in group.clauses:
        joined = clause.conjunction is Conjunction.AND
        if joined and clauses and clauses[-1].occur is Occur.OPTIONAL:
            clauses[-1] = BoundClause(Occur.REQUIRED, clauses[-1].expression)
        bound = _bind_clause(clause, field, budget)
        if bound is None:
            continue
        if clause.modifier is Modifier.PROHIBITED:
            occur = Occur.PROHIBITED
        elif joined or clause.modifier is Modifier.REQUIRED:
            occur = Occur.REQUIRED
        else:
            occur = Occur.OPTIONAL
        clauses.append(BoundClause(occur, bound))
    if len(clauses) == 1 and clauses[0].occur is not Occur.PROHIBITED:
        return clauses[0].expression
    return Boolean(tuple(clauses), group.position) if clauses else None


def _bind_clause(clause: Clause, outer_field: FieldName | None, budget: Budget) -> BoundExpression | None:
    field = clause.field or outer_field
    expression = clause.expression
    if isinstance(expression, Group):
        if clause.field is not None and clause.field.text != "*":
            # An unknown field is an error even if every clause inside names its own field.
            find_field(clause.field)
        return _bind_group(expression, field, budget)
    if field is None:
        return _bind_default(expression, budget)
    if field.text == "*" and expression == Wildcard("*", expression.position):
        return Everything(expression.position)
    found = find_field(field)
    bound = _bind_leaf(expression, found, budget)
    tag = tag_of(found)
    if tag is None or bound is None:
        return bound
    # The answer has an empty text for each tag: only its existence can be asked.
    if isinstance(bound, Exists):
        return _term(TAG_IDS, tag, expression.position)
    return Nothing(found, f"a tag has no words; ask `{found.name}:*` or `tag_ids:{tag}`", expression.position)


def _bind_default(expression: Expression, budget: Budget) -> BoundExpression | None:
    parts = [_bind_leaf(expression, field, budget) for field in DEFAULT_FIELDS]
    return any_of([part for part in parts if part is not None], expression.position)


def _bind_leaf(expression: Expression, field: Field, budget: Budget) -> BoundExpression | None:
    if field.kind is FieldKind.NUMBER:
        return bind_number(expression, field)
    match expression:
        case Word(text, position):
            return any_of([_term(field, word, position) for word in split_words(text)], position)
        case Phrase(text, slop, position):
            return _phrase(field, split_words(text), slop, position)
        case Prefix(text, position):
            return _prefix(field, lower(text), position)
        case Wildcard(text, position):
            return _wildcard(field, text, position)
        case Fuzzy(text, edits, position):
            return _fuzzy(field, lower(text), edits, position)
        case Range():
            return _range(field, expression)
        case Regex(text, position):
            return _regex(field, lower(text), position, budget)
        case Group():
            raise AssertionError("a group is no leaf")


_ID_CHARACTERS = "-0123456789abcdef"
_ID_LENGTH = 36
_NOT_IN_ID = re.compile("[^-0-9a-f]")
_NO_ID = "no id looks like that"
_BLANK = re.compile("[\t-\r\x1c-\x20\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000]")
_NO_BLANK = "no word holds a blank"


def _term(field: Field, word: str, position: int) -> BoundExpression:
    if field is ID and (len(word) != _ID_LENGTH or _NOT_IN_ID.search(word)):
        return Nothing(field, _NO_ID, position)
    return _zeroless(field, word, position) or Term(field, word, position)


def _zeroless(field: Field, text: str, position: int) -> Nothing | None:
    """Return Nothing for a value that no query can hold."""
    if "\0" in text and field.is_tag:
        return Nothing(field, "no value holds a zero character", position)
    return None


def _phrase(field: Field, words: list[str], slop: int, position: int) -> BoundExpression | None:
    if len(words) < 2:
        return _term(field, words[0], position) if words else None
    if slop < 0:
        raise syntax_error(position, f'the slop of a phrase cannot be negative: `~{slop}`; write `"ada lovelace"~2`')
    if field.is_tag:
        return Nothing(field, f"{field.name} holds single words", position)
    return WordPhrase(field, tuple(words), slop, position)


def _prefix(field: Field, text: str, position: int) -> BoundExpression:
    if field is ID and _NOT_IN_ID.search(text):
        return Nothing(field, _NO_ID, position)
    if field.is_tag and _BLANK.search(text):
        return Nothing(field, _NO_BLANK, position)
    if field.is_tag:
        return _zeroless(field, text, position) or ValuePrefix(field, text, position)
    return _pattern(field, text, StartsWith(text), position)


def _pattern(field: Field, literal: str, predicate: Predicate, position: int) -> BoundExpression:
    if _BLANK.search(literal):
        return Nothing(field, _NO_BLANK, position)
    return Pattern(field, WordPattern(field.name, predicate, position), position)


_WILDCARD_PART = re.compile(r"\\(.)|([*]+)|([?])|([^\\*?]+)", re.DOTALL)


def _wildcard(field: Field, text: str, position: int) -> BoundExpression:
    segments = [""]
    literals = ""
    for part in _WILDCARD_PART.finditer(text):
        escaped, many, one, plain = part.groups()
        if many:
            segments.append("")
        else:
            # An escaped letter keeps its case, as in Lucene.
            literal = "" if one else escaped or lower(plain)
            literals += literal
            segments[-1] += literal or "\n"
    if any("\n" in segment.strip("\n") and len(segment) > MAX_FLOATING for segment in segments[1:-1]):
        message = f"at position {position}: between two `*` there are at most {MAX_FLOATING} characters if some are `?`"
        raise FilterTooLargeError(message, position, limit=str(MAX_FLOATING))
    if len(segments) > 1 and "".join(segments) in ("", "\n"):
        return Exists(field, position)
    if field is ID and (_NOT_IN_ID.search(literals) or len(literals) > _ID_LENGTH):
        return Nothing(field, _NO_ID, position)
    return _pattern(field, literals, Glob(tuple(segments)), position)


def _fuzzy(field: Field, text: str, edits: int, position: int) -> BoundExpression:
    if edits == 0:
        return Nothing(field, _NO_BLANK, position) if _BLANK.search(text) else _term(field, text, position)
    if field is ID and abs(len(text) - _ID_LENGTH) > edits:
        return Nothing(field, _NO_ID, position)
    return Pattern(field, WordPattern(field.name, Near(text, edits), position), position)


def _range(field: Field, bounds: Range) -> BoundExpression:
    low = None if bounds.low is None else lower(bounds.low)
    high = None if bounds.high is None else lower(bounds.high)
    if low is None and high is None:
        return Exists(field, bounds.position)
    if low is not None and high is not None and low > high:
        return Nothing(field, "the low end of the range is above its high end", bounds.position)
    between = Between(low, high, bounds.low_inclusive, bounds.high_inclusive)
    if field is ID:
        if _no_id_between(low, high):
            return Nothing(field, "no id lies in the range", bounds.position)
        return IdRange(field, between, bounds.position)
    return Pattern(field, WordPattern(field.name, between, bounds.position), bounds.position)


def _no_id_between(low: str | None, high: str | None) -> bool:
    """Whether a range excludes all ids, which start with a hexadecimal digit."""
    return (low is not None and low[:1] > "f") or (high is not None and high < "0")


def _regex(field: Field, text: str, position: int, budget: Budget) -> BoundExpression:
    table = budget.compile_regex(text, position + 1)
    if field is ID and not table.can_match(_ID_CHARACTERS):
        return Nothing(field, _NO_ID, position)
    return Pattern(field, WordPattern(field.name, RegularExpression(text), position), position)
