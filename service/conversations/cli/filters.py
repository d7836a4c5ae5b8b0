"""Commands for filters."""

import click

from conversations.cli.program import main
from conversations.errors import FilterError

__all__: list[str] = []


@main.command()
@click.argument("text", metavar="FILTER")
def explain(text: str) -> None:
    """Show how FILTER is understood, field by field, and the RediSearch query; or what is wrong with it, and where."""
    from conversations.filters import compile_filter, explain_text

    try:
        click.echo(explain_text(compile_filter(text)))
    except FilterError as error:
        click.echo(text, err=True)
        click.echo(" " * error.position + "^", err=True)
        raise click.ClickException(error.message) from error
