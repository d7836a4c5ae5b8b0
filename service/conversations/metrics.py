"""A worker's metrics, for Prometheus: one registry per process."""

from prometheus_client import Counter, start_http_server

__all__ = ["DAMAGED_RECORDS", "SHED_CALLS", "serve_metrics"]

DAMAGED_RECORDS = Counter(
    "conversations_damaged_records",
    "Times that a record in Redis was skipped, or failed a call, because it is not what the service wrote.",
    ["kind"],
)
"""`kind`: conversation, message, channel or tag, or a set of them."""

SHED_CALLS = Counter(
    "conversations_shed_calls",
    "Calls refused because too many were arriving, waiting or streaming.",
)


def serve_metrics(host: str, port: int) -> None:
    """Answer `/metrics` over HTTP, from a thread.

    Raises:
        OSError: The port is taken.
    """
    start_http_server(port, host)
