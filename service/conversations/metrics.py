"""What a worker counts of itself, for Prometheus: one registry in each process."""

from prometheus_client import Counter

__all__ = ["DAMAGED_RECORDS"]

DAMAGED_RECORDS = Counter(
    "conversations_damaged_records",
    "Times that a record of Redis was passed over, or failed a call, because it is not what the service wrote.",
    ["kind"],
)
"""`kind`: conversation, message, channel or tag."""
