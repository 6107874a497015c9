"""`packshot models`: which there are, where they come from, which one a name stands for."""

import typer
from rich.table import Table

from cli import registry
from cli.model_source import database_of, open_models
from cli.output import console
from config.settings import Settings
from db import workers
from jobs.models import Models, installed_models
from jobs.registry import read

app = typer.Typer(help="List, check, add and promote models.", no_args_is_help=True)


app.command()(registry.add)
app.command()(registry.promote)
app.command()(registry.rollback)


@app.command("list")
def list_() -> None:
    """Show the models, what their names stand for, and what workers run; without a database those of the package."""
    settings = Settings()
    models, running = _read(settings)
    table = Table("model", "stands for", "default", "canvas", "encoder", "limits", "from")
    for spec in models.specs:
        names = ", ".join(
            word for word, model_id in models.ids.items() if model_id == spec.model_id and word != model_id
        )
        is_default = "yes" if models.is_default(spec, settings.model) else ""
        canvas = f"{spec.canvas_hw[0]} x {spec.canvas_hw[1]}"
        origin = "added" if spec.model_id in models.imported else "package"
        limits = "measured" if spec.calibration else "of no measurement"
        table.add_row(spec.model_id, names, is_default, canvas, spec.encoder or spec.architecture, limits, origin)
    console.print(table)
    for worker in running:
        console.print(worker, markup=False)


@app.command()
def verify() -> None:
    """Load every model: its weights must be those that its sidecar names, tensor by tensor."""
    from storage.port import StorageError
    from vision.segmenters.checksum import WeightsError

    with open_models(Settings()) as source:
        bad = 0
        for spec in source.models().specs:
            try:
                source.load(spec.model_id)
            except (WeightsError, StorageError, OSError) as error:
                bad += 1
                console.print(f"{spec.model_id}: {error}", markup=False)
            else:
                console.print(f"{spec.model_id}: ok, sha256 {spec.weights_sha256}", markup=False)
    if bad:
        raise typer.Exit(1)


def _read(settings: Settings) -> tuple[Models, list[str]]:
    """All models, and a line for each worker that runs one."""
    with database_of(settings) as sessions:
        if sessions is None:
            return installed_models(), []
        with sessions() as session:
            live = [each for each in workers.live(session, within_s=4 * settings.heartbeat_s) if each.model_version]
            lines = [
                f"{each.name} runs {each.model_version}{f' ({each.problem})' if each.problem else ''}" for each in live
            ]
            return read(session, installed_models()), lines
