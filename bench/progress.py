"""What a run says while it goes on."""

import time

import click

__all__ = ["tell"]

_START = time.monotonic()


def tell(message: str) -> None:
    """Write a line to stderr, with the seconds since the start."""
    click.echo(f"{time.monotonic() - _START:6.0f} s  {message}", err=True)
