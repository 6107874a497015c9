"""How commands that work through many photos show where they are, and what became of each."""

from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cli.output import console, errors
from cli.plan import Result

SUBMITTED = "submitted"
"""In place of a verdict: the photo is on its way, nobody waits for it."""
_FULL_TABLE = 50
"""Longer tables show only what somebody should look at."""
_BORING = ("pass", SUBMITTED)
_WORDS = ("pass", "review", "fail", SUBMITTED, "failed")


def progress_bar() -> Progress:
    """On stderr, gone when it is over."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    )


def summarise(results: Sequence[Result], *, skipped: int) -> None:
    """A table of the photos, and a line that counts them."""
    shown = results if len(results) <= _FULL_TABLE else [r for r in results if r.problem or r.verdict not in _BORING]
    table = Table("photo", "result", "why", "seconds")
    for result in sorted(shown, key=lambda result: str(result.item.photo)):
        photo = escape(str(result.item.photo))
        if result.problem:
            table.add_row(photo, "[red]failed[/red]", escape(result.problem), "")
        else:
            table.add_row(photo, result.verdict, ", ".join(result.reasons), f"{result.took_s:.1f}")
    if shown:
        console.print(table)
    counts = Counter("failed" if result.problem else result.verdict for result in results)
    words = [f"{counts[word]} {word}" for word in _WORDS if counts[word]]
    if skipped:
        words.append(f"{skipped} done before")
    console.print(", ".join(words) or "There is no photo to work on.")
