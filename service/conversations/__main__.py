"""The `conversations` command, also as `python -m conversations`."""

import os
import signal
import sys


def main() -> None:
    """Run the command."""
    # What is imported takes a moment, in which Ctrl-C would end in a traceback of some library.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_standard_files()
    from conversations.signals import end_at_once

    signal.signal(signal.SIGINT, end_at_once)
    from conversations.cli import main as run

    run()


def _open_standard_files() -> None:
    """Open what is closed, as in `command >&-`: otherwise a connection would get its number, and what is printed.

    Output that is closed still fails, as it does for other programs; errors go nowhere.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.open(os.devnull, flags)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - to the end of the program
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
