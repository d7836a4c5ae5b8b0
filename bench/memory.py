"""Whether Redis is as large as before after many changes of a value that is indexed."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import redis
from bench import calls, corpus, servers
from bench.progress import tell
from bench.results import Results, Value
from bench.servers import Service
from bench.shapes import Shape

from conversations.times import format_time
from conversations.v1.event_pb2 import Event

__all__ = ["GROWTH_BY_MANY", "GROWTH_BY_ONE", "REFUSED", "changes", "measure"]

_CHANGES_PER_CONVERSATION = 4
"""So that 5 % of the inbox are 40 to 80 bytes a change: a word that stays takes more than 100.

The search module takes 26, until its table of documents has its full length, after a million of changes.
"""

GROWTH_BY_ONE = "growth of memory by changes of one conversation"
GROWTH_BY_MANY = "growth of memory by these and changes of all conversations"
REFUSED = "answers refused after the changes"

# After these the log of changes has its full length.
_WARM_UP = 12_000
_FIRST_MS = 1_735_689_600_000
_SETTLING_SECONDS, _SETTLED_SECONDS = 20.0, 2.0


def changes(ids: list[str], number: int, *, first: int = 0) -> Iterator[Event]:
    """Yield so many changes of `last_seen` of conversations in turn, each to a value that there was not before."""
    for position in range(first, first + number):
        value = format_time(_FIRST_MS + 1000 * position)
        metadata = {"user_data": {"last_seen": value}}
        yield Event(metadata={"subject": "conversation", "id": ids[position % len(ids)], "metadata": metadata})


def measure(number: int, results: Results) -> None:
    """Change a value so many times in one conversation of an inbox, then in all of them.

    Args:
        number: How many changes.
        results: Grows by what is found.
    """

    conversations = number // _CHANGES_PER_CONVERSATION

    def note(name: str, value: float, unit: str) -> None:
        results.values.append(Value(conversations, name, value, unit))
        tell(f"{name}: {value:,.1f} {unit}")

    with TemporaryDirectory(prefix="bench-") as folder, servers.service(Path(folder) / "data") as service:
        tell(f"loading {conversations:,} conversations for changes of a value")
        servers.fill(service, conversations, user_data=True)
        ids = [row.id for row in corpus.rows(conversations)]
        position = count(step=number)
        servers.ingest(service, changes(ids, _WARM_UP, first=-_WARM_UP))
        refused = _asked_in_vain(service)
        note("changes of one value", number, "")
        worker, before = service.worker_bytes, _settled_memory(service)
        note("memory before the changes", before / 1e6, "MB")
        for name, changed in ((GROWTH_BY_ONE, ids[:1]), (GROWTH_BY_MANY, ids)):
            servers.ingest(service, changes(changed, number, first=next(position)))
            after = _settled_memory(service, before)
            refused += _asked_in_vain(service)
            note(name, (after / before - 1) * 100, "%")
        note("growth of the worker by all these changes", (service.worker_bytes - worker) / 1e6, "MB")
        note(REFUSED, refused, "")


def _asked_in_vain(service: Service) -> int:
    """Return 1 if the service refuses to look for the value, so that its workers learn the words there are."""
    call = calls.list_page(Shape("", "metadata.user_data.last_seen:2*"))
    try:
        service.ask(call.method, call.message)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return 1
    return 0


def _settled_memory(service: Service, least: int = 0) -> int:
    """Return what Redis needs for data and index once that does not become less any more, or is down to so many bytes.

    What it uses for a while, such as the heap of its Lua, is left out.

    Source:
        https://redis.io/docs/latest/develop/ai/search-and-query/administration/gc/
    """
    with redis.Redis.from_url(service.redis_url) as client:
        # By itself the index lets go of what nothing uses every half minute.
        for index in client.execute_command("FT._LIST"):
            client.execute_command("FT.DEBUG", "GC_FORCEINVOKE", index)
        deadline = time.monotonic() + _SETTLING_SECONDS
        lowest, since = _memory_of_data(client), time.monotonic()
        while lowest > least and time.monotonic() < min(deadline, since + _SETTLED_SECONDS):
            time.sleep(0.1)
            if (used := _memory_of_data(client)) < lowest * 0.999:
                lowest, since = used, time.monotonic()
        return lowest


def _memory_of_data(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory_dataset"])
