"""Filters by chance: fragments of Lucene's language, right and wrong."""

from random import Random

from tests.faults.fuzz.texts import digits, odd_text, words

__all__ = ["random_filter"]

_FIELDS = (
    "id channel_id source state display_name tag_ids created_at last_message_at unread_count metadata.user_data.erp.id "
    "metadata.contact.display_name metadata.tags metadata.unread_count metadata. metadata.. .x nick * _exists_ \\*"
).split()
_FRAGMENTS = (
    "AND", "OR", "NOT", "&&", "||", "!", "+", "-", "(", ")", "[", "]", "{", "}", " TO ", "^", "^2", "^-1", "^1e9", "~",
    "~0", "~1", "~2", "~3", "~0.5", "~99999999999", '"', "\\", "\\\\", "\\u0041", "\\uD800", "\\u12", "/", "/a.*/", "*",
    "?", "**", ":", "::", "@", "|", "%", "$", "=>", "<", ">", ">=5", "<=x", "'", "`", "\0", "\ufeff", "\u3000", "#",
)  # fmt: skip
_REGEXES = (
    "a.*", "(a|b)+c", "[a-z]{1,3}", "[b-a]", "(", "[", "a{2,1}", "a{99999}", "(a*)*b", "((((a+)+)+)+)+$", "\\", ".", "",
    "<1-100>", "@", "~a", "&b", "[^\\]", "a|", "|", "(?i)a", "\\d+", "\\/", "é+", "a{1000}{1000}", "#", "[\ud800-x]",
)  # fmt: skip


def random_filter(rng: Random) -> str:
    """Return a filter: most parse, or nearly so."""
    chance = rng.random()
    if chance < 0.6:
        return _expression(rng, 4)
    if chance < 0.75:
        text = _expression(rng, 3)
        at = rng.randint(0, len(text))
        return text[:at] + rng.choice(_FRAGMENTS) + text[at + rng.randint(0, 2) :]
    if chance < 0.9:
        return "".join(rng.choice((rng.choice(_FRAGMENTS), words(rng, 1), " ")) for _ in range(rng.randint(1, 25)))
    if chance < 0.94:
        depth = rng.choice((10, 63, 64, 65, 500, 2000))
        return "(" * depth + "a" + ")" * rng.choice((depth, depth - 1, 0))
    if chance < 0.97:
        return rng.choice((" OR ", " AND ", " ", " -")).join(
            _clause(rng) for _ in range(rng.choice((20, 255, 257, 400)))
        )
    return odd_text(rng)


def _expression(rng: Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.4:
        return _clause(rng)
    parts = [_expression(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    text = rng.choice((" AND ", " OR ", " ", " && ", " AND NOT ", " -", " +")).join(parts)
    if rng.random() < 0.5:
        text = f"({text})"
    if rng.random() < 0.1:
        text = rng.choice(_FIELDS) + ":" + text
    return text + (rng.choice(("^2", "^0.5", "~")) if rng.random() < 0.05 else "")


def _clause(rng: Random) -> str:
    field = rng.choice(_FIELDS) + ":" if rng.random() < 0.6 else ""
    return field + _value(rng)


def _value(rng: Random) -> str:
    match rng.randrange(8):
        case 0:
            return '"' + words(rng, 4) + '"' + rng.choice(("", "~2", "~99", "^3", "~-1"))
        case 1:
            first, last = rng.choice("[{"), rng.choice("]}")
            return f"{first}{_bound(rng)} TO {_bound(rng)}{last}"
        case 2:
            word = words(rng, 1)
            at = rng.randint(0, len(word))
            return word[:at] + rng.choice(("*", "?", "**", "*?*", "???")) + word[at:]
        case 3:
            return words(rng, 1) + rng.choice(("~", "~1", "~2", "~3", "~0.8", "~1^2"))
        case 4:
            return "/" + rng.choice(_REGEXES) + "/"
        case 5:
            return rng.choice(("*", digits(rng), ">" + digits(rng), "<=5", "OPEN", "\\" + words(rng, 1)))
        case 6:
            return odd_text(rng)[:300]
        case _:
            return words(rng, 1)


def _bound(rng: Random) -> str:
    times = ("2024-06-01", '"2024-06-30T12:00:00Z"', "1719748800000", '"2024-99-99"', '"')
    return rng.choice(("*", words(rng, 1), digits(rng), rng.choice(times)))
