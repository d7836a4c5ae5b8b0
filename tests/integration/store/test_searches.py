"""Broad filters over many conversations: pages and totals are those of the reference, however a search is cut.

`FUZZ_CORPORA`, `FUZZ_FILTERS` (per corpus) and `FUZZ_SEED` ask for more cases, or for other ones.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from tests.integration.store.conftest import OpenStore
from tests.integration.store.events import apply, ids_of, page
from tests.pieces import Cut, cut_into_pieces
from tests.reference.broad import broad_change, make_broad_corpus, make_broad_filter
from tests.reference.lucene import Fields, RefusedError, fields, matches
from tests.reference.model import Model
from tests.reference.strategies import Corpus
from tests.reference.wire import to_event

from conversations.errors import FilterError
from conversations.filters import compile_filter
from conversations.servicers.events import read_event
from conversations.store import Store
from conversations.store.cursors import Direction, encode_cursor
from conversations.store.functions import Call

CORPORA = int(os.environ.get("FUZZ_CORPORA", "1"))
FILTERS = int(os.environ.get("FUZZ_FILTERS", "40"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))

Place = tuple[int, str]

# Whether the first page, or the direction from a place.
WAYS: list[tuple[bool, Direction]] = [(True, "older"), (False, "older"), (False, "newer")]


@dataclass
class Inbox:
    """A store, and the reference beside it."""

    store: Store
    writer: Store
    corpus: Corpus
    known: dict[str, Fields] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        return self.corpus.model

    async def load(self) -> None:
        for start in range(0, len(self.corpus.events), 200):
            await self._apply(self.corpus.events[start : start + 200])

    async def change(self, *events: Any) -> None:
        for event in events:
            assert self.model.ingest(event) is None
        await self._apply(events)
        self.known.clear()

    async def _apply(self, events: Sequence[Any]) -> None:
        await apply(self.writer, *(read_event(to_event(event)) for event in events))

    def expected(self, filters: str) -> list[Place]:
        """Return time and id of the conversations that match, the newest first."""
        if not self.known:
            self.known = {id: fields(self.model.facts(id)) for id in self.model.ids()}
        return [(it.numbers["last_message_at"], id) for id, it in self.known.items() if matches(filters, it)]


@pytest.fixture(params=list(Cut), ids=lambda cut: cut.value)
def cut(request: pytest.FixtureRequest) -> Iterator[Cut]:
    """How the searches of all stores of a test are cut."""
    with cut_into_pieces(request.param):
        yield request.param


@pytest.fixture(params=range(SEED, SEED + CORPORA))
def seed(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


@pytest.fixture(params=[1, 4], ids=["1 partition", "4 partitions"])
async def inbox(request: pytest.FixtureRequest, cut: Cut, seed: int, opened: OpenStore) -> Inbox:
    # So many that there are several blocks in each partition.
    size = {Cut.WHOLE: 300, Cut.SCANS: 300 * request.param}.get(cut, 30 * request.param)
    store = await opened(partitions=request.param)
    inbox = Inbox(store, await opened(), make_broad_corpus(seed, size))
    await inbox.load()
    return inbox


def next_filter(inbox: Inbox, random: Random) -> str:
    """Return a filter that both sides accept."""
    while True:
        filters = make_broad_filter(inbox.corpus, random)
        try:
            compile_filter(filters)
            inbox.expected(filters)
        except (FilterError, RefusedError):
            continue
        return filters


async def test_pages_and_totals(inbox: Inbox, cut: Cut, seed: int) -> None:
    random = Random(seed)
    for number in range(FILTERS):
        if number % 4 == 3:
            await inbox.change(*(broad_change(random, inbox.model) for _ in range(random.choice([1, 5]))))
        filters = next_filter(inbox, random)
        await check_walk(
            inbox, filters, random.choice([3, 7, 10] if cut in (Cut.PIECES, Cut.NO_INDEX) else [7, 30, 100])
        )
        await check_offset(inbox, filters, random)


async def check_walk(inbox: Inbox, filters: str, limit: int) -> None:
    """Walk from the newest page some pages on, and back."""
    expected = inbox.expected(filters)
    ids = [id for _, id in expected]
    cursor, previous = "", []
    for start in range(0, max(len(ids), 1), limit):
        found = await page(inbox.store, filters, cursor, limit)
        assert (found.filtered_total, found.total) == (len(ids), len(inbox.known)), filters
        assert ids_of(found) == ids[start : start + limit], (filters, start)
        assert bool(found.next_cursor) == (start + limit < len(ids)), filters
        assert found.unread == inbox.model.badge()
        cursor = found.next_cursor
        previous.append(found.previous_cursor)
        if start > 6 * limit:
            break
    for number in range(len(previous) - 1, 0, -1):
        back = await page(inbox.store, filters, previous[number], limit)
        assert ids_of(back) == ids[(number - 1) * limit : number * limit], filters
    if previous[0]:
        # Whether there is one before may have taken too long to find out.
        assert ids_of(await page(inbox.store, filters, previous[0], limit)) == []


async def check_offset(inbox: Inbox, filters: str, random: Random) -> None:
    ids = [id for _, id in inbox.expected(filters)]
    offset = random.randint(1, len(ids) + 1)
    found = await page(inbox.store, filters, str(offset), 5)
    assert (ids_of(found), found.filtered_total) == (ids[offset : offset + 5], len(ids)), (filters, offset)


class Meddler:
    """A client that makes changes between the exchanges of a search, until a partition's search has finished."""

    def __init__(self, inbox: Inbox, random: Random, changes: int) -> None:
        self._client: Any = inbox.store.search._client
        self._inbox = inbox
        self._random = random
        self._left = changes
        self.exchanges = 0

    async def call(self, call: Call) -> Any:
        return (await self.call_all([call]))[0]

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        replies: list[Any] = await self._client.call_all(calls)
        self.exchanges += 1
        # A turn may look at a single conversation.
        assert self.exchanges < 3000, ("the search makes no progress", replies, calls[0].args[1:])
        if calls[0].function == "share_known" or any(reply[0] == b"ok" for reply in replies):
            self._left = 0
        if self._left > 0:
            events = [broad_change(self._random, self._inbox.model) for _ in range(self._random.choice([0, 1, 1, 5]))]
            self._left -= 1
            await self._inbox.change(*events)
        return replies


