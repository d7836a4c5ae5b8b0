"""`conversations up` as a whole: what it starts, what it says, and how it ends."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from uuid import UUID

import grpc
import pytest
import redis
from tests.conftest import Stack, limit_files, start_stack, stop_stack
from tests.e2e.edge.running import wait_until
from tests.rest import Rest

from conversations.local.engines import find_redis, throwaway_redis
from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

RunUp = Callable[..., Stack]


def children(stack: Stack) -> dict[str, int]:
    """Return the process ids of what a stack has started."""
    return {name: pid for name in ("redis-server", "serve", "envoy") for pid in stack.pids(name)}


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def event(number: int) -> dict[str, object]:
    """A message that makes conversation `number`."""
    message = {
        "id": str(UUID(int=number)),
        "conversation_id": str(UUID(int=number)),
        "channel_id": str(UUID(int=1)),
        "sender": {"id": "1"},
        "content": {"text": "Hello"},
        "from_contact": True,
        "sent_at": "2019-01-07T09:01:44.000Z",
        "source": "facebook",
    }
    return {"message": message}


def test_all_ports_answer(stack: Stack) -> None:
    with Rest(stack.http_url) as rest:
        assert rest.request("GET", "/healthz").status == 200
        assert rest.post("/conversations.list").status == 200
    for target in (stack.grpc_target, stack.envoy_target):
        with grpc.insecure_channel(target) as channel:
            answer = ConversationServiceStub(channel).ListConversations(ListConversationsRequest())
            assert answer.HasField("pagination_data")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_all_in_time(run_up: RunUp, number: int) -> None:
    stack = run_up()
    pids = children(stack).values()
    assert len(pids) == 3
    started = time.monotonic()
    stack.process.send_signal(number)
    assert stack.process.stdout is not None
    assert stack.process.stdout.read() == "", "the ready line is all that stdout gets"
    assert stack.process.wait() == 0
    assert time.monotonic() - started < 10
    assert not [pid for pid in pids if lives(pid)]
    assert not (stack.data_dir / "redis.url").exists()


def test_a_second_ctrl_c_stops_all_at_once(run_up: RunUp) -> None:
    stack = run_up()
    pids = children(stack).values()
    # It does not hear that it is to end: the first Ctrl-C waits for it as long as it may.
    os.kill(stack.pids("serve")[0], signal.SIGSTOP)
    stack.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    began = time.monotonic()
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(10) == 130
    assert time.monotonic() - began < 1.5
    assert not [pid for pid in pids if lives(pid)]
    assert not (stack.data_dir / "redis.url").exists()
    assert stack.said == ""
    again = run_up()
    with Rest(again.http_url) as rest:
        assert rest.request("GET", "/healthz").status == 200
    assert again.said == "", "Redis had closed its file"


def test_what_a_worker_waits_for_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conversations", "up", "--http-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path), "--redis-url", "redis://user:hunter2@127.0.0.1:1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        assert process.wait(10) == 0
    assert line == (
        "waiting for worker 1 to serve: waiting for Redis: Redis cannot be reached at 127.0.0.1:1: Connection refused\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_ready_line_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conversations", "up", "--http-port", "0", "--grpc-port", "0"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*command, "--data-dir", str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "error: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(("word", "name"), [("redis-server", "redis"), ("serve", "worker 1"), ("envoy", "envoy")])
def test_death_of_a_child_is_said_and_ends_all(run_up: RunUp, word: str, name: str) -> None:
    stack = run_up()
    pids = children(stack)
    os.kill(pids[word], signal.SIGKILL)
    assert stack.process.wait(15) == 1
    assert f"error: {name} (process {pids[word]}) was killed by SIGKILL" in stack.said
    assert not [pid for pid in pids.values() if lives(pid)]


def test_what_was_acknowledged_outlives_a_killed_redis(run_up: RunUp) -> None:
    stack = run_up()
    redis_pid = children(stack)["redis-server"]
    acknowledged = 0
    killer = threading.Timer(1.5, os.kill, [redis_pid, signal.SIGKILL])
    killer.start()
    with Rest(stack.http_url) as rest:
        while True:
            numbers = range(acknowledged + 2, acknowledged + 102)
            try:
                answer = rest.post("/events.ingest", {"events": [event(number) for number in numbers]})
            except (OSError, HTTPException):
                break
            if answer.status != 200:
                break
            assert answer.json == {"accepted": 100, "rejected": []}
            acknowledged += 100
    killer.join()
    assert acknowledged
    assert stack.process.wait(15) == 1

    with Rest(run_up().http_url) as rest:
        page = rest.post("/conversations.list", {"filters": "source:facebook"}).json["pagination_data"]
    # The last call may have been applied in part, and was not acknowledged.
    assert acknowledged <= page["filtered_total"] <= acknowledged + 100
    assert page["total"] == page["filtered_total"]


def test_killed_supervisor_leaves_nothing_in_the_way(run_up: RunUp) -> None:
    stack = run_up()
    pids = children(stack).values()
    stack.process.kill()
    deadline = time.monotonic() + 15
    while any(lives(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with Rest(run_up().http_url) as rest:
        assert rest.request("GET", "/healthz").status == 200


def run_to_the_end(*options: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "conversations", "up", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_second_one_on_the_directory_is_refused(stack: Stack) -> None:
    code, out, err = run_to_the_end("--data-dir", str(stack.data_dir), "--http-port", "0", "--grpc-port", "0")
    assert (code, out) == (1, "")
    assert f"error: data directory {stack.data_dir} is in use by process {stack.process.pid}" in err


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_all_files_are_private_whatever_the_umask(run_up: RunUp, tmp_path: Path, umask: int) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "logs").mkdir()
    run_up("--demo", umask=umask)
    made = [path for path in data_dir.rglob("*") if path.name != "up.stderr"]
    assert {path.name for path in made} >= {"lock", "redis.url", "envoy.yaml", "redis.log", "access.log", "redis"}
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_no_password_stands_in_the_list_of_processes(run_up: RunUp) -> None:
    with throwaway_redis(find_redis()) as url:
        with redis.Redis.from_url(url) as client:
            client.config_set("requirepass", "hunter2")
        stack = run_up(CONVERSATIONS_REDIS_URL=url.replace("unix://", "unix://:hunter2@"))
        commands = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert "hunter2" not in commands
        with Rest(stack.http_url) as rest:
            assert rest.post("/conversations.list", {}).status == 200
        assert "hunter2" not in stack.said
        for log in (stack.data_dir / "logs").iterdir():
            assert "hunter2" not in log.read_text()


def test_logs_do_not_grow_for_ever(run_up: RunUp, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = run_up("--max-log-bytes", "20000")
    access = stack.data_dir / "logs" / "access.log"
    with Rest(stack.http_url) as rest:
        deadline = time.monotonic() + 20
        while not (access.with_suffix(".log.1").exists() and access.stat().st_size < 20_000):
            assert time.monotonic() < deadline
            for _ in range(50):
                assert rest.post("/tags.list", {}).status == 200
            time.sleep(0.1)
    lines = access.with_suffix(".log.1").read_text().splitlines()
    assert all(json.loads(line)["path"] in ("/tags.list", "/healthz") for line in lines)


def test_workers_listen_on_this_machine_whatever_the_environment_says(
    run_up: RunUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERSATIONS_HOST", "192.0.2.1")
    with Rest(run_up().http_url) as rest:
        assert rest.post("/conversations.list").status == 200


def test_a_name_of_the_service_is_allowed_and_no_other(run_up: RunUp) -> None:
    options = ["--allow-host", "Inbox.example.org", "--cors-origin", "https://app.example.org"]
    stack = run_up(*options, "--cors-header", "X-Tenant")
    with Rest(stack.http_url) as rest:
        statuses = {
            host: rest.post("/tags.list", {}, host=host).status
            for host in ("inbox.example.org", "inbox.example.org:8080", "localhost", "evil.example.org")
        }
        assert statuses == {
            "inbox.example.org": 200,
            "inbox.example.org:8080": 200,
            "localhost": 200,
            "evil.example.org": 421,
        }
        for origin, status in (("https://app.example.org", 201), ("https://evil.example.org", 403), ("null", 403)):
            body = {"name": f"from {origin}", "color": "tag-red"}
            assert rest.post("/tags.create", body, origin=origin).status == status
        names = [tag["name"] for tag in rest.post("/tags.list", {}).json["tags"]]
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-tenant"}
        preflight = rest.request("OPTIONS", "/tags.list", None, origin="https://app.example.org", **ask)
        assert "x-tenant" in preflight.headers["access-control-allow-headers"].split(", ")
    assert names == ["from https://app.example.org"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "--cors-origin",
            "localhost:3000",
            "'localhost:3000' is not an origin: it should look like https://inbox.example.org",
        ),
        ("--cors-origin", "https://*.x", "'https://*.x' is not an origin"),
        ("--cors-origin", "https://inbox.example.org/app", "'https://inbox.example.org/app' is not an origin"),
        ("--cors-origin", "http://127.1", "'http://127.1' is not the origin of any page: 127.1 is not an IP address"),
        ("--cors-header", "x-tenant:", "'x-tenant:' is not a header name: it should look like x-tenant"),
        ("--allow-host", "https://inbox.example.org", "is not a host name: it should look like inbox.example.org"),
    ],
)
def test_a_name_that_can_never_match_is_refused_at_once(tmp_path: Path, option: str, value: str, message: str) -> None:
    code, out, err = run_to_the_end("--data-dir", str(tmp_path), option, value)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_port_in_use_is_said_before_anything_starts(tmp_path: Path, option: str) -> None:
    other = {"--http-port": "--grpc-port", "--grpc-port": "--http-port"}[option]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run_to_the_end("--data-dir", str(tmp_path), option, str(port), other, "0")
    assert (code, out) == (1, "")
    variable = {"--http-port": "HTTP_PORT", "--grpc-port": "GRPC_PORT"}[option]
    assert err == (
        f"error: port {port} cannot be used: Address already in use; choose another with {option}, "
        f"as in `{option} {port + 1}`, or with `make run {variable}={port + 1}`\n"
    )
    assert not (tmp_path / "logs").exists()


def test_redis_without_search_is_refused_in_the_words_of_the_worker(tmp_path: Path) -> None:
    redis_socket = tmp_path / "redis.sock"
    command = [str(find_redis().server), "--port", "0", "--unixsocket", str(redis_socket), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as plain_redis:
        try:
            code, out, err = run_to_the_end(
                *("--data-dir", str(tmp_path / "data"), "--http-port", "0", "--grpc-port", "0"),
                *("--redis-url", f"unix://{redis_socket}"),
            )
        finally:
            plain_redis.terminate()
    assert (code, out) == (1, "")
    assert "error: worker 1" in err
    assert "search" in err.splitlines()[-2].lower()


def test_health_follows_a_redis_that_goes_away(run_up: RunUp) -> None:
    with throwaway_redis(find_redis()) as url:
        stack = run_up("--redis-url", url)
        with redis.Redis.from_url(url) as client:
            client.shutdown(nosave=True)
        deadline = time.monotonic() + 15
        with Rest(stack.http_url) as rest:
            while (answer := rest.request("GET", "/healthz")).status == 200:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert (answer.status, answer.json["code"]) == (503, 14)
            assert rest.post("/conversations.list").status == 503
        assert stack.process.poll() is None, "a Redis that it did not start is none of its children"


def test_while_the_file_of_redis_cannot_be_written_reads_go_on(run_up: RunUp) -> None:
    stack = run_up()
    [pid] = stack.pids("redis-server")
    tag = {"name": "x", "color": "tag-red"}
    cause = "the store is unavailable: Redis cannot write its append-only file and rejects writes: File too large"
    with Rest(stack.http_url) as rest:
        usual = rest.request("GET", "/healthz").json
        limit_files(pid, 1)
        # The one at which Redis notes it is acknowledged, and written later.
        assert rest.post("/tags.create", tag).status == 201
        wait_until(lambda: rest.request("GET", "/healthz").json != usual, 5)
        health = rest.request("GET", "/healthz")
        assert (health.status, health.json) == (200, {"status": "DEGRADED", "causes": [cause]})
        refused = rest.post("/tags.create", tag)
        assert (refused.status, refused.json["message"]) == (503, cause)
        assert len(rest.post("/tags.list", {}).json["tags"]) == 1
        limit_files(pid, None)
        wait_until(lambda: rest.request("GET", "/healthz").json == usual, 5)
        assert rest.post("/tags.create", tag).status == 201
    assert stop_stack(stack) == 0
    with Rest(run_up().http_url) as rest:
        assert len(rest.post("/tags.list", {}).json["tags"]) == 2


def test_demo_is_loaded_once_and_its_commands_work(tmp_path: Path) -> None:
    totals = []
    for _ in range(2):
        stack = start_stack(tmp_path / "data", "--demo")
        try:
            with Rest(stack.http_url) as rest:
                totals.append(rest.post("/conversations.list", {}).json["pagination_data"]["total"])
            curl, buf_curl, python = commands_of(stack)
            assert curl[:2] == ["curl", f"{stack.http_url}/conversations.list"]
            with Rest(stack.http_url) as rest:
                assert rest.post("/conversations.list", json.loads(curl[-1])).json["data"]
            for command in (buf_curl, python):
                shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
                assert "facebook" in shown.stdout or "twilio" in shown.stdout or "data {" in shown.stdout
        finally:
            assert stop_stack(stack) == 0
    assert totals[0] == totals[1] >= 50


def commands_of(stack: Stack) -> list[list[str]]:
    """Return the commands that `up --demo` says to try."""
    return [shlex.split(line) for line in stack.said.splitlines() if line.startswith("  ")]


def test_data_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """The index and what is indexed are made anew before the ready line."""
    stack = start_stack(tmp_path)
    with Rest(stack.http_url) as rest:
        assert rest.post("/events.ingest", {"events": [event(7)]}).json["accepted"] == 1
    url = (tmp_path / "redis.url").read_text().strip()
    with redis.Redis.from_url(url) as client:
        client.hset("conversations:setup", "schema", "earlier")
        client.hdel(f"conversation:{{0}}:{UUID(int=7)}", "x", "ih")
    stop_stack(stack)
    stack = start_stack(tmp_path)
    try:
        assert "rebuilding the index for this version" in stack.said
        with Rest(stack.http_url) as rest:
            found = rest.post("/conversations.list", {"filters": "display_name:facebook AND id:0000*"}).json
        assert found["pagination_data"]["filtered_total"] == 1
    finally:
        assert stop_stack(stack) == 0
