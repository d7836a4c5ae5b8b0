"""The program: its group of commands, none of which ends in a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from conversations.output import discard_output
from conversations.signals import StoppedError, exit_code

__all__ = ["main"]

_SIGINT, _SIGPIPE = 2, 13
# Errors of writing that do not name a file.
_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


@contextmanager
def _without_traceback() -> Iterator[None]:
    """End with one sentence, or silently, unless the error is a defect."""
    try:
        yield
    except StoppedError as stopped:
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        sys.exit(exit_code(_SIGINT))
    except BrokenPipeError:
        # The reader of the output has read enough, as `head` does.
        discard_output()
        sys.exit(exit_code(_SIGPIPE))
    except OSError as error:
        if error.filename is None and error.errno not in _WRITE_ERRORS:
            raise
        discard_output()
        raise click.ClickException(f"{error.filename or 'cannot write the output'}: {error.strerror}") from error


class _Program(click.Group):
    """All commands; none ends in a traceback."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        # This prints the help.
        with _without_traceback():
            return super().make_context(*args, **more)

    def invoke(self, context: click.Context) -> Any:
        with _without_traceback():
            return super().invoke(context)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="conversation-service", prog_name="conversations")
def main() -> None:
    """The inbox of a messaging platform as one service.

    Start with `conversations up --demo`, then ask http://127.0.0.1:8080/conversations.list.
    """
