"""A Redis that misbehaves: lost replies, hung, out of memory, out of disk space; and growing logs."""

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import redis
from tests.conftest import limit_files
from tests.faults.report import Row, others
from tests.faults.running import Running, running, seconds_until
from tests.lossy import LossyProxy
from tests.rest import Answer, Rest

from conversations.local.engines import find_redis, throwaway_redis
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

__all__ = ["FAULTS", "STARTS"]

_FULL_MEMORY = "Redis is out of memory and rejects writes, except those that free memory"
_NO_FILE = "Redis cannot write its append-only file and rejects writes: "
# Of CONVERSATIONS_REDIS_TIMEOUT_MS, and how often a lane looks for who has waited for longer.
_LONGEST_WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_LOG_BYTES = 50_000
_DISK_MIB = 24


def lost_replies(folder: Path) -> Iterator[Row]:
    """Redis' replies are lost for 0.3 seconds, twice."""
    what = "replies of Redis lost for 0.3 s"
    with (
        throwaway_redis(find_redis()) as url,
        _lossy(url) as proxy,
        running(folder / "data", "--redis-url", proxy.url) as service,
    ):
        with service.bystander.watching() as effects, ThreadPoolExecutor(2) as pool:
            ends = time.monotonic() + 10
            writes = pool.submit(_write_until, service, ends)
            unhealthy = pool.submit(_unhealthy_until, service, ends)
            for _ in range(2):
                proxy.lose(0.3)
                time.sleep(4.7)
        effect, (longest, failed) = effects[0], writes.result()
        connections = proxy.lost
    measured = f"{effect.longest_seconds:.1f} s, {effect.failed} of {effect.calls} failed; {connections} were lost"
    yield Row(f"{what}: longest read", measured, "3 s at most, none fails", _within(effect.longest_seconds, effect))
    measured = f"{longest:.1f} s, {failed} failed"
    yield Row(f"{what}: longest write", measured, "3 s at most, none fails", longest <= 3 and not failed)
    away = unhealthy.result()
    yield Row(f"{what}: longest time without health", f"{away:.1f} s", "3 s at most", away <= 3)


def _within(seconds: float, effect: Any) -> bool:
    return seconds <= 3 and not effect.failed and not effect.changed


def _write_until(service: Running, ends: float) -> tuple[float, int]:
    """Return the longest time of a write, and how many failed."""
    longest, failed = 0.0, 0
    with Rest(service.stack.http_url) as rest:
        id = rest.post("/tags.list", {}).json["tags"][0]["id"]
        while time.monotonic() < ends:
            began = time.monotonic()
            failed += rest.post("/tags.update", {"id": id, "name": str(uuid4()), "color": "tag-red"}).status != 204
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.01)
    return longest, failed


def _unhealthy_until(service: Running, ends: float) -> float:
    """Return the longest time from a health that is not 200 to the next that is."""
    longest, since = 0.0, None
    while time.monotonic() < ends:
        healthy = service.health().status == 200
        if since is not None:
            longest = max(longest, time.monotonic() - since)
        since = None if healthy else (since or time.monotonic())
        time.sleep(0.05)
    return longest


