"""What commands say, and where."""

import sys

import typer
from rich.console import Console

_PIPED_WIDTH = 200
"""Columns of a table that goes into a file or to another program: enough to cut nothing off."""
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, *, code: int = 1) -> typer.Exit:
    """Print a message to stderr and return the exit to be raised."""
    errors.print(f"[red]error:[/red] {message}", markup=True)
    return typer.Exit(code)
