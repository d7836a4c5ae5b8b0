"""Standard output that cannot be written to."""

import os
import sys
from contextlib import suppress

__all__ = ["discard_output"]


def discard_output() -> None:
    """Discard what could not be written: otherwise Python tries again at exit."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
