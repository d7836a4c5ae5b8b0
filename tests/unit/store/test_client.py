"""How calls travel: together, in turn, again where an answer was lost. Redis is a socket that does as it is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis import exceptions

from conversations.callers import CALLER, Caller
from conversations.errors import StoreUnavailableError
from conversations.store import lanes
from conversations.store.client import Client, connect
from conversations.store.functions import Call
from conversations.store.library import function_name


class Wire:
    """Answers each call with the name of its function, once it is let; `bad` with an error."""

    def __init__(self) -> None:
        self.pipelines: list[list[str]] = []
        """Functions called, by what arrived at once."""
        self.answers = asyncio.Event()
        self.deaf = 0
        """Pipelines whose answer is still to be lost."""
        self.dead = False
        """Nothing is answered, not even a probe."""
        self.dropping = 0
        """Connections still to be dropped when a call comes."""
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        commands = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                commands.feed(data)
                calls = []
                while command := commands.gets():
                    if command[0] in (b"FCALL", b"FCALL_RO"):
                        calls.append(command[1].decode().removesuffix(function_name("")))
                    elif not self.dead:
                        writer.write(b"-ERR unknown\r\n" if command[0] == b"HELLO" else b"+OK\r\n")
                if calls and not await self._answer(calls, writer):
                    return
        finally:
            writer.close()

    async def _answer(self, calls: list[str], writer: asyncio.StreamWriter) -> bool:
        self.pipelines.append(calls)
        if self.dropping:
            self.dropping -= 1
            return False
        await self.answers.wait()
        if self.deaf:
            self.deaf -= 1
        elif not self.dead:
            writer.writelines(b"-ERR bad\r\n" if call == "bad" else f"+{call}\r\n".encode() for call in calls)
        return True

    @property
    def sizes(self) -> list[int]:
        return [len(pipeline) for pipeline in self.pipelines]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def client(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(lanes, "_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(lanes, "_OVERDUE_SECONDS", 0.05)
    monkeypatch.setattr(lanes, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(lanes, "_GRACE_SECONDS", 0.02)
    server = await asyncio.start_unix_server(wire.serve, tmp_path / "redis.sock")
    client = connect(f"unix://{tmp_path / 'redis.sock'}?protocol=2", 1000)
    # So that the first calls of a test find a connection.
    wire.answers.set()
    await client.call(Call(0, "get_ready"))
    await client.call(Call(0, "ready"))
    wire.answers.clear()
    wire.pipelines.clear()
    yield client
    await client.close()
    server.close()


async def ask(client: Client, *names: str, cost_ms: int = 0) -> "asyncio.Task[list[Any]]":
    task = asyncio.create_task(client.call_all([Call(0, name, cost_ms=cost_ms) for name in names]))
    await asyncio.sleep(0.005)
    return task


@contextmanager
def calling(address: str, connection: str) -> Iterator[None]:
    token = CALLER.set(Caller(address, connection))
    yield
    CALLER.reset(token)


async def test_calls_that_wait_leave_together(client: Client, wire: Wire) -> None:
    tasks = [await ask(client, *names) for names in (("a",), ("b", "c"), ("d",))]
    wire.answers.set()
    assert await asyncio.gather(*tasks) == [[b"a"], [b"b", b"c"], [b"d"]]
    assert wire.pipelines == [["a"], ["b", "c", "d"]]
    assert await client.call(Call(0, "e")) == b"e"


async def test_reads_do_not_wait_for_writes_nor_for_long_reads(client: Client, wire: Wire) -> None:
    calls: list[tuple[tuple[str, ...], int]] = [
        (("write",), 0),
        (("list_much",), 50),
        (("get_it",), 0),
        (("get_it", "write"), 0),
        (("list_it",), 10),
    ]
    tasks = [await ask(client, *names, cost_ms=cost_ms) for names, cost_ms in calls]
    assert wire.pipelines == [["write"], ["list_much"], ["get_it"]]
    wire.answers.set()
    await asyncio.gather(*tasks)
    assert sorted(wire.pipelines[3:]) == [["get_it", "write"], ["list_it"]]


async def test_an_error_is_told_to_its_caller_only(client: Client, wire: Wire) -> None:
    tasks = [await ask(client, *names) for names in (("x",), ("a", "bad"), ("b",))]
    wire.answers.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert (found[0], found[2]) == ([b"x"], [b"b"])
    assert isinstance(found[1], exceptions.ResponseError)


async def test_a_caller_that_goes_leaves_the_others_their_answers(client: Client, wire: Wire) -> None:
    tasks = [await ask(client, name) for name in "abc"]
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.sleep(0)
    wire.answers.set()
    assert await tasks[2] == [b"c"]
    assert tasks[0].cancelled()


async def test_a_crowd_is_served_in_turn_and_who_has_gone_is_not(client: Client, wire: Wire) -> None:
    tasks = [await ask(client, "first")]
    tasks += [asyncio.create_task(client.call_all([Call(0, f"call {number}")])) for number in range(1, 200)]
    await asyncio.sleep(0)
    for task in tasks[1:100]:
        task.cancel()
    await asyncio.sleep(0)
    wire.answers.set()
    assert await asyncio.gather(*tasks[100:]) == [[f"call {number}".encode()] for number in range(100, 200)]
    assert wire.sizes == [1, 64, 36]


async def test_what_takes_long_does_not_go_in_crowds(client: Client, wire: Wire) -> None:
    tasks = [await ask(client, "list_first", cost_ms=8)]
    tasks += [asyncio.create_task(client.call_all([Call(0, "list_it", cost_ms=8)])) for _ in range(6)]
    await asyncio.sleep(0)
    wire.answers.set()
    await asyncio.gather(*tasks)
    assert wire.sizes == [1, 3, 3]


async def test_a_caller_with_one_call_does_not_wait_for_one_with_many(client: Client, wire: Wire) -> None:
    with calling("10.0.0.1", "10.0.0.1:1"):
        tasks = [await ask(client, "first")]
        tasks += [asyncio.create_task(client.call_all([Call(0, "one of many")])) for _ in range(200)]
    with calling("10.0.0.2", "10.0.0.2:1"):
        tasks.append(asyncio.create_task(client.call_all([Call(0, "the only one")])))
    await asyncio.sleep(0)
    wire.answers.set()
    await asyncio.gather(*tasks)
    assert "the only one" in wire.pipelines[1]


async def test_a_lost_connection_is_made_good_once(client: Client, wire: Wire) -> None:
    wire.answers.set()
    wire.dropping = 1
    assert await client.call(Call(0, "a")) == b"a"
    assert wire.pipelines == [["a"], ["a"]]
    wire.dropping = 2
    with pytest.raises(StoreUnavailableError, match="Redis cannot be reached"):
        await client.call(Call(0, "b"))
    assert await client.call(Call(0, "c")) == b"c"


async def test_replies_that_were_answered_before_the_connection_was_lost_are_not_asked_again(
    client: Client, wire: Wire
) -> None:
    tasks = [await ask(client, name) for name in ("a", "b")]
    wire.dropping = 1
    wire.answers.set()
    assert await asyncio.gather(*tasks) == [[b"a"], [b"b"]]
    assert wire.pipelines == [["a"], ["b"], ["b"]]


@pytest.mark.parametrize("name", ["get_it", "write"])
async def test_a_lost_answer_is_asked_for_again(client: Client, wire: Wire, name: str) -> None:
    wire.answers.set()
    wire.deaf = 1
    lost = await ask(client, name)
    others = [await ask(client, f"{name} {number}") for number in range(3)]
    await asyncio.gather(*others)
    assert not lost.done(), "others waited for the lost answer"
    assert await lost == [name.encode()]


async def test_an_interruption_that_comes_with_the_last_answer_hurts_nobody(
    client: Client, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = lanes._Request.answer

    def answer_and_interrupt(request: Any, replies: list[Any]) -> None:
        answer(request, replies)
        for exchange in client._writes._exchanges:
            exchange.interrupt(exceptions.TimeoutError("late"))

    monkeypatch.setattr(lanes._Request, "answer", answer_and_interrupt)
    tasks = [await ask(client, name) for name in ("a", "b", "c")]
    wire.answers.set()
    assert await asyncio.gather(*tasks) == [[b"a"], [b"b"], [b"c"]]
    assert wire.connections == 2, "a connection was lost for nothing"


async def test_an_answer_that_is_lost_twice_is_said_to_be_missing(client: Client, wire: Wire) -> None:
    wire.answers.set()
    wire.deaf = 2
    with pytest.raises(StoreUnavailableError, match="Redis does not answer"):
        await client.call(Call(0, "get_it"))


async def test_a_busy_redis_is_waited_for(client: Client, wire: Wire) -> None:
    """Not even a probe is answered: so nothing is lost."""
    wire.dead = True
    task = await ask(client, "get_it")
    await asyncio.sleep(0.5)
    assert wire.pipelines == [["get_it"]]
    wire.dead = False
    wire.answers.set()
    assert await task == [b"get_it"]


async def test_a_hung_redis_is_waited_for_as_long_as_the_setting_says(client: Client, wire: Wire) -> None:
    wire.dead = True
    wire.answers.set()
    began = time.monotonic()
    calls = [client.call(Call(0, name)) for name in ("get_it", "write", "get_it")]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(error) for error in found] == ["the store is unavailable: Redis does not answer"] * 3
    assert 0.9 < time.monotonic() - began < 1.5


async def test_nobody_waits_for_ever_when_the_client_closes(client: Client, wire: Wire) -> None:
    tasks = [await ask(client, name) for name in ("a", "b", "get_c")]
    await client.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, asyncio.CancelledError) for error in found)


async def test_calls_that_never_leave_fail_in_time_too(client: Client, wire: Wire) -> None:
    """More than fit into all pipelines on their way: the others wait for one, and then for an answer, at most."""
    wire.dead = True
    wire.answers.set()
    tasks = [await ask(client, *[f"w{number}"] * 64) for number in range(12)]
    async with asyncio.timeout(2.5):
        failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(failure, StoreUnavailableError) for failure in failures)
    assert len({name for pipeline in wire.pipelines for name in pipeline}) < len(tasks)
