"""Damaged stored data: records in Redis, and its file on the disk."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from tests.conftest import Stack, start_stack, stop_stack
from tests.faults.report import Row, others
from tests.faults.running import Running
from tests.rest import Answer, Rest

__all__ = ["FAULTS", "STARTS"]

_SEED = 1
_JUNK = b"\xff\x00 junk"
_FLIPS = 6
_CUTS = 3
# The beginnings of keys, and what each is damaged to.
_KEYS = {
    "conversation": "conversation:{0}:",
    "message": "message:{0}:",
    "channel": "channel:{0}:",
    "tag": "tag:{0}:",
}


@dataclass(frozen=True, slots=True)
class _Damage:
    """What is done to a record."""

    kind: str
    """Of the record: one of `_KEYS`."""
    what: str
    apply: Callable[[Any, str], Any]
    """Does it, given a Redis client and a key."""


_DAMAGES = (
    _Damage("conversation", "tail junk", lambda client, key: client.hset(key, "tail", "junk")),
    _Damage("conversation", "ver emptied", lambda client, key: client.hset(key, "ver", "")),
    _Damage("conversation", "doc junk", lambda client, key: client.hset(key, "doc", _JUNK)),
    _Damage("conversation", "un junk", lambda client, key: client.hset(key, "un", _JUNK)),
    _Damage("conversation", "deleted", lambda client, key: client.delete(key)),
    _Damage("conversation", "another type", lambda client, key: _replace(client, key)),
    _Damage("message", "junk", lambda client, key: client.hset(key, client.hkeys(key)[0], _JUNK)),
    _Damage("message", "emptied", lambda client, key: client.hset(key, client.hkeys(key)[0], "")),
    _Damage("message", "deleted", lambda client, key: client.delete(key)),
    _Damage("message", "another type", lambda client, key: _replace(client, key)),
    _Damage("channel", "junk", lambda client, key: client.hset(key, "head", _JUNK)),
    _Damage("channel", "deleted", lambda client, key: client.delete(key)),
    _Damage("channel", "another type", lambda client, key: _replace(client, key)),
    _Damage("tag", "junk", lambda client, key: client.set(key, _JUNK)),
    _Damage("tag", "emptied", lambda client, key: client.set(key, "")),
    _Damage("tag", "deleted", lambda client, key: client.delete(key)),
    _Damage("tag", "another type", lambda client, key: _replace(client, key)),
)


def _replace(client: Any, key: str) -> None:
    client.delete(key)
    client.rpush(key, "junk")


def damaged_records(service: Running) -> Iterator[Row]:
    """One record after the other, of every kind; then the doctor."""
    with redis.Redis.from_url(service.stack.redis_url) as client, Rest(service.stack.http_url) as rest:
        for kind in _KEYS:
            damages = [damage for damage in _DAMAGES if damage.kind == kind]
            failures: list[str] = []
            with service.bystander.watching() as effects:
                for damage, id in zip(damages, _victims(rest, kind, len(damages)), strict=True):
                    failures += [f"{damage.what}: {problem}" for problem in _try(client, rest, damage, id)]
            what = f"{len(damages)} damages of a {kind}"
            yield Row(
                f"{what}: lists, the record", _problems(failures), "DATA_LOSS or NOT_FOUND by itself", not failures
            )
            yield others(what, effects[0])
            failures = list(_mend(service, client, damages, _victims(rest, kind, len(damages))))
            asked = "names each, and mends it"
            yield Row(f"{what}: `conversations doctor`", _problems(failures), asked, not failures)


def _problems(found: list[str]) -> str:
    return "; ".join(found)[:400] or "as it should be"


def _victims(rest: Rest, kind: str, count: int) -> list[str]:
    """Return ids of what the other caller does not look at."""
    if kind == "tag":
        names = [f"{kind} {number}" for number in range(count)]
        return [rest.post("/tags.create", {"name": name, "color": "tag-red"}).json["id"] for name in names]
    page = rest.post(
        "/conversations.list", {"filters": "unread_count:0 AND NOT source:facebook", "page_size": 100}
    ).json["data"]
    if kind == "channel":
        return list(dict.fromkeys(one["channel"]["id"] for one in page))[:count]
    if kind == "message":
        return [one["last_message"]["id"] for one in page[:count]]
    return [one["id"] for one in page[:count]]


_Shown = dict[str, dict[str, Any]]


def _lists(rest: Rest) -> dict[str, Answer]:
    lists = {
        "conversations": rest.post("/conversations.list", {"page_size": 100}),
        "conversations of a filter": rest.post("/conversations.list", {"filters": "source:*", "page_size": 100}),
        "channels": rest.post("/channels.list", {}),
        "tags": rest.post("/tags.list", {}),
    }
    for one in lists["conversations"].json.get("data", []):
        body = {"conversation_id": one["id"], "page_size": 100}
        lists[f"messages of {one['id']}"] = rest.post("/messages.list", body)
    return lists


def _shown(lists: dict[str, Answer]) -> _Shown:
    """Return what each list has, by id."""
    return {
        name: {one["id"]: one for one in answer.json["tags" if name == "tags" else "data"]}
        for name, answer in lists.items()
    }


def _concerns(one: dict[str, Any], id: str) -> bool:
    """Whether a record is the damaged one, or shows it."""
    return id in (one["id"], one.get("last_message", {}).get("id"), one.get("channel", {}).get("id"))


def _try(client: Any, rest: Rest, damage: _Damage, id: str) -> Iterator[str]:
    """Damage a record, yield what is not answered as it should be, and bring it back."""
    key = _KEYS[damage.kind] + id
    before = _shown(_lists(rest))
    kept = client.dump(key)
    damage.apply(client, key)
    try:
        lists = _lists(rest)
        yield from (f"{name} {answer.status}" for name, answer in lists.items() if answer.status != 200)
        if all(answer.status == 200 for answer in lists.values()):
            yield from _lost(before, _shown(lists), id)
        began = time.monotonic()
        alone = _alone(rest, damage.kind, id)
        refused = {path: answer for path, answer in alone.items() if answer.status >= 300}
        if not refused:
            yield "nothing says so"
        for path, answer in refused.items():
            # What stands elsewhere too may be answered as ever.
            if answer.json["code"] not in (5, 15):
                yield f"{path} {answer.status} {answer.json['message']}"
        if (seconds := time.monotonic() - began) > 2:
            yield f"{seconds:.1f} s until it was refused"
    finally:
        client.restore(key, 0, kept, replace=True)


def _lost(before: _Shown, now: _Shown, id: str) -> Iterator[str]:
    for name, ones in before.items():
        if id in name:
            continue
        missing = [other for other, one in ones.items() if other not in now[name] and not _concerns(one, id)]
        changed = [other for other, one in now[name].items() if not _concerns(one, id) and ones.get(other) != one]
        if missing or changed:
            yield f"{name}: {len(missing)} others missing, {len(changed)} changed"


def _alone(rest: Rest, kind: str, id: str) -> dict[str, Answer]:
    """Ask for a record, and change it."""
    of_conversation = {"conversation_id": id}
    calls: dict[str, dict[str, dict[str, Any]]] = {
        "conversation": {
            "/conversations.info": of_conversation,
            "/messages.list": of_conversation,
            "/conversations.updateContact": {**of_conversation, "display_name": "Ada"},
            "/conversations.read": of_conversation,
        },
        "message": {"/metadata.upsert": {"subject": "message", "id": id, "data": {"k": 1}}},
        "channel": {
            "/channels.info": {"channel_id": id},
            "/metadata.upsert": {"subject": "channel", "id": id, "data": {"k": 1}},
        },
        "tag": {"/tags.update": {"id": id, "color": "tag-blue"}},
    }
    return {path: rest.post(path, body) for path, body in calls[kind].items()}


def _mend(service: Running, client: Any, damages: list[_Damage], ids: list[str]) -> Iterator[str]:
    """Damage records, have the doctor look and mend, and yield what is not as it should be."""
    for damage, id in zip(damages, ids, strict=True):
        damage.apply(client, _KEYS[damage.kind] + id)
    code, said = _doctor(service.stack, "--verbose")
    if code != 1:
        yield f"it finds nothing: {said[-150:]}"
    for damage, id in zip(damages, ids, strict=True):
        if id not in said:
            yield f"{damage.what}: it does not name {id}"
    code, said = _doctor(service.stack, "--repair")
    if code != 0:
        yield f"it does not mend all: {said[-150:]}"
    code, said = _doctor(service.stack)
    if code != 0:
        yield f"it finds more afterwards: {said[-150:]}"


def _doctor(stack: Stack, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "conversations", "doctor", "--data-dir", str(stack.data_dir), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def damaged_files(folder: Path) -> Iterator[Row]:
    """Bits of the append-only file flipped, and its end cut off, as a disk does: with the time it had."""
    sound = folder / "sound"
    stack = start_stack(sound, "--demo")
    truth = _everything(stack)
    stop_stack(stack)
    chance = random.Random(_SEED)
    for what, count, damage in (("a flipped bit", _FLIPS, _flip), ("a cut end", _CUTS, _cut)):
        outcomes = [_start_on(sound, folder / f"{what} {number}", damage, chance, truth) for number in range(count)]
        counts = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
        measured = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        met = not any(outcome.startswith("silent") for outcome in outcomes)
        yield Row(f"append-only file with {what}, {count} times", measured, "`up` says it, or nothing differs", met)


def _flip(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def _cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def _start_on(
    sound: Path, copy: Path, damage: Callable[[Path, random.Random], None], chance: random.Random, truth: Any
) -> str:
    """Damage a copy of the data, start on it, and return how that went."""
    shutil.copytree(sound, copy, copy_function=shutil.copy2)
    [file] = (copy / "redis" / "appendonlydir").glob("*.incr.aof")
    times = file.stat()
    damage(file, chance)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        stack = start_stack(copy)
    except AssertionError:
        said = (copy / "up.stderr").read_text()
        return "refused, with what to do" if re.search("error: the append-only file is damaged", said) else "refused"
    try:
        time.sleep(1)
        now = _everything(stack)
        if re.search("data is inconsistent|ended in the middle|is not as Redis left it", stack.said):
            return "said"
        return "without a difference" if now == truth else "silent" + _difference(truth, now)
    finally:
        stop_stack(stack)


def _everything(stack: Stack) -> Any:
    """Return what all calls answer of all records."""
    with Rest(stack.http_url) as rest:
        return {name: (answer.status, answer.json) for name, answer in _lists(rest).items()}


def _difference(truth: Any, now: Any) -> str:
    names = [name.split()[0] for name in truth if truth[name] != now.get(name)]
    return f", and other {' and '.join(dict.fromkeys(names))}"


FAULTS = (damaged_records,)
STARTS = (damaged_files,)
