"""The commands as processes, where what they stand on goes wrong: no traceback, our words, an exit code that fits."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from tests.conftest import free_port

from conversations.v1.conversation_service_pb2 import ListConversationsRequest
from conversations.v1.conversation_service_pb2_grpc import ConversationServiceStub

COMMAND = [sys.executable, "-m", "conversations"]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVERSATIONS_")}
    return kept | {f"CONVERSATIONS_{name}": value for name, value in variables.items()}


@contextmanager
def serving(log: Path, **variables: str) -> Iterator[str]:
    """Run `serve` with its log in a file; give where it listens."""
    port = free_port()
    settings = environment(PORT=str(port), DRAIN_SECONDS="0", **variables)
    with log.open("w") as stderr, subprocess.Popen([*COMMAND, "serve"], env=settings, stderr=stderr) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


async def test_deadlines_that_are_over_leave_no_traceback(redis_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log, REDIS_URL=redis_url) as target:
        async with grpc.aio.insecure_channel(target) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            # A stub for asyncio too.
            stub = ConversationServiceStub(channel)

            async def code(seconds: float) -> grpc.StatusCode:
                try:
                    await stub.ListConversations(ListConversationsRequest(), timeout=seconds)
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

            codes: Counter[grpc.StatusCode] = Counter()
            for timeout in (0.0, 0.001, 0.002, 0.005, 0.01, 0.02) * 5:
                codes.update(await asyncio.gather(*(code(timeout) for _ in range(40))))
            assert await code(20) is grpc.StatusCode.OK
    assert codes.keys() <= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert codes[grpc.StatusCode.DEADLINE_EXCEEDED] > 200
    assert "Traceback" not in log.read_text()
