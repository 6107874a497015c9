"""What commands say, and where."""

import typer
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, *, code: int = 1) -> typer.Exit:
    """Print a message to stderr and return the exit to be raised."""
    errors.print(f"[red]error:[/red] {message}", markup=True)
    return typer.Exit(code)
