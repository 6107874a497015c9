"""`packshot models`: what is installed."""

import typer
from rich.table import Table

from cli.output import console
from config.settings import Settings
from jobs.models import installed_models
from vision.segmenters.spec import WEIGHTS_FOLDER

app = typer.Typer(help="List and check the installed models.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Show the installed models."""
    installed, default = installed_models(), Settings().model
    table = Table("model", "default", "canvas", "encoder", "weights")
    for spec in installed.specs:
        size_bytes = (WEIGHTS_FOLDER / f"{spec.file_stem}.safetensors").stat().st_size
        is_default = "yes" if installed.is_default(spec, default) else ""
        canvas = f"{spec.canvas_hw[0]} x {spec.canvas_hw[1]}"
        table.add_row(spec.model_id, is_default, canvas, spec.encoder, f"{size_bytes / 1e6:.1f} MB")
    console.print(table)


@app.command()
def verify() -> None:
    """Load every installed model: its weights must be those that its sidecar names, tensor by tensor."""
    from vision.segmenters.network import WeightsError, load_network

    bad = 0
    for spec in installed_models().specs:
        try:
            load_network(spec)
        except (WeightsError, OSError) as error:
            bad += 1
            console.print(f"{spec.model_id}: {error}", markup=False)
        else:
            console.print(f"{spec.model_id}: ok, sha256 {spec.weights_sha256}", markup=False)
    if bad:
        raise typer.Exit(1)