@pytest.mark.parametrize("cut", [Cut.PIECES, Cut.NO_INDEX], indirect=True, ids=lambda cut: cut.value)
async def test_changes_between_the_pieces_of_a_search(inbox: Inbox, seed: int) -> None:
    """The total, and the first page, are those of the last piece."""
    random, search = Random(seed), inbox.store.search
    client, exchanges = search._client, 0
    for _ in range(2 * FILTERS):
        filters = next_filter(inbox, random)
        place = random.choice(inbox.expected("*:*"))
        is_first, way = random.choice(WAYS)
        if random.random() < 0.5:
            search.forget()
        meddler = Meddler(inbox, random, random.choice([1, 3, 20]))
        search._client = meddler  # type: ignore[assignment]
        limit = random.choice([1, 3, 10])
        cursor = "" if is_first else encode_cursor(f"conversations {filters}", way, str(place[0]), place[1])
        found = await page(inbox.store, filters, cursor, limit)
        search._client = client
        exchanges += meddler.exchanges
        expected = inbox.expected(filters)
        rows = [one for one in expected if one < place] if way == "older" and not is_first else expected
        rows = [one for one in expected if one > place][-limit:] if way == "newer" else rows[:limit]
        case = (filters, is_first, way, limit)
        assert found.filtered_total == len(expected), case
        assert set(ids_of(found)) <= {id for _, id in expected}, case
        if not is_first:
            # Among those that were looked at one by one, others may match by now.
            found = await page(inbox.store, filters, cursor, limit)
        assert ids_of(found) == [id for _, id in rows], case
        if not is_first and way == "older" and rows and any(one > place for one in expected):
            assert found.previous_cursor, case
    assert exchanges > 6 * FILTERS


@pytest.mark.parametrize("cut", [Cut.PIECES], indirect=True, ids=lambda cut: cut.value)
async def test_searches_side_by_side(inbox: Inbox, seed: int) -> None:
    """Several of one worker, of which some have the same filter, and a worker that asks what the first one shared."""
    random, other = Random(seed), inbox.writer
    for _ in range(FILTERS // 2):
        await inbox.change(*(broad_change(random, inbox.model) for _ in range(3)))
        filters = next_filter(inbox, random)
        expected = inbox.expected(filters)
        ids = [id for _, id in expected]
        place = random.choice(inbox.expected("*:*"))
        cursor = encode_cursor(f"conversations {filters}", "older", str(place[0]), place[1])
        first, behind, small, elsewhere = await asyncio.gather(
            page(inbox.store, filters, "", 10),
            page(inbox.store, filters, cursor, 5),
            page(inbox.store, filters, "", 2),
            page(other, filters, "", 7),
        )
        assert (ids_of(first), ids_of(small), ids_of(elsewhere)) == (ids[:10], ids[:2], ids[:7]), filters
        assert ids_of(behind) == [id for at, id in expected if (at, id) < place][:5], filters
        assert {found.filtered_total for found in (first, behind, small, elsewhere)} == {len(ids)}, filters
