"""The `conversations` command: reads arguments, calls a room, prints."""

from conversations.cli import data, edge, filters, running  # noqa: F401 - each adds its commands
from conversations.cli.program import main

__all__ = ["main"]
