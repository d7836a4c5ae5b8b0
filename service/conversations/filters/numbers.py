"""Numbers, dates and times in a filter."""

import re

from conversations.errors import FilterValueError
from conversations.filters.expressions import BoundExpression, Exists, Nothing, NumberRange, any_of
from conversations.filters.language import Expression, Fuzzy, Phrase, Prefix, Range, Wildcard, Word
from conversations.schema import Field
from conversations.terms import split_words
from conversations.times import parse_time

__all__ = ["bind_number", "compared"]

_NUMBER = re.compile("[+-]?[0-9]+")

_MOST_EXACT = 2**53
"""The search engine compares doubles: whole numbers are exact up to here, and no stored value is larger."""


def bind_number(expression: Expression, field: Field) -> BoundExpression | None:
    """Return the typed expression for a number field; None if the expression has no word.

    Raises:
        FilterValueError: It isn't a number, nor a date or time if the field takes them.
    """
    position = expression.position
    match expression:
        case Word(text):
            words = split_words(text)
            return any_of([_number_value(field, word, position) for word in words], position)
        case Phrase(text):
            return _number_value(field, text.strip(" "), position)
        case Range():
            return _number_range(field, expression)
        case Wildcard("*"):
            return Exists(field, position)
        case Prefix() | Wildcard():
            raise _value_error(field, position, "and no wildcards")
        case Fuzzy():
            raise _value_error(field, position, "and nothing fuzzy")
        case _:
            raise _value_error(field, position, "and no regular expressions")


def _number_value(field: Field, text: str, position: int) -> BoundExpression:
    value, is_day = _number(field, text, position)
    return _number_between(field, value, value + _DAY_MS - 1 if is_day else value, position)


def _number_range(field: Field, bounds: Range) -> BoundExpression:
    low = high = None
    if bounds.low is not None:
        value, _ = _number(field, bounds.low, bounds.low_position)
        low = value if bounds.low_inclusive else value + 1
    if bounds.high is not None:
        value, _ = _number(field, bounds.high, bounds.high_position)
        high = value if bounds.high_inclusive else value - 1
    return _number_between(field, low, high, bounds.position)


def _number_between(field: Field, low: int | None, high: int | None, position: int) -> BoundExpression:
    low = None if low is None or low < -_MOST_EXACT else low
    high = None if high is None or high > _MOST_EXACT else high
    if low is None and high is None:
        return Exists(field, position)
    if (low or 0) > _MOST_EXACT or (high or 0) < -_MOST_EXACT or (low is not None and high is not None and low > high):
        return Nothing(field, "no number lies in the range", position)
    return NumberRange(field, low, high, position)


_DAY_MS = 86_400_000
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _number(field: Field, text: str, position: int) -> tuple[int, bool]:
    """Return a value or bound, and whether it is a whole day."""
    if _NUMBER.fullmatch(text):
        return int(text), False
    is_day = _DATE.fullmatch(text) is not None
    if field.is_time:
        try:
            return parse_time(f"{text}T00:00:00Z" if is_day else text), is_day
        except ValueError:
            pass
    what = f"not `{text}`" if text else "not an empty value"
    raise _value_error(field, position, what, _suggestion(field, text))


def _value_error(field: Field, position: int, what: str, suggestion: str | None = None) -> FilterValueError:
    takes = "times, dates and milliseconds since 1970" if field.is_time else "whole numbers"
    advice = f"write `{suggestion}`" if suggestion else f"for example `{field.example}`"
    message = f"at position {position}: {field.name} takes {takes}, {what}; {advice}"
    return FilterValueError(message, position, field=field.name)


_COMPARISON = re.compile(r"(>=|<=|>|<|=)(.+)")
_INTERVAL = re.compile(r"([0-9]+)(?:-|\.\.+)([0-9]+)")


def _suggestion(field: Field, text: str) -> str | None:
    """Return what the author of a value that isn't a number may have meant."""
    interval = _INTERVAL.fullmatch(text)
    if interval is not None and not field.is_time:
        return f"{field.name}:[{interval[1]} TO {interval[2]}]"
    comparison = _COMPARISON.fullmatch(text)
    return None if comparison is None else f"{field.name}:{compared(comparison[1], comparison[2])}"


def compared(sign: str, value: str) -> str:
    """Return the filter syntax for `=`, `<`, `<=`, `>` or `>=` before a value."""
    ranges = {">=": f"[{value} TO *]", ">": f"{{{value} TO *]", "<=": f"[* TO {value}]", "<": f"[* TO {value}}}"}
    return ranges.get(sign, value)
