"""Random events and mutations over a handful of ids, so that they meet: twice, late, out of order, and malformed."""

from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from tests.reference.model import COLORS, from_millis

__all__ = [
    "CHANNELS",
    "CONVERSATIONS",
    "MESSAGES",
    "TAGS",
    "Json",
    "any_case",
    "commuting_events",
    "documents",
    "events",
    "ids",
    "message_events",
    "names",
    "subjects",
    "times",
]

Json = dict[str, Any]


def pool(letter: str, size: int) -> list[str]:
    return [f"{letter * 8}-{letter * 4}-4{letter * 3}-8{letter * 3}-{letter * 11}{i:x}" for i in range(size)]


CONVERSATIONS = pool("c", 4)
MESSAGES = pool("e", 6)
CHANNELS = pool("a", 3)
TAGS = pool("f", 2)
SOURCES = ["facebook", "twilio.sms", "x"]
START_MS = 1_546_300_800_000

BAD_IDS = ["", "x", "cccccccc-cccc-4ccc-8ccc-ccccccccccc", "cccccccc-cccc-4ccc-8ccc-cccccccccccg"]
BAD_SOURCES = ["", " ", "face book", "a\tb", "x" * 65]
BAD_TIMES = ["", "now", "2019-01-07", "2019-02-30T00:00:00Z", "2019-01-07T09:01:44", "1546851704000"]
TIMES = [
    "2019-01-07T09:01:44.000Z",
    "2019-01-07T09:01:44Z",
    "2019-01-07T10:01:44.0009+01:00",
    "2019-01-07t09:01:44.001999999z",
    "2019-01-07T09:01:44.001-00:00",
    "2019-01-07T09:01:45.5Z",
    "2018-12-31T23:59:59.999Z",
    "1969-12-31T23:59:59.9999Z",
    "0001-01-01T00:00:00Z",
    "2150-06-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
]


def sometimes(usual: SearchStrategy[Any], bad: list[Any]) -> SearchStrategy[Any]:
    """Return the usual, one time in about thirty something bad."""
    return st.integers(0, 30).flatmap(lambda dice: st.sampled_from(bad) if dice == 30 else usual)


def ids(some: list[str]) -> SearchStrategy[str]:
    return sometimes(any_case(some), BAD_IDS)


def any_case(some: list[str]) -> SearchStrategy[str]:
    return st.sampled_from(some).flatmap(lambda id: st.sampled_from([id, id, id, id.upper()]))


def times() -> SearchStrategy[str]:
    return sometimes(
        st.one_of(st.sampled_from([*TIMES[:4], "2150-06-01T00:00:00Z"]), st.sampled_from(TIMES)), BAD_TIMES
    )


WORDS = st.sampled_from(
    ["Ada", "ada lovelace", "Zoë 🦊", "a", "the", "Straße", "AND", "x" * 120, " lead", "50% \\ \"'"]
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -7, 12.5, 0.1, 2**53 - 1, -(2**53) + 1, 1e300, 5e-324]),
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda number: number != 0),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=8))
KEYS = st.one_of(st.sampled_from(["a", "b", "user_data", "", "a.b", "ä", "erp", "id"]), st.text(max_size=3))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=4,
)


def nested(levels: int) -> Json:
    document: Json = {"x": 1}
    for _ in range(levels - 1):
        document = {"x": document}
    return document


def documents(deepest: int = 20) -> SearchStrategy[Json]:
    """Return free documents, some as deep as allowed; now and then too deep, or with a number that JSON has not."""
    bad = [
        nested(deepest + 1),
        nested(deepest + 2),
        nested(24),
        {"x": [nested(deepest - 1)]},
        {"x": float("nan")},
        {"x": [float("-inf")]},
    ]
    usual = st.dictionaries(KEYS, VALUES, max_size=3)
    return sometimes(st.one_of(usual, usual, usual, st.just(nested(deepest))), bad)


def names() -> SearchStrategy[str]:
    return sometimes(WORDS, ["", " ", "\u2003\t"])


@st.composite
def message_events(draw: DrawFn) -> Json:
    body: Json = {
        "id": draw(ids(MESSAGES)),
        "conversation_id": draw(ids(CONVERSATIONS)),
        "channel_id": draw(ids(CHANNELS)),
        "sent_at": draw(times()),
    }
    # Which source a channel gets that its messages disagree on depends on the order of conversations.
    usual = SOURCES[int(body["channel_id"][-1])] if body["channel_id"].lower() in CHANNELS else SOURCES[0]
    body["source"] = draw(sometimes(st.just(usual), BAD_SOURCES))
    optional = {
        "sender": st.fixed_dictionaries({}, optional={"id": WORDS, "name": st.text(max_size=3), "avatar_url": WORDS}),
        "content": st.one_of(documents(), VALUES, st.lists(VALUES, max_size=2)),
        "from_contact": st.sampled_from([True, True, True, False]),
        "delivery_state": st.sampled_from(["PENDING", "FAILED", "DELIVERED", "DELIVERY_STATE_UNSPECIFIED"]),
        "metadata": documents(),
    }
    body |= draw(st.fixed_dictionaries({}, optional=optional))
    if draw(st.integers(0, 30)) == 30:
        del body[draw(st.sampled_from(["id", "conversation_id", "channel_id", "source", "sent_at"]))]
    return {"message": body}