@contextmanager
def _lossy(url: str) -> Iterator[LossyProxy]:
    """Run a proxy beside this thread."""
    started: Future[tuple[LossyProxy, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        async with LossyProxy(url) as proxy:
            stop = asyncio.Event()
            started.set_result((proxy, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    proxy, loop, stop = started.result()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def hung_redis(service: Running) -> Iterator[Row]:
    """A Redis that is paused for 9 seconds, then continues."""
    [pid] = service.pids("redis-server")
    with ThreadPoolExecutor(16) as pool:
        os.kill(pid, signal.SIGSTOP)
        try:
            seen = seconds_until(lambda: service.health().status != 200)
            said = service.health()
            lists = [pool.submit(ask, service) for _ in range(3) for ask in (_list_in_json, _list_by_grpc)]
            time.sleep(max(0.0, 9 - seen))
        finally:
            os.kill(pid, signal.SIGCONT)
        back = seconds_until(lambda: service.health().status == 200)
        # Asked while the service still held that Redis was well.
        waits = [future.result() for future in lists]
    yield Row("hung Redis: seen in /healthz after", f"{seen:.1f} s: {_message(said)}", "3 s at most", seen <= 3)
    yield Row("hung Redis: out of /healthz after it goes on", f"{back:.1f} s", "3 s at most", back <= 3)
    most = _LONGEST_WAIT_SECONDS + _LOOK_SECONDS
    yield Row("hung Redis: longest wait of a list", f"{max(waits):.1f} s", f"{most} s at most", max(waits) <= most)
    with service.bystander.watching() as effects:
        time.sleep(2)
    yield others("after a hung Redis", effects[0])


def _list_in_json(service: Running) -> float:
    began = time.monotonic()
    with Rest(service.stack.http_url) as rest:
        rest.post("/conversations.list", {"filters": "source:viber"})
    return time.monotonic() - began


def _list_by_grpc(service: Running) -> float:
    began = time.monotonic()
    with grpc.insecure_channel(service.stack.grpc_target) as channel, suppress(grpc.RpcError):
        ConversationServiceStub(channel).ListConversations(ListConversationsRequest(filters="source:viber"))
    return time.monotonic() - began


def full_memory(service: Running) -> Iterator[Row]:
    """`maxmemory` is reached."""
    with redis.Redis.from_url(service.stack.redis_url) as client:
        writes = _Writes(service)
        yield from _while_no_writes(
            "full memory",
            service,
            writes,
            lambda: client.config_set("maxmemory", 1),
            lambda: client.config_set("maxmemory", 0),
            _FULL_MEMORY,
            frees=True,
        )


def unwritable_file(service: Running) -> Iterator[Row]:
    """The append-only file cannot grow."""
    [pid] = service.pids("redis-server")
    writes = _Writes(service)
    yield from _while_no_writes(
        "append-only file that cannot be written",
        service,
        writes,
        lambda: limit_files(pid, 1),
        lambda: limit_files(pid, None),
        f"{_NO_FILE}File too large",
    )


def full_disk(folder: Path) -> Iterator[Row]:
    """Data and logs are on a disk that fills up; what was acknowledged is there after the next start."""
    data, what = folder / "data", "full disk"
    data.mkdir()
    # A name space of its own needs no rights on the machine, where the kernel lets users have one.
    script = 'mount -t tmpfs -o size=$0,mode=700 none "$1" && shift && exec "$@"'
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, f"{_DISK_MIB}m", str(data)]
    with running(data, prefix=prefix) as service:
        inside = Path(f"/proc/{service.stack.process.pid}/root{data}")
        writes, filler = _Writes(service), inside / "filler"
        yield from _while_no_writes(
            what, service, writes, lambda: _fill(filler, writes), filler.unlink, f"{_NO_FILE}No space left on device"
        )
        names = writes.names()
        kept = folder / "kept"
        # The disk is gone with the last process that has it.
        os.kill(service.pids("redis-server")[0], signal.SIGKILL)
        shutil.copytree(inside / "redis", kept / "redis")
    with running(kept) as service:
        lost = writes.acknowledged - _Writes(service).names()
    yield Row(
        f"{what}: acknowledged, and lost when Redis is killed later", str(len(lost)), "0", not lost and bool(names)
    )


def _fill(filler: Path, writes: "_Writes") -> None:
    with filler.open("wb", buffering=0) as output, suppress(OSError):
        while True:
            output.write(bytes(65536))
    with filler.open("ab", buffering=0) as output, suppress(OSError):
        while True:
            output.write(b"\0")
    # Redis notes it when it has something to write.
    while writes.create():
        pass


class _Writes:
    """Every way to write, and what has been acknowledged."""

    def __init__(self, service: Running) -> None:
        self._url = service.stack.http_url
        with Rest(self._url) as rest:
            # What the other caller looks at has none of them.
            self._tags = [rest.post("/tags.create", {"name": n, "color": "tag-red"}).json["id"] for n in "ab"]
            # One that the other caller does not look at, and without anything unread.
            found = rest.post("/conversations.list", {"filters": "source:twilio* AND unread_count:0"}).json["data"][0]
            channel = rest.post("/channels.list", {}).json["data"][0]
        self.conversation, self.channel = found["id"], channel["id"]
        self.acknowledged: set[str] = set()
        """Names of tags."""

    def create(self) -> bool:
        """Create a tag; whether that was acknowledged."""
        name = str(uuid4())
        with Rest(self._url) as rest:
            done = rest.post("/tags.create", {"name": name, "color": "tag-red"}).status == 201
        if done:
            self.acknowledged.add(name)
        return done

    def names(self) -> set[str]:
        with Rest(self._url) as rest:
            return {tag["name"] for tag in rest.post("/tags.list", {}).json["tags"]}

    def answers(self) -> dict[str, Answer]:
        """Try everything that needs memory."""
        id, tag = {"conversation_id": self.conversation}, {"name": str(uuid4()), "color": "tag-red"}
        metadata = {"subject": "conversation", "id": self.conversation, "data": {"k": str(uuid4())}}
        event = {"channel": {"id": self.channel, "source": "chatplugin", "source_channel_id": str(uuid4())}}
        with Rest(self._url) as rest:
            return {
                path: rest.post(path, body)
                for path, body in (
                    ("/tags.create", tag),
                    ("/tags.update", {**tag, "id": self._tags[0]}),
                    ("/conversations.tag", {**id, "tag_id": self._tags[0]}),
                    ("/conversations.setState", {**id, "state": "CLOSED"}),
                    ("/conversations.updateContact", {**id, "display_name": str(uuid4())}),
                    ("/metadata.upsert", metadata),
                    ("/events.ingest", {"events": [event]}),
                )
            }

    def frees(self) -> dict[str, Answer]:
        """Try everything that frees memory."""
        id = {"conversation_id": self.conversation}
        with Rest(self._url) as rest:
            return {
                path: rest.post(path, body)
                for path, body in (
                    ("/tags.delete", {"id": self._tags[-1]}),
                    ("/conversations.untag", {**id, "tag_id": self._tags[0]}),
                    ("/conversations.removeState", id),
                    ("/conversations.read", id),
                )
            }


def _while_no_writes(
    what: str,
    service: Running,
    writes: _Writes,
    begin: Callable[[], object],
    end: Callable[[], object],
    cause: str,
    *,
    frees: bool = False,
) -> Iterator[Row]:
    """Take from Redis what it needs to write, then give it back."""
    usual = service.health().json
    for _ in range(20):
        writes.create()
    with service.bystander.watching() as effects:
        begin()
        # Some of it Redis notes when it has something to write.
        writes.create()
        seen = seconds_until(lambda: service.health().json != usual)
        health = service.health()
        answers = writes.answers()
        freeing = writes.frees() if frees else {}
        time.sleep(2)
    causes = health.json.get("causes", [])
    met = (seen <= 3, health.status, health.json.get("status"), causes) == (
        True,
        200,
        "DEGRADED",
        [f"the store is unavailable: {cause}"],
    )
    measured = f"after {seen:.1f} s: {health.status} {health.json.get('status')} {causes}"
    yield Row(f"{what}: /healthz", measured, f"within 3 s: DEGRADED, {cause}", met)
    unclear = {path: a for path, a in answers.items() if a.status != 503 or not a.json["message"].endswith(cause)}
    measured = f"{len(answers) - len(unclear)} of {len(answers)} say so" + "".join(
        f"; {path} {answer.status} {answer.body.decode()[:80]}" for path, answer in unclear.items()
    )
    yield Row(f"{what}: writes", measured, "503, with that cause", not unclear)
    if frees:
        statuses = {path: answer.status for path, answer in freeing.items()}
        yield Row(f"{what}: what frees some", str(statuses), "204 each", set(statuses.values()) == {204})
    yield others(what, effects[0])
    end()
    back = seconds_until(lambda: service.health().json == usual and writes.create())
    yield Row(f"{what}: writes again, when it is over, after", f"{back:.1f} s", "3 s at most", back <= 3)


def large_logs(folder: Path) -> Iterator[Row]:
    """Ten times as many calls as fit in a log."""
    with running(folder / "data", "--max-log-bytes", str(_LOG_BYTES)) as service:
        logs = service.stack.data_dir / "logs"
        largest, sent = 0, 0
        with service.bystander.watching() as effects, Rest(service.stack.http_url) as rest:
            while sent < 1500:
                for _ in range(100):
                    rest.post("/tags.list", {})
                sent += 100
                largest = max(largest, sum(file.stat().st_size for file in logs.glob("access.log*")))
        seconds_until(lambda: (logs / "access.log").stat().st_size <= _LOG_BYTES, 5)
        sizes = {file.name: file.stat().st_size for file in sorted(logs.glob("access.log*"))}
    kept = f"{sum(sizes.values()) // 1000} KB after {sent} calls, at most {largest // 1000} KB"
    # A log is looked at once a second, and Envoy writes once a second.
    met = sizes["access.log"] <= _LOG_BYTES and len(sizes) == 2 and largest <= 20 * _LOG_BYTES
    yield Row(f"logs of {_LOG_BYTES // 1000} KB", kept, "the log, and one older one", met)
    yield others("logs that are rotated", effects[0])


def _message(answer: Answer) -> str:
    return f"{answer.status} {answer.json.get('message', answer.json)}"


FAULTS = (hung_redis, full_memory, unwritable_file)
STARTS = (lost_replies, full_disk, large_logs)
