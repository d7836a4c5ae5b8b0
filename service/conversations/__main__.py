"""`python -m conversations`: the same as the `conversations` command."""

from conversations.cli import main

main()
