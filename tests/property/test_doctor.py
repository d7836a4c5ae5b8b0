"""Random stores, randomly damaged: what the doctor leaves is what the facts say that survived.

`FUZZ_DOCTOR` asks for more of them.
"""

import asyncio
import os
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.exceptions import ResponseError
from tests.integration.store.columns import check_columns
from tests.integration.store.conftest import until_set_up
from tests.integration.store.corruptions import Corruption, corruptions
from tests.property.test_store import FILTERS, same
from tests.reference.lucene import fields, matches
from tests.reference.model import Model
from tests.reference.sequences import TAGS, Json, events, message_events
from tests.reference.wire import to_event, to_json

from conversations.errors import InvalidFieldError
from conversations.filters import compile_filter
from conversations.servicers.events import read_event
from conversations.settings import Settings
from conversations.store import Change, Store, open_store
from conversations.store.client import Client, connect
from conversations.store.doctor import Doctor
from conversations.v1 import conversation_pb2, event_pb2
from conversations.v1.conversation_service_pb2 import ListConversationsResponse
from conversations.v1.message_service_pb2 import ListMessagesResponse

EXAMPLES = int(os.environ.get("FUZZ_DOCTOR", "15"))


def changes(log: list[Json]) -> list[Change]:
    """What is valid of a log."""
    found = []
    for event in log:
        with suppress(InvalidFieldError):
            found.append(read_event(to_event(event)))
    return found


@pytest.mark.parametrize("partitions", [1, 4])
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_DOCTOR" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Each takes long.
    phases=[Phase.generate],
)
@given(
    log=st.lists(message_events(), min_size=2, max_size=8),
    more=st.lists(events(), max_size=12),
    deleted=st.booleans(),
    damages=st.integers(1, 5),
    chance=st.randoms(use_true_random=False),
)
def test_what_is_mended_is_what_the_facts_say(
    redis_server: Any, partitions: int, log: list[Json], more: list[Json], deleted: bool, damages: int, chance: Random
) -> None:
    asyncio.run(damage_and_mend(redis_server.url, partitions, log + more, deleted, damages, chance))


async def damage_and_mend(
    url: str, partitions: int, log: list[Json], deleted: bool, damages: int, chance: Random
) -> None:
    client = connect(url, 5000)
    await client.redis.flushall()
    await client.redis.function_flush()
    values = Settings(redis_url=SecretStr(url), partitions=partitions)
    store = await open_store(values)
    doctor = await Doctor.open(values)
    done: list[Corruption] = []
    try:
        await until_set_up(store)
        tags = [{"tag": {"id": tag, "name": "t", "color": "tag-red"}} for tag in TAGS]
        await store.ingest.apply(changes([*tags, *log]))
        if deleted:
            await store.tags.delete(TAGS[0])
        assert list((await doctor.examine()).sentences()) == []
        done = await damage(client, damages, chance)
        _, left = await doctor.repair()
        assert list(left.sentences(verbose=True)) == []
        await check_columns(client.redis)
        # Whoever had carried totals and words on learns what is mended; so does one that begins.
        fresh = await open_store(values)
        try:
            await until_set_up(fresh)
            model = await surviving(store)
            for reader in (store, fresh):
                await agree(reader, model)
        finally:
            await fresh.close()
    except Exception as error:
        error.add_note(f"damaged: {'; '.join(map(str, done))}")
        raise
    finally:
        await doctor.close()
        await store.close()
        await client.close()


async def damage(client: Client, count: int, chance: Random) -> list[Corruption]:
    """Damage some keys, or drop an index, one after the other."""
    done = []
    for corruption in chance.sample(await corruptions(client.redis), count):
        # What one has made a key may not fit the next.
        with suppress(ResponseError):
            await corruption.apply(client.redis)
            done.append(corruption)
    if chance.random() < 0.1:
        await client.redis.execute_command("FT.DROPINDEX", "conversations:{0}:v1")
    return done


async def surviving(store: Store) -> Model:
    """Return what the facts say that are there: an export is made of nothing else."""
    model = Model()
    left_out: list[Any] = []
    async for _, lines in store.export.batches(lambda *one: left_out.append(one)):
        for line in lines:
            event = json_format.MessageToDict(
                json_format.Parse(line, event_pb2.Event()), preserving_proto_field_name=True
            )
            assert model.ingest(event) is None
    assert left_out == []
    return model


async def agree(store: Store, model: Model) -> None:
    """Every answer is the model's."""
    facts = {id: fields(model.facts(id)) for id in model.ids()}
    for filters in ("", *FILTERS):
        wanted = [id for id in facts if not filters or matches(filters, facts[id])]
        page = await store.listing.page(compile_filter(filters), "", 100)
        listed = to_json(ListConversationsResponse.FromString(page.conversations)).get("data", [])
        same(listed, [model.conversation(id) for id in wanted])
        assert (page.filtered_total, page.total, page.unread) == (len(wanted), len(facts), model.badge())
    for id in facts:
        same(
            to_json(conversation_pb2.Conversation.FromString(await store.conversations.get(id))), model.conversation(id)
        )
        messages = await store.messages.list_page(id, "", 100)
        same(to_json(ListMessagesResponse.FromString(messages.messages)).get("data", []), model.messages_of(id))
    same([to_json(tag) for tag in await store.tags.list_all()], model.list_tags())
    channels = {channel.id: to_json(channel) for channel in await store.channels.list_all()}
    # One that no event described and whose messages all moved to others is in no export.
    same([channels[channel["id"]] for channel in model.list_channels()], model.list_channels())
