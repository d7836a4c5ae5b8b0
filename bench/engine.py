"""The engine: the service's Redis alone, with the function call that the worker sends for a call.

Source:
    https://redis.io/docs/latest/commands/monitor/
"""

import re
from ast import literal_eval
from collections.abc import Callable
from uuid import uuid4

import redis
from bench.generators import CONNECTIONS, Load, LoadError, output_of

__all__ = ["Command", "caller", "can_repeat", "captured", "parse_benchmark", "parse_monitor_line"]

Command = tuple[bytes, ...]

_ATTEMPTS = 5
_TRIAL_CALLS = 1000


def captured(redis_url: str, call: Callable[[], object]) -> Command:
    """Return the function call that reaches Redis while `call` runs.

    Raises:
        LoadError: There are none, or several.
    """
    for _ in range(_ATTEMPTS):  # the worker may have business of its own just then
        if len(seen := _seen(redis_url, call)) == 1:
            return seen[0]
    raise LoadError(f"the worker sends {len(seen)} function calls for one call: {seen}")


def _seen(redis_url: str, call: Callable[[], object]) -> list[Command]:
    end, seen = uuid4().hex, []
    with redis.Redis.from_url(redis_url, protocol=2) as client, client.monitor() as monitor:
        call()
        client.echo(end)
        # redis-py joins the words of a command to a text, from which they cannot be had again.
        while (command := parse_monitor_line(monitor.connection.read_response())) != (b"ECHO", end.encode()):
            if command and command[0].startswith(b"FCALL"):
                seen.append(command)
    return seen


def parse_monitor_line(line: bytes) -> Command:
    """Return the words of a command that a client sent; none for what a function called."""
    head, _, words = line.decode("ascii").partition("] ")
    # Redis escapes what Python does, in the same way.
    found = [] if head.endswith(" lua") else re.findall(r'"(?:[^"\\]|\\.)*"', words)
    return tuple(literal_eval(f"b{word}") for word in found)


def can_repeat(command: Command) -> bool:
    """Return whether redis-benchmark can be told a command: all but the last word are arguments of a program."""
    return all(b"\0" not in word for word in command[:-1])


def caller(redis_url: str, command: Command) -> Callable[[float], Load]:
    """Return what repeats a command for about so many seconds."""
    # redis-benchmark takes an error for an answer like any other.
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(*command)
    # It wants to know how many calls, not how long.
    rate = _benchmark(redis_url, command, _TRIAL_CALLS).calls_per_second
    return lambda seconds: _benchmark(redis_url, command, max(CONNECTIONS, round(rate * seconds)))


def _benchmark(redis_url: str, command: Command, calls: int) -> Load:
    options = ["-s", redis_url.removeprefix("unix://"), "-c", str(CONNECTIONS), "--csv", "-n", str(calls)]
    # The last argument, which may hold any bytes, comes by standard input.
    return parse_benchmark(output_of(["redis-benchmark", *options, "-x", *command[:-1]], given=command[-1]), calls)


def parse_benchmark(output: str, calls: int) -> Load:
    """Return what redis-benchmark printed as CSV."""
    try:
        header, _, line = output.strip().partition("\n")
        names = header.split(",")[1:]
        # The first field is the command; quotes, commas and ends of lines in it are not escaped.
        figures = line.split(",")[-len(names) :]
        row = {name.strip('"'): float(figure.strip('"')) for name, figure in zip(names, figures, strict=True)}
        return Load(calls, calls / row["rps"], row["p50_latency_ms"], row["p99_latency_ms"])
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise LoadError(f"redis-benchmark says nothing of use: {output}") from error
