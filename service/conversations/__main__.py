"""The `conversations` command, also as `python -m conversations`."""

import os
import signal
import sys


def main() -> None:
    """Run the command."""
    # Imports take a moment, during which Ctrl-C would end in some library's traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_standard_files()
    from conversations.signals import exit_immediately

    signal.signal(signal.SIGINT, exit_immediately)
    from conversations.cli import main as run

    run()


def _open_standard_files() -> None:
    """Open closed standard files, as in `command >&-`: otherwise a connection would get their numbers, and the output.

    Closed output still fails, as it does for other programs; errors are discarded.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest free number, which is this one.
            os.open(os.devnull, flags)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - to the end of the program
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
