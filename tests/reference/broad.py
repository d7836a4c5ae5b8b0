"""Corpora and filters in which nearly every word matches: names of several scripts, telephone numbers, unique data."""

from random import Random
from typing import Any

from tests.reference.model import COLORS, Model, from_millis
from tests.reference.strategies import DAY_MS, START_MS, Corpus, FilterMaker, grown, message_event, random_uuid

__all__ = ["broad_change", "make_broad_corpus", "make_broad_filter"]

Json = dict[str, Any]

GIVEN = "Anna Ana Anne Hanna Ada Adam Maria Marie Émile Zoë José Jürgen Łukasz Σοφία Αννα Анна Ганна علي 花子 太郎 अनिता A".split()
FAMILY = "Schmidt Schmitt Smith O'Brien Müller van-Dyk Kowalski Παππάς Иванова 王 山田 الحسن Silva Æther X.500".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SOURCES = ["facebook", "twilio.sms", "chatplugin"]
LONG_WORD = "donaudampfschifffahrt" * 5


def broad_name(random: Random) -> str:
    names = [random.choice(GIVEN), random.choice(FAMILY)]
    if random.random() < 0.3:
        names.insert(1, random.choice(GIVEN))
    return " ".join(names)


def broad_data(random: Random) -> Json:
    """Return data that no other conversation has, most of it."""
    data: Json = {
        "phone": f"+49 151 {random.randrange(10**7):07d}",
        "customer": f"K-{random.randrange(10**6):06d}",
    }
    if random.random() < 0.5:
        data["mail"] = "".join(random.choices(LETTERS, k=6)) + "@" + random.choice(["example.org", "example.com"])
    if random.random() < 0.3:
        data["list"] = [broad_name(random) for _ in range(random.randint(1, 3))]
    if random.random() < 0.3:
        words = random.choices([*GIVEN, *FAMILY, LONG_WORD, LONG_WORD + random.choice(LETTERS)], k=random.choice([1, 3, 9, 90]))
        data["note"] = " ".join(words)
    if random.random() < 0.2:
        data["n"] = random.choice([0, 7, -7, 12.5, True, "", " "])
    return data


def make_broad_corpus(seed: int, size: int) -> Corpus:
    """Return so many conversations, of which some have equal times."""
    random = Random(seed)
    log: list[Json] = [{"channel": {"id": random_uuid(random), "source": source}} for source in SOURCES]
    log += [{"tag": {"id": random_uuid(random), "name": "Tag", "color": COLORS[0]}} for _ in range(3)]
    model = grown(Model(), log).model
    for _ in range(size):
        changes = new_conversation(random, model)
        log += changes
        for change in changes:
            assert model.ingest(change) is None
    return grown_from(model, log)


def grown_from(model: Model, log: list[Json]) -> Corpus:
    corpus = grown(model, [])
    return Corpus(log, model, corpus.values, corpus.numbers)


def new_conversation(random: Random, model: Model) -> list[Json]:
    id, channel = random_uuid(random), random.choice(list(model.channels.values()))
    sent_at = START_MS + random.randrange(3) * DAY_MS + random.choice([0, random.randrange(50), random.randrange(DAY_MS)])
    changes = [message_event(random, id, channel, sent_at)]
    if random.random() < 0.9:
        changes.append({"metadata": {"subject": "conversation", "id": id, "metadata": broad_metadata(random, model)}})
    random.shuffle(changes)
    return changes


def broad_metadata(random: Random, model: Model) -> Json:
    metadata: Json = {"user_data": broad_data(random)}
    if random.random() < 0.85:
        metadata["contact"] = {"display_name": broad_name(random)}
    if random.random() < 0.3:
        metadata["state"] = random.choice(["OPEN", "CLOSED"])
    if random.random() < 0.3:
        metadata["tags"] = dict.fromkeys(random.sample(list(model.tags), 2), "")
    return metadata


def broad_change(random: Random, model: Model) -> Json:
    """Return one change of a conversation, or a message of another one."""
    ids = list(model.messages)
    id = random.choice(ids)
    kind = random.random()
    if kind < 0.1:
        return next(change for change in new_conversation(random, model) if "message" in change)
    if kind < 0.3:
        channel = random.choice(list(model.channels.values()))
        return message_event(random, id, channel, START_MS + random.randrange(3 * DAY_MS))
    if kind < 0.4:
        read_at = from_millis(START_MS + random.randrange(3 * DAY_MS))
        return {"read_receipt": {"conversation_id": id, "read_at": read_at}}
    metadata = broad_metadata(random, model)
    if kind < 0.6:
        metadata = {random.choice(["user_data", "contact", "state"]): None}
    elif kind < 0.8:
        metadata = {"user_data": {random.choice(["phone", "note", "list", "mail"]): random.choice([None, "a", LONG_WORD * 5, "1 b"])}}
    return {"metadata": {"subject": "conversation", "id": id, "metadata": metadata}}


def make_broad_filter(corpus: Corpus, random: Random) -> str:
    """Return a filter whose patterns match much."""
    maker = BroadFilterMaker(corpus, random)
    return maker.atom_of_a_field() if random.random() < 0.25 else maker.query(random.choice([0, 0, 1]))


class BroadFilterMaker(FilterMaker):
    """Makes filters out of short patterns, and now and then of what is narrow."""

    def __init__(self, corpus: Corpus, random: Random) -> None:
        super().__init__(corpus, random)
        self.texts = [field for field in corpus.values if field != "tag_ids"]

    def atom_of_a_field(self) -> str:
        field = self.random.choice(["display_name", "id", *self.texts])
        return f"{self.random.choice(['', '', 'NOT '])}{field}:{self.atom(field)}"

    def phrase(self, field: str) -> str:
        # What a loose phrase across several values of an array means is left open.
        return self.wildcard(field) if field.endswith(".list") else super().phrase(field)

    def atom(self, field: str) -> str:
        random = self.random
        if random.random() < 0.3:
            return super().atom(field)
        word = self.word(field)
        letters = [c if c.isalnum() else f"\\{c}" for c in word]
        letter, other = random.choice(letters), random.choice(letters)
        plain = letter if letter.isalnum() else "a"
        return random.choice(
            [
                f"*{letter}*",
                f"*{letter}*{other}*",
                f"*{letter}?*",
                f"{letters[0]}*",
                f"?{letters[1] if len(letters) > 1 else ''}*",
                f"*{letters[-1]}",
                f"{letters[0]}*{letters[-1]}",
                "?*",
                "??*",
                "*",
                f"[{plain} TO *]",
                f"{{* TO {plain}}}",
                f"[0 TO {plain}]",
                f"/.*{plain}.*/",
                f"/[^{plain}]+/",
                "/[0-9a-f]+.*/",
                "".join(letters[:12]) + "~2",
                "".join(letters[:4]) + "~1",
                *self.loose_phrases(field),
            ]
        )

    def loose_phrases(self, field: str) -> list[str]:
        if field.endswith(".list"):
            return []
        random = self.random
        given, family = random.sample(GIVEN, 2), random.choice(FAMILY)
        return [
            f'"{given[0]} {given[1]} {family}"~{random.choice([2, 3, 5])}',
            f'"{family} {given[0]}"~{random.choice([1, 2, 4])}',
        ]
