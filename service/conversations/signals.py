"""Ctrl-C and SIGTERM: the first lets a command clean up, the second ends it at once."""

import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar

__all__ = ["StoppedError", "exit_code", "exit_immediately", "run_until_stopped"]

_T = TypeVar("_T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """Raised when a signal has stopped a task."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = exit_code(number)
        """The shell's exit code for a program ended by this signal."""


def exit_code(number: int) -> int:
    """Return the shell's exit code for a program ended by a signal: 130 for Ctrl-C."""
    return 128 + number


def exit_immediately(number: int, _: FrameType | None = None) -> NoReturn:
    """End the process silently; a signal handler."""
    os._exit(exit_code(number))


def run_until_stopped(task: Coroutine[Any, Any, _T]) -> _T:
    """Run a task, and cancel it at the first signal, so that it cleans up.

    Raises:
        StoppedError: A signal came, and the task has ended.
    """
    # Imported here, so that the handler above is available at once.
    import asyncio

    stopped: list[int] = []

    async def stoppable() -> _T:
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        assert this is not None

        def stop(number: int, _: FrameType | None) -> None:
            stopped.append(number)
            for each in _SIGNALS:
                signal.signal(each, exit_immediately)
            loop.call_soon_threadsafe(this.cancel)

        # Not as handlers of the loop: it does not run them while a write to a full pipe blocks.
        for each in _SIGNALS:
            signal.signal(each, stop)
        return await task

    before = [(each, signal.getsignal(each)) for each in _SIGNALS]
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(stoppable())
    except asyncio.CancelledError:
        if not stopped:
            raise
        raise StoppedError(stopped[0]) from None
    finally:
        for each, handler in before:
            signal.signal(each, handler)


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
