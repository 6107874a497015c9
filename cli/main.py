"""The `packshot` command.

A command loads what it needs when it runs: torch takes seconds, and the API process must come without it.
"""

from typing import Annotated

import typer

from cli import evaluation, keys, models, services, train
from cli.bench import bench
from cli.demo import demo
from cli.health import health
from cli.listen import listen
from cli.processes import stop_with_parent
from cli.remove import remove
from cli.submit import submit
from cli.up import up

app = typer.Typer(
    name="packshot",
    help="Product photos in, packshots out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.command()(up)
app.command()(remove)
app.command()(submit)
app.command()(listen)
app.command()(demo)
app.command()(bench)
app.command()(train.train)
app.command()(train.synth)
app.command()(train.label)
app.command()(train.export)
app.command()(evaluation.evaluate)
app.command()(evaluation.calibrate)
app.command()(services.api)
app.command()(services.worker)
app.command()(services.migrate)
app.command()(health)
app.command(hidden=True)(services.revision)


@app.callback()
def _main(
    *, with_parent: Annotated[bool, typer.Option(hidden=True, help="Stop when the parent process is gone.")] = False
) -> None:
    if with_parent:
        stop_with_parent()
