"""How long filters keep Redis busy: typical ones, and the worst that are accepted.

    .venv/bin/python -m bench.filters --conversations 100000

Redis runs one command at a time, so a slow search keeps everybody waiting. The times are Redis' own, of one call that
lists a page, from its slow log: when the filter is new to the worker, then again, and its second page. The ratio is of
the new filter to the page without one, in the same run.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import grpc
import redis
from bench.calls import Shape, list_page
from bench.servers import Service, fill, service

from conversations.v1.conversation_service_pb2 import ListConversationsResponse, PaginationData

_REPEATS = 5
_NOTES = "metadata.user_data.notes"
_WORDS = "hello is my order lost the parcel was never here please call me back about this invoice thank you".split()

TYPICAL = {
    "all": "",
    "a state": "state:closed",
    "a channel's source": "source:facebook",
    "unread": "unread_count:[1 TO *]",
    "the end of a name": "display_name:*lace",
    "four clauses": "state:open AND source:facebook AND unread_count:[1 TO *] AND created_at:[2024-01-01 TO *]",
    "a time": "created_at:[2024-01-01 TO 2024-12-31]",
    "a phrase": f'{_NOTES}:"order my"',
}
WORST = {
    "every broad word": " OR ".join(f"{_NOTES}:{word}" for word in _WORDS),
    "every broad word absent, one by one": " OR ".join(f"(NOT {_NOTES}:{word})" for word in _WORDS),
    "ranges, 130 of them": " OR ".join(f"unread_count:[0 TO {n}]" for n in range(130)),
    "rare words absent, 60 of them": " OR ".join(f"(NOT display_name:{a}{b})" for a in "abcdef" for b in "ghijklmnop"),
    "broad or not rare, 60 of them": " AND ".join(
        f"({_NOTES}:{_WORDS[n % 19]} OR -display_name:x{n})" for n in range(60)
    ),
    "2,000 words": "metadata.user_data.email:*123*",
    "all ids by their first letter": " OR ".join(f"id:{letter}*" for letter in "0123456789abcdef"),
    "a range of ids": "id:[0 TO e]",
    "a fuzzy word": "display_name:karen~2",
    "a loose phrase": f'{_NOTES}:"order my lost"~3',
    "a very loose phrase": f'{_NOTES}:"the the"~9',
    "a regular expression": f"{_NOTES}:/[a-h].*/",
    "complements in complements": "NOT (NOT (state:closed AND NOT source:facebook) AND NOT unread_count:0)",
}


@click.command(help=__doc__)
@click.option("--conversations", default=100_000, show_default=True, help="How many to load.")
def main(conversations: int) -> None:
    """Load a service of its own, ask it every filter, print a table."""
    with TemporaryDirectory() as folder, service(Path(folder) / "data") as running:
        click.echo(f"loading {conversations} conversations", err=True)
        fill(running, conversations, user_data=True)
        with redis.Redis.from_url(running.redis_url, protocol=2) as client:
            client.config_set("slowlog-log-slower-than", 0)
            base, _ = _busy_ms(running, client, "")
            click.echo("| filter | matches | new, ms | ratio | again, ms | second page, ms |")
            click.echo("| --- | --- | --- | --- | --- | --- |")
            for name, text in (TYPICAL | WORST).items():
                click.echo(f"| {name} | {_row(running, client, text, base)} |")


def _row(running: Service, client: "redis.Redis", text: str, base_ms: float) -> str:
    try:
        new, _ = _busy_ms(running, client, text, new=True)
        again, page = _busy_ms(running, client, text)
        second, _ = _busy_ms(running, client, text, cursor=page.next_cursor)
    except grpc.RpcError as error:
        return f"refused: {error.details()} | | | |"
    return f"{page.filtered_total} | {new:.1f} | {new / base_ms:.0f} | {again:.1f} | {second:.1f}"


def _busy_ms(
    running: Service, client: "redis.Redis", text: str, *, cursor: str = "", new: bool = False
) -> tuple[float, PaginationData]:
    """Return the shortest time of several that one list call kept Redis busy, and what it says of its page."""
    times: list[float] = []
    for number in range(_REPEATS):
        client.slowlog_reset()
        # What is kept of a filter is found by its text.
        call = list_page(Shape("", text + " " * (number + 1) * new), cursor=cursor)
        answer = ListConversationsResponse.FromString(running.ask(call.method, call.message))
        found = [entry for entry in client.slowlog_get(10) if entry["command"].startswith(b"FCALL")]
        times.append(sum(int(entry["duration"]) for entry in found) / 1000)
    return min(times), answer.pagination_data


if __name__ == "__main__":
    main()
