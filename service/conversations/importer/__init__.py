"""Sends an event log to a running server: JSON lines in, batches of events out, in order and in constant memory.

    log --read_batches--> batches (in a thread) --import_events--> IngestEvents, one batch at a time

While one batch is being sent, the next one is parsed.
"""

from conversations.importer.console import run_import
from conversations.importer.sending import read_target

__all__ = ["read_target", "run_import"]