@st.composite
def channel_events(draw: DrawFn) -> Json:
    body = {"id": draw(ids(CHANNELS)), "source": draw(sometimes(st.sampled_from(SOURCES), BAD_SOURCES))}
    optional = {"source_channel_id": WORDS, "connected": st.booleans(), "metadata": documents()}
    return {"channel": {**body, **draw(st.fixed_dictionaries({}, optional=optional))}}


@st.composite
def tag_events(draw: DrawFn) -> Json:
    color = draw(sometimes(st.sampled_from(COLORS), ["", "red", "tag-black"]))
    return {"tag": {"id": draw(ids(TAGS)), "name": draw(names()), "color": color}}


@st.composite
def conversation_changes(draw: DrawFn) -> Json:
    contact = st.fixed_dictionaries(
        {}, optional={"display_name": st.one_of(st.none(), names()), "avatar_url": st.one_of(st.none(), WORDS)}
    )
    optional = {
        "contact": sometimes(st.one_of(contact, contact, st.none()), [5, [], "Ada", {"display_name": 5}]),
        "tags": sometimes(tag_changes(), [5, "x", []]),
        "state": sometimes(st.sampled_from(["OPEN", "CLOSED", None]), ["open", "", 1, {}]),
        "user_data": sometimes(st.one_of(documents(), st.none()), [5, "x", []]),
        "note": VALUES,
    }
    return draw(st.fixed_dictionaries({}, optional=optional))


def tag_changes() -> SearchStrategy[Json]:
    values = sometimes(st.sampled_from(["", "", None]), ["x", 1, True, {}])
    # One id in two cases would be one key with two values.
    return st.lists(st.tuples(ids(TAGS), values), max_size=2, unique_by=lambda pair: pair[0].lower()).map(dict)


@st.composite
def metadata_events(draw: DrawFn) -> Json:
    subject = draw(subjects())
    id = draw(ids({"message": MESSAGES, "channel": CHANNELS}.get(subject, CONVERSATIONS)))
    change = draw(conversation_changes() if subject == "conversation" else documents())
    return {"metadata": {"subject": subject, "id": id, "metadata": change}}


def subjects() -> SearchStrategy[str]:
    return sometimes(st.sampled_from(["conversation", "conversation", "message", "channel"]), ["", "tag", "Message"])


@st.composite
def read_receipts(draw: DrawFn) -> Json:
    return {"read_receipt": {"conversation_id": draw(ids(CONVERSATIONS)), "read_at": draw(times())}}


def events() -> SearchStrategy[Json]:
    """Return events of all kinds, a few of them to be rejected."""
    message = message_events()
    usual = st.one_of(
        message, message, message, channel_events(), tag_events(), metadata_events(), metadata_events(), read_receipts()
    )
    return sometimes(usual, [{}])


def commuting_events(seed: int, batch: int) -> list[Json]:
    """Return events that have the same end in any order, however often each comes.

    No two messages have the same time, and no two changes of metadata touch the same key.

    Args:
        batch: Different for all calls that meet in one store.
    """
    random = Random(seed)
    log: list[Json] = []
    for i, (message, conversation) in enumerate(zip(MESSAGES, random.choices(CONVERSATIONS, k=6), strict=True)):
        channel = random.randrange(3)
        log.append(
            {
                "message": {
                    "id": message,
                    "conversation_id": conversation,
                    "channel_id": CHANNELS[channel],
                    "source": SOURCES[channel],
                    "sent_at": from_millis(START_MS + batch * 1000 + random.randrange(100) * 10 + i),
                    "from_contact": random.random() < 0.7,
                    "content": {"text": f"message {i} of batch {batch}"},
                    "metadata": {"batch": batch},
                }
            }
        )
    for i in range(random.randint(2, 8)):
        subject, some = random.choice(
            [("conversation", CONVERSATIONS[:2]), ("message", MESSAGES), ("channel", CHANNELS)]
        )
        change: Json = {"user_data": {f"k{i}": {"batch": batch}}}
        if subject == "conversation" and random.random() < 0.5:
            change["tags"] = {random.choice(TAGS): ""}
        log.append({"metadata": {"subject": subject, "id": random.choice(some), "metadata": change}})
    for conversation in random.choices(CONVERSATIONS, k=2):
        read_at = from_millis(START_MS + batch * 1000 + random.randrange(1000))
        log.append({"read_receipt": {"conversation_id": conversation, "read_at": read_at}})
    channel = random.randrange(3)
    log.append({"channel": {"id": CHANNELS[channel], "source": SOURCES[channel], "connected": True}})
    return random.sample(log, random.randint(1, len(log)))
