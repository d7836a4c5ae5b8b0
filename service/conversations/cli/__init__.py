"""The `conversations` command: reads arguments, calls other packages, prints."""

from conversations.cli import data, edge, filters, running  # noqa: F401 - each adds its commands
from conversations.cli.program import main

__all__ = ["main"]
