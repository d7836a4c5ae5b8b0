"""Random corpora, filters and events: everything that a caller may send, with a weakness for trouble."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.reference.model import COLORS, Model, from_millis
from tests.reference.words import NUMBERS, fields

__all__ = ["Corpus", "corpora", "filters", "make_changes", "make_corpus", "make_filter", "shrunk"]

Json = dict[str, Any]

START_MS = 1_546_300_800_000
DAY_MS = 86_400_000

PLAIN = ["ada", "Ada", "lovelace", "Bob", "al", "linus", "roselle", "rosele", "rsoelle", "jean-luc", "Smith,", "smith"]
SHORT = ["a", "A", "b", "ä", "7", "字", "z", "-", "+", "!", "_", "'", '"', "\\", "|", "%", "$", "@", "*", "?", "~", "."]
STOPS = ["the", "to", "TO", "is", "and", "AND", "or", "OR", "not", "NOT", "running", "run"]
SPECIAL = [
    "back\\slash",
    "a\\",
    "\\b",
    'quo"te',
    "o'brien",
    "a|b",
    "||",
    "&&",
    "50%",
    "%a%",
    "$x",
    "@x:{y}",
    "@x",
    "star*",
    "a*b",
    "what?",
    "?a",
    "{a}",
    "[b]",
    "(c)",
    "~tilde~",
    "a^2",
    "w'a*'",
    "=>{",
    "a:b",
    "a/b",
    "/",
    "#",
    "a=b",
    "<a>",
    "a;b",
    "a,b",
    "e-mail)",
    "back!",
    "a--b",
    "a\x01b",
    "\x7f",
    "x^y",
    "+49",
    "-5",
]
UNICODE = [
    "é",
    "e\u0301",
    "José",
    "Jose\u0301",
    "ß",
    "ẞ",
    "straße",
    "STRASSE",
    "ſ",
    "İ",
    "ı",
    "Σίσυφος",
    "ΣΑΣ",
    "ﬁ",
    "\u212a",
    "🦊",
    "🎉",
    "👩\u200d💻",
    "⭐\ufe0f",
    "🇩🇪",
    "🇩",
    "Анна",
    "анна",
    "王花子",
    "علي",
    "अनिता",
    "a\u00a0b",
    "a\u0085b",
    "a\u2007b",
    "\u200b",
    "ŉ",
    "ς",
    "µ",
    "μ",
    "𝒜",
    "\U0010ffff",
    "\ue000",
    "\uf8ff",
    "ǅ",
    "Å",
    "\u212b",
]
NUMERIC = ["007", "3.14", "-5", "1e5", "inf", "nan", "12", "12.0", "120", "0", "true", "false"]
LONG = [
    "x" * 100,
    "x" * 101,
    "x" * 250,
    "X" * 101 + "y",
    "lorem" * 25,
    "lorem" * 25 + "!",
    "é" * 60,
    "🦊" * 40,
    "字" * 110,
    "wort" * 20,
    "wort" * 21,
]
SEPARATORS = [" ", " ", " ", " ", "  ", "\t", "\n", "\u2003", "\u3000", "\x1c"]
KEYS = [
    "erp",
    "id",
    "a b",
    "x:y",
    "naïve",
    "customerId",
    "customerid",
    "k-1",
    "日本",
    'q"',
    "b\\",
    "*",
    "AND",
    "🦊",
    "a/b",
    "(p)",
    "n\u0303",
    "name",
]
SOURCES = ["facebook", "twilio.sms", "twilio.WhatsApp", "chatplugin", "a/b.x:2"]
ALIAS_OF = {
    "display_name": ["displayName"],
    "channel_id": ["channelId"],
    "created_at": ["createdAt"],
    "tag_ids": ["tagIds"],
    "last_message_at": ["lastMessageAt"],
    "unread_count": ["unreadCount", "unread_message_count", "unreadMessageCount"],
}


def random_uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128)))


@dataclass(frozen=True)
class Corpus:
    """Conversations, as events and as the reference has them."""

    events: list[Json]
    model: Model
    values: dict[str, list[tuple[str, ...]]]
    """By field, the values that conversations have in it, as words."""
    numbers: dict[str, list[int]]
    """By field, its numbers."""


def corpora() -> SearchStrategy[Corpus]:
    return st.integers(0, 2**32 - 1).map(make_corpus)


def make_corpus(seed: int) -> Corpus:
    """Return 5 to 40 conversations out of few words, so that they share many."""
    random = Random(seed)
    vocabulary = random_vocabulary(random)
    return grown(Model(), corpus_events(random, vocabulary, random.randint(5, 40)))


def make_changes(corpus: Corpus, seed: int) -> Corpus:
    """Return the corpus after changes of its conversations; `events` holds the changes alone."""
    random = Random(seed)
    vocabulary = random_vocabulary(random)
    tags, log = list(corpus.model.tags), []
    for id in corpus.model.ids():
        facts, kind = corpus.model.facts(id), random.random()
        if kind < 0.3:
            gone = dict.fromkeys(random.sample(sorted(facts["metadata"]), len(facts["metadata"]) // 2))
            gone = {key: value for key, value in gone.items() if key != "tags"}
            log.append({"metadata": {"subject": "conversation", "id": id, "metadata": gone}})
        if 0.2 < kind < 0.6:
            metadata = random_metadata(random, vocabulary, tags)
            log.append({"metadata": {"subject": "conversation", "id": id, "metadata": metadata}})
        if kind > 0.5:
            channel = corpus.model.channels[facts["channel_id"]]
            log.append(message_event(random, id, channel, facts["last_message_at"] + random.choice([-1, 0, 1, DAY_MS])))
    return grown(corpus.model, log)


def grown(model: Model, log: list[Json]) -> Corpus:
    for event in log:
        error = model.ingest(event)
        assert error is None, (error, event)
    values: dict[str, set[tuple[str, ...]]] = {}
    numbers: dict[str, set[int]] = {}
    for id in model.ids():
        conversation = fields(model.facts(id))
        for field, texts in conversation.texts.items():
            values.setdefault(field, set()).update(tuple(words) for words in texts if words)
        for field, number in conversation.numbers.items():
            numbers.setdefault(field, set()).add(number)
    return Corpus(
        log,
        model,
        {field: sorted(found) for field, found in sorted(values.items()) if found},
        {field: sorted(found) for field, found in sorted(numbers.items())},
    )


def corpus_events(random: Random, vocabulary: Sequence[str], size: int) -> list[Json]:
    channels = [{"id": random_uuid(random), "source": source} for source in random.sample(SOURCES, 3)]
    tags = [random_uuid(random) for _ in range(4)]
    log: list[Json] = [{"channel": channel} for channel in channels]
    log += [{"tag": {"id": tag, "name": "Tag", "color": COLORS[0]}} for tag in tags]
    for _ in range(size):
        id, channel = random_uuid(random), random.choice(channels)
        sent_at = START_MS + random.randrange(4) * DAY_MS + random.choice([0, 0, 1, random.randrange(DAY_MS)])
        for _ in range(random.choice([1, 1, 2, 3])):
            log.append(message_event(random, id, channel, sent_at))
            sent_at += random.choice([0, 1, 1000, DAY_MS])
        if random.random() < 0.3:
            read_at = from_millis(sent_at - random.choice([0, 1, 1000, DAY_MS]))
            log.append({"read_receipt": {"conversation_id": id, "read_at": read_at}})
        if random.random() < 0.9:
            metadata = random_metadata(random, vocabulary, tags)
            log.append({"metadata": {"subject": "conversation", "id": id, "metadata": metadata}})
    return log


def message_event(random: Random, id: str, channel: Json, sent_at: int) -> Json:
    return {
        "message": {
            "id": random_uuid(random),
            "conversation_id": id,
            "channel_id": channel["id"],
            "source": channel["source"],
            "sent_at": from_millis(sent_at),
            "from_contact": random.random() < 0.7,
        }
    }


def random_vocabulary(random: Random) -> list[str]:
    words = [random.choice(group) for group in (PLAIN, SHORT, STOPS, SPECIAL, UNICODE, NUMERIC) for _ in range(3)]
    words += [random.choice(LONG), random.choice(PLAIN), random.choice(SPECIAL)]
    letters = "".join(words)
    words += ["".join(random.choice(letters) for _ in range(random.randint(1, 4))) for _ in range(4)]
    return [word for word in words if word.strip()]


def random_text(random: Random, vocabulary: Sequence[str], longest: int) -> str:
    words = [random.choice(vocabulary) for _ in range(random.randint(1, longest))]
    if random.random() < 0.2:
        words += words[:2] * random.randint(1, 2)
    return "".join(word + random.choice(SEPARATORS) for word in words)[: -1 if random.random() < 0.8 else None]


def random_metadata(random: Random, vocabulary: Sequence[str], tags: Sequence[str]) -> Json:
    metadata: Json = {}
    if random.random() < 0.8:
        metadata["contact"] = {"display_name": random_text(random, vocabulary, 4)}
    if random.random() < 0.2:
        metadata.setdefault("contact", {})["avatar_url"] = f"https://img.example/{random.choice(vocabulary)}"
    if random.random() < 0.6:
        metadata["tags"] = dict.fromkeys(random.sample(tags, random.randint(1, 3)), "")
    if random.random() < 0.6:
        metadata["state"] = random.choice(["OPEN", "CLOSED"])
    if random.random() < 0.8:
        metadata["user_data"] = random_document(random, vocabulary, 3)
    if random.random() < 0.1:
        metadata["note"] = random_text(random, vocabulary, 3)
    return metadata


def random_document(random: Random, vocabulary: Sequence[str], deepest: int) -> Json:
    document: Json = {}
    for key in random.sample(KEYS[:6] if random.random() < 0.7 else KEYS, random.randint(1, 3)):
        if deepest > 1 and random.random() < 0.3:
            document[key] = random_document(random, vocabulary, deepest - 1)
        else:
            document[key] = random_leaf(random, vocabulary)
    return document


def random_leaf(random: Random, vocabulary: Sequence[str]) -> Any:
    if random.random() < 0.6:
        return random_text(random, vocabulary, 6)
    return random.choice([True, False, 0, 12, 120, -7, 12.5, 0.25, -0.5, 2**53 - 1, random.randrange(300), ""])


SPECIAL_CHARACTERS = frozenset('\\+-!():^[]"{}~*?/ \t\n\r\u3000')
QUOTE_CHARACTERS = frozenset('"\\')
MODIFIERS = ["", "", "", "", "", "", "+", "-", "NOT ", "!"]
CONJUNCTIONS = [" ", " ", "  ", "\u3000", " AND ", " AND ", " OR ", " OR ", " && ", " || ", "\tAND\n"]
BRACKETS = [("[", "]"), ("{", "}"), ("[", "}"), ("{", "]")]


def filters(corpus: Corpus) -> SearchStrategy[str]:
    """Return filters over the whole grammar that have something to do with the corpus; a few are malformed."""
    return st.integers(0, 2**64 - 1).map(lambda seed: make_filter(corpus, Random(seed)))


def make_filter(corpus: Corpus, random: Random) -> str:
    """Return a filter of `filters`."""
    text = FilterMaker(corpus, random).query(random.choice([0, 0, 1, 1, 2]))
    if random.random() < 0.07:
        at = random.randint(0, len(text))
        piece = random.choice([*'()[]{}"^:~+-!*?/\\', " AND ", " OR ", " NOT ", " TO ", "~1", "^x", "AND"])
        text = text[:at] + piece + text[at + random.randint(0, 2) :]
    return text


def shrunk(text: str, fails: Callable[[str], bool]) -> str:
    """Return a text that still fails and no longer does without any one of its parts."""
    size = len(text) // 2
    while size:
        at = 0
        while at < len(text):
            shorter = text[:at] + text[at + size :]
            if fails(shorter):
                text = shorter
            else:
                at += 1
        size //= 2
    return text


def escaped(random: Random, word: str, special: frozenset[str] = SPECIAL_CHARACTERS) -> str:
    """Return the word so that it reads as itself; now and then with escapes that it does not need."""
    lavish = random.random() < 0.06
    text = ""
    for char in word:
        if lavish and ord(char) < 0x10000 and random.random() < 0.3:
            text += f"\\u{ord(char):04x}"
        elif char in special or (lavish and char != "u" and random.random() < 0.3):
            text += "\\" + char
        else:
            text += char
    return "\\" + text if text in ("AND", "OR", "NOT", "&&", "||") else text


def mutated(random: Random, word: str) -> str:
    """Return the word, or one a few edits away."""
    for _ in range(random.choice([0, 0, 0, 1, 1, 2, 3])):
        at = random.randrange(max(len(word), 1))
        match random.randrange(6):
            case 0:
                word = word[:at] + word[at + 1 :]
            case 1:
                word = word[:at] + word[at : at + 1] + word[at:]
            case 2:
                word = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
            case 3:
                word = word[:at] + random.choice("abxß🦊7") + word[at + 1 :]
            case _:
                word = word[:at] + word[at:].swapcase()
    return word or "a"


class FilterMaker:
    """Makes the parts of filters from the words of a corpus."""

    def __init__(self, corpus: Corpus, random: Random) -> None:
        self.corpus = corpus
        self.random = random
        self.texts = [*corpus.values, "metadata.user_data.nowhere"]

    def query(self, depth: int) -> str:
        random = self.random
        text = random.choice(MODIFIERS) + self.clause(depth)
        for _ in range(random.choice([0, 0, 1, 1, 2, 3])):
            text += random.choice(CONJUNCTIONS) + random.choice(MODIFIERS) + self.clause(depth)
        return text

    def clause(self, depth: int) -> str:
        random = self.random
        if depth and random.random() < 0.5:
            name = self.name(random.choice(self.texts)) + ":" if random.random() < 0.15 else ""
            return f"{name}({self.query(depth - 1)}){self.boost()}"
        if random.random() < 0.05:
            return random.choice(["*:*", "*", '""', "- ", "+ ", "! "])
        return self.number_clause() if random.random() < 0.2 else self.text_clause()

    def text_clause(self) -> str:
        random = self.random
        if random.random() < 0.2:
            return self.atom(random.choice(["id", "display_name", "display_name"]))
        field = random.choice(["display_name", "display_name", *self.texts])
        if random.random() < 0.85:
            return f"{self.name(field)}:{self.atom(field)}"
        inside = random.choice(MODIFIERS) + self.atom(field)
        for _ in range(random.randint(1, 2)):
            inside += random.choice(CONJUNCTIONS) + random.choice(MODIFIERS) + self.atom(field)
        return f"{self.name(field)}:({inside}){self.boost()}"

    def boost(self) -> str:
        return self.random.choice(["^2", "^0.5"]) if self.random.random() < 0.08 else ""

    def name(self, field: str) -> str:
        return escaped(self.random, self.random.choice([field, field, *ALIAS_OF.get(field, [])]))

    def word(self, field: str) -> str:
        values = self.corpus.values.get(field)
        if not values or self.random.random() < 0.15:
            values = self.corpus.values[self.random.choice(list(self.corpus.values))]
        return self.random.choice(self.random.choice(values))

    def atom(self, field: str) -> str:
        kinds: list[Callable[[str], str]] = [
            self.term,
            self.term,
            self.phrase,
            self.phrase,
            self.wildcard,
            self.wildcard,
            self.prefix,
            self.fuzzy,
            self.fuzzy,
            self.range,
            self.range,
            self.existence,
            self.regex,
        ]
        return self.random.choice(kinds)(field)

    def term(self, field: str) -> str:
        word = mutated(self.random, self.word(field))
        if self.random.random() < 0.05:
            word += " " + self.word(field)
        return escaped(self.random, word) + self.boost()

    def phrase(self, field: str) -> str:
        random = self.random
        value = random.choice(self.corpus.values.get(field) or [tuple(self.word(field) for _ in range(3))])
        start = random.randrange(len(value))
        words = list(value[start : start + random.randint(1, 4)])
        if random.random() < 0.5:
            random.shuffle(words)
        if len(words) > 2 and random.random() < 0.5:
            del words[1]
        if random.random() < 0.2:
            words.insert(random.randint(0, len(words)), self.word(field))
        if field == "tag_ids":
            # What a phrase across several tags means is left open.
            words = words[:1]
        if random.random() < 0.1:
            words[0] = mutated(random, words[0])
        text = random.choice([" ", " ", " ", "  ", "\t"]).join(
            escaped(random, word, QUOTE_CHARACTERS) for word in words
        )
        slop = random.choice(["", "", "", "~", "~0", "~1", "~1", "~2", "~2", "~3", "~4", "~1.7", "~20", "~x"])
        return f'"{text}"{slop}{self.boost()}'

    def wildcard(self, field: str) -> str:
        random = self.random
        word = self.word(field)
        if random.random() < 0.2:
            word = mutated(random, word)
        text = random.choice(["", "", "*", "?"])
        for char in word if len(word) < 20 else word[:3] + random.choice([word[3:], word[-3:]]):
            kind = random.random()
            if kind < 0.15:
                text += "?"
            elif kind < 0.3:
                text += random.choice(["*", "*", "*?", "**", "?*"])
            else:
                text += "\\" + char if char in SPECIAL_CHARACTERS else char
        return text + random.choice(["", "", "*", "?*", "?", "*?"])

    def prefix(self, field: str) -> str:
        word = mutated(self.random, self.word(field))
        return escaped(self.random, word[: self.random.randint(1, len(word))]) + "*" + self.boost()

    def fuzzy(self, field: str) -> str:
        word = escaped(self.random, mutated(self.random, self.word(field)))
        edits = ["~", "~1", "~2", "~0", "~1", "~2", "~3", "~1.0", "~0.8", "~0.6", "~0.5", "~0.9", "~b", "~1^2", "^2~1"]
        return word + self.random.choice(edits)

    def range(self, field: str) -> str:
        random = self.random
        bounds = []
        for _ in range(2):
            word = mutated(random, self.word(field))[: random.choice([1, 2, 300])]
            plain = word.replace("\\", "\\\\")
            # A quote or a backslash before the closing quote has readings of its own in Lucene.
            quoted = '"' + word.replace("\\", "\\u005c").replace('"', "\\u0022") + '"'
            awkward = set(word) & set(' ]}"\t\n\r\u3000\\') or word in ("*", "TO")
            bounds.append(random.choice(["*", quoted, quoted] if awkward else ["*", plain, plain, plain, quoted]))
        if random.random() < 0.6 and "*" not in bounds:
            bounds.sort(key=lambda bound: bound.strip('"').lower())
        low, high = random.choice(BRACKETS)
        return f"{low}{bounds[0]} TO {bounds[1]}{high}{self.boost()}"

    def existence(self, field: str) -> str:
        return self.random.choice(["*", "*", "[* TO *]", "{* TO *}", "?*"])

    def regex(self, field: str) -> str:
        random = self.random
        word = self.word(field)
        text = ""
        for char in word[:12]:
            kind = random.random()
            if kind < 0.1:
                text += "."
            elif kind < 0.15:
                text += random.choice([".*", ".+", ".{1,2}", "@", "(a|b|())", "[a-m]"])
            elif kind < 0.2 and char.isalnum():
                text += random.choice([f"[{char}x]", f"({char}|x)", f"{char}?", f"{char}+", f"~{char}", f"[^{char}]"])
            else:
                text += char if char.isalnum() else "\\" + char
        return f"/{text}{'.*' if len(word) > 12 else ''}/"

    def number_clause(self) -> str:
        random = self.random
        field = random.choice(sorted(NUMBERS))
        value, other = (random.choice(self.corpus.numbers[field]) + random.choice([-1, 0, 0, 1]) for _ in range(2))
        low, high = random.choice(BRACKETS)
        first, second = (self.bound(field, number) for number in sorted((value, other)))
        single, another = self.number(field, value), self.number(field, other)
        atom = random.choice(
            [
                single,
                single,
                f"{low}{first} TO {second}{high}",
                f"{low}{first} TO {second}{high}",
                f"{low}* TO {second}{high}",
                f"{low}{first} TO *{high}",
                f"{low}{second} TO {first}{high}",
                f"({single} {another})",
                "*",
                "[* TO *]",
                f"({single} OR {another})^2",
                random.choice(["one", "2~1", "2?", "/2/", "-1", ">2"]),
            ]
        )
        return f"{self.name(field)}:{atom}{self.boost() if '^' not in atom else ''}"

    def bound(self, field: str, number: int) -> str:
        if field == "unread_count" or self.random.random() < 0.5:
            return self.random.choice([str(number), str(number), f'"{number}"', f"+{number}" if number >= 0 else "0"])
        time = from_millis(number)
        return self.random.choice([time[:10], f'"{time}"', f'"{time[:-1]}+00:00"'])

    def number(self, field: str, number: int) -> str:
        if field == "unread_count" or self.random.random() < 0.5:
            return self.random.choice([f"{number}".replace("-", "\\-"), f'"{number}"', f"0{abs(number)}"])
        time = from_millis(number)
        return self.random.choice([time[:10], f'"{time}"', time.replace(":", "\\:"), f'"{time[:10]}"'])
