"""Standard output that cannot be written."""

import os
import sys
from contextlib import suppress

__all__ = ["discard_output"]


def discard_output() -> None:
    """Send nowhere what could not be written, or Python would try it again when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
